//! The groups and tasks that every row finds.

use container_core::{
    Command, Credentials, Framework, GroupPath, HostResources, Refusal, TaskId, TaskName, Tid,
};

use super::Op;

/// A framework, and its tasks by name.
pub struct World {
    pub framework: Framework,
    tasks: Vec<(TaskName, TaskId)>,
}

/// Eight possible CPUs, of which 0-5 are present and 0-3 are ours; one memory node.
fn host() -> HostResources {
    HostResources {
        allowed_cpus: (0..4).collect(),
        present_cpus: (0..6).collect(),
        possible_cpus: 8,
        mems: [0].into_iter().collect(),
    }
}

/// Each has its place in the list, from 1001 on, for a thread id.
const TASKS: [(&str, &str); 4] = [
    ("web/vcpu0", "p:/home/a/in"),
    ("web/vcpu1", "p:/home"),
    ("web/vcpu2", "p:/home"),
    ("db/vcpu0", "p:/other"),
];

impl World {
    /// `p` has cpuset and debug, `b` cpuacct and cpu. `p:/home` and `b:/home` are a user's, and the roots of web's guest; `web/vcpu2`
    /// is dead. `p:/other` is root's, and `db/vcpu0` is in it. After that, the setting.
    pub fn new(setting: &[Op]) -> World {
        let framework = Framework::new(host());
        let mut world = World {
            framework,
            tasks: Vec::new(),
        };
        use Op::*;
        world.root_does(&[
            Mount("p", &["cpuset", "debug"]),
            Mount("b", &["cpuacct", "cpu"]),
            Mkdir("p:", "other"),
            Write("p:/other", "cpuset.cpus", "3"),
            Write("p:/other", "cpuset.mems", "0"),
            Mkdir("p:", "home"),
            Chown("p:/home", 1000, 100, 0o755),
            Write("p:/home", "cpuset.cpus", "0-2"),
            Write("p:/home", "cpuset.mems", "0"),
            Mkdir("p:/home", "a"),
            Write("p:/home/a", "cpuset.cpus", "0-1"),
            Write("p:/home/a", "cpuset.mems", "0"),
            Mkdir("p:/home/a", "in"),
            Write("p:/home/a/in", "cpuset.cpus", "0"),
            Write("p:/home/a/in", "cpuset.mems", "0"),
            Mkdir("p:/home", "c"),
            Write("p:/home/c", "cpuset.cpus", "2"),
            Write("p:/home/c", "cpuset.mems", "0"),
            Mkdir("p:/home", "new"),
            Mkdir("b:", "home"),
            Chown("b:/home", 1000, 100, 0o755),
            Mkdir("b:/home", "t"),
        ]);
        for (tid, (name, _)) in (1001..).zip(TASKS) {
            let task = world.framework.allocate_task();
            let name: TaskName = name.parse().expect("a task's name");
            world.tasks.push((name.clone(), task));
            world.commit(Command::Fork {
                task,
                name,
                tid: Tid(tid),
                parent: None,
            });
        }
        for (name, group) in TASKS {
            world.root_does(&[Attach(group, name)]);
        }
        for name in ["web/vcpu0", "web/vcpu1"] {
            world.root_does(&[Attach("b:/home/t", name)]);
        }
        let (_, dead) = world.tasks[2];
        world.commit(Command::Exit { task: dead });
        world.root_does(setting);
        world
    }

    fn root_does(&mut self, ops: &[Op]) {
        for op in ops {
            let command = self.command(*op).expect("the setting's names are good");
            self.commit(command);
        }
    }

    fn commit(&mut self, command: Command) {
        let plan = self.framework.plan(&Credentials::ROOT, &[command]);
        let plan = plan.unwrap_or_else(|refusal| panic!("the setting is refused: {refusal}"));
        self.framework.commit(plan).expect("nothing came between");
    }

    /// An operation in the library's words, its names understood as every door does.
    ///
    /// # Errors
    /// Those of names.
    pub fn command(&self, op: Op) -> Result<Command, Refusal> {
        Ok(match op {
            Op::Mount(hierarchy, subsystems) => Command::Mount {
                hierarchy: hierarchy.parse()?,
                subsystems: subsystems.iter().map(ToString::to_string).collect(),
            },
            Op::Unmount(hierarchy) => Command::Unmount {
                hierarchy: hierarchy.parse()?,
            },
            Op::Remount(hierarchy, subsystems) => Command::Remount {
                hierarchy: hierarchy.parse()?,
                subsystems: subsystems.iter().map(ToString::to_string).collect(),
            },
            Op::Mkdir(parent, name) => Command::Mkdir {
                group: child(parent, name).parse()?,
            },
            Op::Rmdir(group) => Command::Rmdir {
                group: group.parse()?,
            },
            Op::Rename(group, to) => Command::Rename {
                group: group.parse()?,
                to: to.into(),
            },
            Op::Chown(group, uid, gid, mode) => Command::Chown {
                group: group.parse()?,
                uid,
                gid,
                mode,
            },
            Op::Write(group, file, value) => Command::Write {
                group: group.parse()?,
                file: file.into(),
                value: value.into(),
            },
            Op::Attach(group, task) => Command::Attach {
                group: group.parse()?,
                task: self.task(task)?,
            },
            Op::Clone(task, subsystem) => Command::Clone {
                task: self.task(task)?,
                subsystem: subsystem.into(),
            },
            Op::Read(..) => unreachable!("a read is no command"),
        })
    }

    fn task(&self, name: &str) -> Result<TaskId, Refusal> {
        let name: TaskName = name.parse()?;
        let found = self.tasks.iter().find(|(known, _)| *known == name);
        Ok(found.expect("a task of the world").1)
    }

    /// What a file holds, without its last newline.
    pub fn read(framework: &Framework, group: &str, file: &str) -> String {
        let group: GroupPath = group.parse().expect("a group's name");
        let text = framework.read(&Credentials::ROOT, &group, file);
        let text = text.unwrap_or_else(|refusal| panic!("{refusal}"));
        text.strip_suffix('\n').unwrap_or(&text).into()
    }
}

/// A group by its parent, or `HIERARCHY:`, and its name.
pub fn child(parent: &str, name: &str) -> String {
    format!("{parent}/{name}")
}
