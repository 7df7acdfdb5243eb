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
    Command, Errno, Framework, GroupPath, Refusal, TaskId, TaskKind, TaskName, Tid,
};

use crate::{NewMachine, memory_needed};

/// The subsystem that a machine with namespaces is cloned by.
pub(crate) const NS: &str = "ns";

/// The births of one machine.
pub struct Births<'a> {
    machine: &'a NewMachine,
    home: Option<Home>,
}

/// Where a machine with namespaces stands.
struct Home {
    group: GroupPath,
    /// A dead machine of the same number has left its group, and it is in the way.
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
        let hierarchies = framework.hierarchies().into_iter();
        let mut with_ns = hierarchies.filter(|one| one.mounted && one.subsystems.contains(&NS));
        let hierarchy = with_ns.next().filter(|_| !machine.namespaces.is_empty());
        let Some(hierarchy) = hierarchy.map(|hierarchy| hierarchy.name) else {
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
