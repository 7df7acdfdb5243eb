//! What the tests of this crate share: a host, and short ways to ask.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests; clippy sees only test functions as tests"
)]

mod twin;

use container_core::*;

pub use twin::Twin;

/// Eight possible CPUs, of which 0-5 are present and 0-3 are ours; one memory node.
pub fn host() -> HostResources {
    HostResources {
        allowed_cpus: "0-3".parse().unwrap(),
        present_cpus: "0-5".parse().unwrap(),
        possible_cpus: 8,
        mems: "0".parse().unwrap(),
    }
}

pub fn group(path: &str) -> GroupPath {
    path.parse().unwrap()
}

pub fn mount(hierarchy: &str, subsystems: &[&str]) -> Command {
    Command::Mount {
        hierarchy: hierarchy.parse().unwrap(),
        subsystems: subsystems.iter().map(|name| name.to_string()).collect(),
    }
}

pub fn unmount(hierarchy: &str) -> Command {
    Command::Unmount {
        hierarchy: hierarchy.parse().unwrap(),
    }
}

pub fn remount(hierarchy: &str, subsystems: &[&str]) -> Command {
    Command::Remount {
        hierarchy: hierarchy.parse().unwrap(),
        subsystems: subsystems.iter().map(|name| name.to_string()).collect(),
    }
}

pub fn mkdir(path: &str) -> Command {
    Command::Mkdir { group: group(path) }
}

pub fn rmdir(path: &str) -> Command {
    Command::Rmdir { group: group(path) }
}

pub fn rename(path: &str, to: &str) -> Command {
    Command::Rename {
        group: group(path),
        to: to.into(),
    }
}

pub fn write(path: &str, file: &str, value: &str) -> Command {
    Command::Write {
        group: group(path),
        file: file.into(),
        value: value.into(),
    }
}

pub fn attach(path: &str, task: TaskId) -> Command {
    Command::Attach {
        group: group(path),
        task,
    }
}

pub fn reserve(task: TaskId, bytes: u64) -> Command {
    Command::Reserve {
        task,
        bytes: Bytes(bytes),
    }
}

pub fn exit(task: TaskId) -> Command {
    Command::Exit { task }
}

pub fn clone(task: TaskId, subsystem: &str) -> Command {
    Command::Clone {
        task,
        subsystem: subsystem.into(),
    }
}

/// Makes a group with these CPUs and all memory nodes.
pub fn mkcpuset(path: &str, list: &str) -> Vec<Command> {
    vec![
        mkdir(path),
        write(path, "cpuset.cpus", list),
        write(path, "cpuset.mems", "0"),
    ]
}

pub fn cpus(list: &str) -> CpuSet {
    list.parse().unwrap()
}

pub fn pin(task: TaskId, to: &str, before: Option<&str>) -> Effect {
    Effect::Pin {
        task,
        cpus: cpus(to),
        before: before.map(cpus),
    }
}

pub fn sample(task: TaskId) -> Effect {
    Effect::Sample { task }
}

/// A framework and a user, whose every success is checked for consistency.
pub struct Bench {
    pub framework: Framework,
    pub by: Credentials,
}

impl Bench {
    /// `p` has cpuset and debug, `b` has cpuacct.
    pub fn new() -> Bench {
        let mut bench = Bench::unmounted(host());
        bench.run(&[mount("p", &["cpuset", "debug"]), mount("b", &["cpuacct"])]);
        bench
    }

    /// No hierarchy.
    pub fn unmounted(host: HostResources) -> Bench {
        Bench {
            framework: Framework::new(host),
            by: Credentials::ROOT,
        }
    }

    /// Plan and commit; what the host would have had to do, and what happened.
    pub fn try_run(&mut self, commands: &[Command]) -> Result<(Vec<Effect>, Vec<Event>), Refusal> {
        let before = self.framework.snapshot();
        let plan = self.framework.plan(&self.by, commands);
        assert_eq!(
            before,
            self.framework.snapshot(),
            "a plan leaves the state as it was"
        );
        let twin = Twin::attempt(&self.framework, &self.by, commands);
        let plan = match plan {
            Ok(plan) => plan,
            Err(refusal) => {
                twin.refused(&refusal);
                return Err(refusal);
            }
        };
        let effects = plan.effects().to_vec();
        let events = self
            .framework
            .commit(plan)
            .expect("nothing was committed since");
        self.framework.check_invariants();
        twin.agrees(&effects, &events, &self.framework);
        Ok((effects, events))
    }

    #[track_caller]
    pub fn run(&mut self, commands: &[Command]) -> (Vec<Effect>, Vec<Event>) {
        self.try_run(commands).unwrap()
    }

    #[track_caller]
    pub fn refused(&mut self, command: Command) -> Errno {
        let refusal = self
            .try_run(std::slice::from_ref(&command))
            .expect_err("to be refused");
        assert!(refusal.rule.len() > 20, "a sentence: {:?}", refusal.rule);
        refusal.errno
    }

    #[track_caller]
    pub fn fork(&mut self, name: &str, parent: Option<TaskId>) -> TaskId {
        let (task, fork) = self.fork_command(name, parent);
        self.run(&[fork]);
        task
    }

    /// A new task's id, which is also its tid, and the command that gives birth to it.
    pub fn fork_command(&mut self, name: &str, parent: Option<TaskId>) -> (TaskId, Command) {
        let task = self.framework.allocate_task();
        let tid = Tid(u32::try_from(task.0).unwrap());
        (
            task,
            Command::Fork {
                task,
                name: name.parse().unwrap(),
                tid,
                parent,
            },
        )
    }

    #[track_caller]
    pub fn read(&self, path: &str, file: &str) -> String {
        let text = self.framework.read(&self.by, &group(path), file).unwrap();
        text.strip_suffix('\n').unwrap_or(&text).to_string()
    }

    pub fn charge(&mut self, task: TaskId, nanoseconds: u64) {
        let reading = Reading {
            usage: Nanoseconds(nanoseconds),
            cycles: Cycles(nanoseconds * 3),
        };
        self.framework.charge(task, reading).unwrap();
    }

    pub fn usage(&self, path: &str) -> u64 {
        self.read(path, "cpuacct.usage").parse().unwrap()
    }
}
