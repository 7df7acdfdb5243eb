//! The commands by which a machine's tasks are born.
//!
//! ```text
//!   Fork ─▶ Attach, one a hierarchy ─▶ (control:) Reserve ─▶ (with namespaces of its own:) Clone
//! ```
//!
//! Whoever asks what a machine would meet, and whoever lets it be born, asks here, so that both are the
//! same. A machine whose process has namespaces of its own gets a group of its own where `ns` is mounted,
//! `node_PID` below the group that it is placed in: `control`, born first, is cloned into it, and the
//! others are born beside it.

use container_core::{
    Command, Errno, Framework, GroupPath, HierarchyName, Refusal, TaskId, TaskKind, TaskName, Tid,
};

use crate::{NewMachine, memory_needed};

/// The subsystem that a machine with namespaces is cloned by.
pub(crate) const NS: &str = "ns";

/// Where machines with namespaces are cloned, if anywhere.
pub(crate) fn hierarchy_of_ns(framework: &Framework) -> Option<HierarchyName> {
    let mut hierarchies = framework.hierarchies().into_iter();
    let with_ns = hierarchies.find(|one| one.mounted && one.subsystems.contains(&NS));
    with_ns.map(|hierarchy| hierarchy.name)
}

/// The births of one machine.
pub struct Births<'a> {
    machine: &'a NewMachine,
    home: Option<Home>,
}

/// Where a machine with namespaces stands.
struct Home {
    group: GroupPath,
    /// An ended machine of the same number has left its group, and it is in the way.
    is_taken: bool,
}

impl<'a> Births<'a> {
    /// Of a machine whose `control` is this thread.
    ///
    /// # Errors
    /// EINVAL where the machine has namespaces of its own and its tasks would stand apart in the hierarchy of ns.
    pub fn new(
        framework: &Framework,
        machine: &'a NewMachine,
        control: Tid,
    ) -> Result<Self, Refusal> {
        let hierarchy = hierarchy_of_ns(framework).filter(|_| !machine.namespaces.is_empty());
        let Some(hierarchy) = hierarchy else {
            return Ok(Births {
                machine,
                home: None,
            });
        };
        let place = |kind: TaskKind| {
            let groups = machine.placement.groups_of(kind).iter();
            let mut of_ns = groups.filter(|group| *group.hierarchy() == hierarchy);
            of_ns.next().cloned()
        };
        let named = place(TaskKind::Control);
        let apart = machine.placement.by_kind.keys();
        if let Some(kind) = apart.copied().find(|kind| place(*kind) != named) {
            let rule = format!(
                "machine {} has namespaces of its own, and so its tasks stand together in {hierarchy}: {kind} is not placed \
                 where control is",
                machine.name
            );
            return Err(Refusal::new(Errno::EINVAL, rule));
        }
        let above = named.unwrap_or_else(|| GroupPath::root(&hierarchy));
        let group = above.child(&format!("node_{control}"))?;
        Ok(Births {
            machine,
            home: Some(Home {
                is_taken: framework.group(&group).is_ok(),
                group,
            }),
        })
    }

    /// Put kinds into the order in which they are to be born.
    pub fn sort<T>(&self, tasks: &mut [T], kind: impl Fn(&T) -> TaskKind) {
        if self.home.is_some() {
            tasks.sort_by_key(|task| kind(task) != TaskKind::Control);
        }
    }

    /// The birth of one task. One with a parent is born where that is, as far as nothing else is said of its kind.
    pub fn of(
        &self,
        kind: TaskKind,
        task: TaskId,
        tid: Tid,
        parent: Option<TaskId>,
    ) -> Vec<Command> {
        let name = TaskName {
            machine: self.machine.name.clone(),
            kind,
        };
        let mut commands = vec![Command::Fork {
            task,
            name,
            tid,
            parent,
        }];
        let attach = |group: &GroupPath| Command::Attach {
            group: group.clone(),
            task,
        };
        let is_control = kind == TaskKind::Control;
        let groups = self.machine.placement.groups_of(kind).iter();
        let is_apart = |group: &&GroupPath| match &self.home {
            Some(home) => !is_control && group.hierarchy() == home.group.hierarchy(),
            None => false,
        };
        commands.extend(groups.filter(|group| !is_apart(group)).map(attach));
        if is_control {
            let bytes = memory_needed(&self.machine.config);
            commands.push(Command::Reserve { task, bytes });
        }
        match &self.home {
            Some(home) if is_control => {
                let stale = home.is_taken.then(|| Command::Rmdir {
                    group: home.group.clone(),
                });
                commands.extend(stale);
                let subsystem = NS.into();
                commands.push(Command::Clone { task, subsystem });
            }
            // One with a parent is there by its birth.
            Some(home) if parent.is_none() => commands.push(attach(&home.group)),
            _ => {}
        }
        commands
    }
}

#[cfg(test)]
mod tests {
    use container_core::Credentials;

    use super::*;
    use crate::keeper::stage::{self, group, mkdir, new_machine};

    const CONTROL: Tid = Tid(1000);

