//! A framework full of groups and tasks, and random choices among them that are the same in each run.

use container_core::*;

use crate::floor::Floor;

/// Groups below 100 others, which are empty: nobody has ten thousand in one directory.
pub const GROUPS: usize = 10_000;

/// Machines have eight tasks each: six vCPUs, `io` and `control`.
const TASKS_A_MACHINE: usize = 8;

/// `place` (cpuset, debug) has all the groups and `bill` (cpuacct) two, `even` and `odd`.
pub struct Village {
    pub framework: Framework,
    pub groups: Vec<GroupPath>,
    pub bills: [GroupPath; 2],
    /// The living, each with the group it is in.
    pub tasks: Vec<(TaskId, usize)>,
    /// Lines as many as the tasks have, where they are to be walked.
    pub floor: Floor,
    machine: MachineName,
    forked: usize,
    random: u64,
}

impl Village {
    /// The paths of so many groups.
    pub fn paths(groups: usize) -> Vec<GroupPath> {
        let path = |number| format!("place:/street{}/house{number}", number / 100);
        (0..groups)
            .map(|number| path(number).parse().unwrap())
            .collect()
    }

    /// No task yet.
    pub fn empty(groups: Vec<GroupPath>) -> Village {
        let host = HostResources {
            allowed_cpus: "0-3".parse().unwrap(),
            present_cpus: "0-3".parse().unwrap(),
            possible_cpus: 4,
            mems: "0".parse().unwrap(),
        };
        let mut village = Village {
            framework: Framework::new(host),
            groups,
            bills: ["bill:/even", "bill:/odd"].map(|path| path.parse().unwrap()),
            tasks: Vec::new(),
            floor: Floor::new(0, 0),
            machine: "m0".parse().unwrap(),
            forked: 0,
            random: 0x9e37_79b9_7f4a_7c15,
        };
        for (hierarchy, subsystems) in [("place", &["cpuset", "debug"][..]), ("bill", &["cpuacct"])]
        {
            village.run(Command::Mount {
                hierarchy: hierarchy.parse().unwrap(),
                subsystems: subsystems.iter().map(|name| name.to_string()).collect(),
            });
        }
        for bill in village.bills.clone() {
            village.run(Command::Mkdir { group: bill });
        }
        village.write(&"place:/".parse().unwrap(), "cgroup.clone_children", "1");
        for number in 0..village.groups.len() {
            let group = village.groups[number].clone();
            if number % 100 == 0 {
                village.run(Command::Mkdir {
                    group: group.parent().unwrap(),
                });
            }
            village.run(Command::Mkdir { group });
        }
        village
    }

    /// So many tasks, two in each of as many groups as that makes, or more once all have two.
    pub fn settle(&mut self, tasks: usize) {
        let inhabited = (tasks / 2).min(GROUPS);
        // Neighbours by birth are no neighbours by group.
        let mut order: Vec<usize> = (0..tasks).map(|task| task % inhabited).collect();
        for last in (1..tasks).rev() {
            order.swap(last, self.below(last + 1));
        }
        for home in order {
            let task = self.fork(None);
            let bill = self.bills[home % 2].clone();
            self.run(Command::Attach {
                group: self.groups[home].clone(),
                task,
            });
            self.run(Command::Attach { group: bill, task });
            self.tasks.push((task, home));
        }
    }

    pub fn fork(&mut self, parent: Option<TaskId>) -> TaskId {
        let command = self.fork_command(parent);
        let Command::Fork { task, .. } = command else {
            unreachable!("a fork was asked for")
        };
        self.run(command);
        task
    }

    /// The next task's birth.
    pub fn fork_command(&mut self, parent: Option<TaskId>) -> Command {
        let task = self.framework.allocate_task();
        let (machine, kind) = (self.forked / TASKS_A_MACHINE, self.forked % TASKS_A_MACHINE);
        if kind == 0 {
            self.machine = format!("machine{machine}").parse().unwrap();
        }
        self.forked += 1;
        let name = TaskName {
            machine: self.machine.clone(),
            kind: match kind {
                6 => TaskKind::Io,
                7 => TaskKind::Control,
                vcpu => TaskKind::Vcpu(vcpu as u16),
            },
        };
        let tid = Tid(self.forked as u32 + 1_000);
        Command::Fork {
            task,
            name,
            tid,
            parent,
        }
    }

    pub fn write(&mut self, group: &GroupPath, file: &str, value: &str) {
        self.run(Command::Write {
            group: group.clone(),
            file: file.into(),
            value: value.into(),
        });
    }

    /// One command in force, and how many effects there would be to carry out before that.
    pub fn run(&mut self, command: Command) -> usize {
        let command = std::slice::from_ref(&command);
        let attempt = self.framework.attempt(&Credentials::ROOT, command);
        match attempt.unwrap() {
            Attempt::Committed(events) => {
                std::hint::black_box(events);
                0
            }
            Attempt::Planned(plan) => {
                let effects = plan.effects().len();
                std::hint::black_box(self.framework.commit(plan).unwrap());
                effects
            }
        }
    }

    /// One of the living, and its group.
    pub fn anyone(&mut self) -> (TaskId, usize) {
        let index = self.below(self.tasks.len());
        self.tasks[index]
    }

    /// A random number below `end` (xorshift).
    pub fn below(&mut self, end: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % end as u64) as usize
    }
}
