//! Tasks: single threads of machine processes.

use std::fmt;
use std::str::FromStr;

use crate::{Errno, MachineName, Refusal};

/// A task, never reused as long as the framework lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub u64);

/// The host's thread id of a task: a label that the host may reuse after the task's death.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tid(pub u32);

/// Which thread of a machine process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TaskKind {
    /// Runs a virtual CPU.
    Vcpu(u16),
    /// Runs the devices.
    Io,
    /// Talks to the supervisor.
    Control,
    /// A helper that KVM started inside the process, by its ordinal.
    Kvm(u16),
}

/// `MACHINE/vcpu0`, `MACHINE/io`, `MACHINE/control`, `MACHINE/kvm0`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskName {
    /// The machine whose thread it is.
    pub machine: MachineName,
    /// Which of its threads.
    pub kind: TaskKind,
}

impl TaskKind {
    /// Whether the task runs a virtual CPU.
    pub fn is_vcpu(self) -> bool {
        matches!(self, TaskKind::Vcpu(_))
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

impl fmt::Display for Tid {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

impl fmt::Display for TaskKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TaskKind::Vcpu(index) => write!(out, "vcpu{index}"),
            TaskKind::Io => out.write_str("io"),
            TaskKind::Control => out.write_str("control"),
            TaskKind::Kvm(ordinal) => write!(out, "kvm{ordinal}"),
        }
    }
}

impl FromStr for TaskKind {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let ordinal = |digits: &str| {
            let number = digits.parse::<u16>().ok()?;
            // One spelling for one task: no sign, no leading zeros.
            (number.to_string() == digits).then_some(number)
        };
        let kind = match text {
            "io" => Some(TaskKind::Io),
            "control" => Some(TaskKind::Control),
            _ => match (text.strip_prefix("vcpu"), text.strip_prefix("kvm")) {
                (Some(digits), _) => ordinal(digits).map(TaskKind::Vcpu),
                (_, Some(digits)) => ordinal(digits).map(TaskKind::Kvm),
                _ => None,
            },
        };
        kind.ok_or_else(|| {
            let rule = format!("task kind {text:?} is not vcpuN, io, control or kvmN");
            Refusal::new(Errno::EINVAL, rule)
        })
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.machine, self.kind)
    }
}

impl FromStr for TaskName {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let Some((machine, kind)) = text.split_once('/') else {
            let rule = format!("task {text:?} is not of the form MACHINE/KIND");
            return Err(Refusal::new(Errno::EINVAL, rule));
        };
        Ok(TaskName {
            machine: machine.parse()?,
            kind: kind.parse()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn task_names_read_back_as_they_are_written() {
        for text in [
            "web/vcpu0",
            "web/vcpu65535",
            "web/io",
            "web/control",
            "web/kvm1",
        ] {
            assert_eq!(text.parse::<TaskName>().unwrap().to_string(), text);
        }
        for text in [
            "web",
            "web/",
            "web/vcpu",
            "web/vcpu+1",
            "web/vcpu01",
            "web/vcpu65536",
            "/io",
        ] {
            assert_eq!(
                text.parse::<TaskName>().unwrap_err().errno,
                Errno::EINVAL,
                "{text}"
            );
        }
    }
}