    fn mount(hierarchy: &str, subsystem: &str) -> Command {
        Command::Mount {
            hierarchy: hierarchy.parse().unwrap(),
            subsystems: vec![subsystem.into()],
        }
    }

    /// One with a namespace of its own, all of whose tasks are placed in `n:/a` and `x:/b`.
    fn machine() -> NewMachine {
        let mut machine = new_machine("web");
        machine.namespaces = [host::Namespace::Uts].into_iter().collect();
        let groups = vec![group("n:/a"), group("x:/b")];
        let kinds = [TaskKind::Vcpu(0), TaskKind::Io, TaskKind::Control];
        machine.placement.by_kind = kinds.map(|kind| (kind, groups.clone())).into();
        machine
    }

    fn framework() -> Framework {
        let (trees, groups) = ([mount("n", "ns"), mount("x", "debug")], ["n:/a", "x:/b"]);
        stage::framework(&[&trees[..], &groups.map(mkdir)[..]].concat())
    }

    /// Let all of a machine's tasks be born, in the order they are to come in.
    fn bear(framework: &mut Framework, machine: &NewMachine) -> Result<Vec<TaskId>, Refusal> {
        let births = Births::new(framework, machine, CONTROL)?;
        let mut kinds = vec![TaskKind::Vcpu(0), TaskKind::Io, TaskKind::Control];
        births.sort(&mut kinds, |kind| *kind);
        let (mut tasks, mut commands) = (Vec::new(), Vec::new());
        for (kind, tid) in kinds.into_iter().zip(CONTROL.0..) {
            let task = framework.allocate_task();
            commands.append(&mut births.of(kind, task, Tid(tid), None));
            tasks.push(task);
        }
        framework.rehearse(&Credentials::ROOT, &commands)?;
        Ok(tasks)
    }

    fn places(framework: &Framework, task: TaskId) -> Vec<String> {
        let groups = framework.task(task).unwrap().groups;
        groups.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn all_tasks_are_born_into_the_group_that_control_is_cloned_into() {
        let mut framework = framework();
        let tasks = bear(&mut framework, &machine()).unwrap();
        for &task in &tasks {
            assert_eq!(places(&framework, task), ["n:/a/node_1000", "x:/b"]);
        }
        // A thread that is found later is born where control is.
        let (machine, late) = (machine(), framework.allocate_task());
        let births = Births::new(&framework, &machine, CONTROL).unwrap();
        let birth = births.of(TaskKind::Kvm(0), late, Tid(2000), Some(tasks[0]));
        let plan = framework.plan(&Credentials::ROOT, &birth).unwrap();
        framework.commit(plan).unwrap();
        assert_eq!(places(&framework, late), ["n:/a/node_1000", "x:/b"]);
    }

    #[test]
    fn a_group_that_a_dead_machine_of_the_number_has_left_makes_room_if_it_is_empty() {
        let mut framework = framework();
        let plan = framework.plan(&Credentials::ROOT, &[mkdir("n:/a/node_1000")]);
        framework.commit(plan.unwrap()).unwrap();
        let tasks = bear(&mut framework, &machine()).unwrap();
        assert_eq!(places(&framework, tasks[0]), ["n:/a/node_1000", "x:/b"]);
        // Not with something in it.
        let left = [mkdir("n:/a/node_1000"), mkdir("n:/a/node_1000/in")];
        let mut framework = self::framework();
        let plan = framework.plan(&Credentials::ROOT, &left);
        framework.commit(plan.unwrap()).unwrap();
        let refusal = bear(&mut framework, &machine()).unwrap_err();
        assert_eq!(refusal.errno, Errno::EBUSY);
    }

    #[test]
    fn a_machine_without_namespaces_is_born_where_it_is_placed_and_so_is_one_where_ns_is_not_mounted()
     {
        let mut framework = framework();
        let mut plain = machine();
        plain.namespaces = host::Namespaces::NONE;
        let tasks = bear(&mut framework, &plain).unwrap();
        assert_eq!(places(&framework, tasks[2]), ["n:/a", "x:/b"]);
        let mut framework = stage::framework(&[
            mount("n", "cpuacct"),
            mkdir("n:/a"),
            mount("x", "debug"),
            mkdir("x:/b"),
        ]);
        let tasks = bear(&mut framework, &machine()).unwrap();
        assert_eq!(places(&framework, tasks[2]), ["n:/a", "x:/b"]);
    }

    #[test]
    fn tasks_that_would_stand_apart_where_ns_is_are_refused_and_elsewhere_are_not() {
        let mut apart = machine();
        let io = vec![group("n:/"), group("x:/b")];
        apart.placement.by_kind.insert(TaskKind::Io, io);
        let refusal = bear(&mut framework(), &apart).unwrap_err();
        assert_eq!(refusal.errno, Errno::EINVAL);
        assert!(
            refusal.rule.contains("io is not placed where control is"),
            "{refusal}"
        );
        let io = vec![group("n:/a"), group("x:/")];
        apart.placement.by_kind.insert(TaskKind::Io, io);
        bear(&mut framework(), &apart).unwrap();
    }
}
