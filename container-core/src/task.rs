//! Tasks: single threads of machine processes.

use crate::MachineName;

/// A task, never reused as long as the framework lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    pub machine: MachineName,
    pub kind: TaskKind,
}
