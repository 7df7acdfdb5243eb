//! What can be asked of the framework, and the plan it answers with.

use std::collections::BTreeSet;

use crate::{
    Bytes, Effect, Event, Generation, GroupPath, HierarchyName, HostResources, TaskId, TaskName,
    Tid,
};

/// One change. Every door (CLI, API, guest, spec file, tests) asks in these words.
#[allow(
    missing_docs,
    reason = "each field is what its name and its variant's sentence say"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Mount a hierarchy and bind the subsystems to it; the same name and set again is the same tree.
    Mount {
        hierarchy: HierarchyName,
        subsystems: Vec<String>,
    },
    /// Unmount a hierarchy; one with child groups stays alive and listed.
    Unmount { hierarchy: HierarchyName },
    /// Give a hierarchy without child groups exactly this set of subsystems. It keeps its name, its
    /// root and who is in it; the set that it has is no change.
    Remount {
        hierarchy: HierarchyName,
        subsystems: Vec<String>,
    },
    /// Make a group. Owner, mode, notify_on_release and cgroup.clone_children are the parent's.
    Mkdir { group: GroupPath },
    /// Remove a group that has neither tasks nor children.
    Rmdir { group: GroupPath },
    /// Rename within the same parent; `to` is a name, not a path.
    Rename { group: GroupPath, to: String },
    /// Hand a group to another owner or change its permission bits (`mode` as in 0o755).
    Chown {
        group: GroupPath,
        uid: u32,
        gid: u32,
        mode: u16,
    },
    /// Write a control file.
    Write {
        group: GroupPath,
        file: String,
        value: String,
    },
    /// Move a task into a group of one hierarchy.
    Attach { group: GroupPath, task: TaskId },
    /// A task is born: it shares its parent's css_set, or the root css_set where it has none.
    /// `task` comes from [`Framework::allocate_task`](crate::Framework::allocate_task).
    Fork {
        task: TaskId,
        name: TaskName,
        tid: Tid,
        parent: Option<TaskId>,
    },
    /// What a machine may ever need of memory, said of its `control` task: once in its birth's batch,
    /// after it is placed. The groups that the task is in must have it to give.
    Reserve { task: TaskId, bytes: Bytes },
    /// A task is dead. Charge its last reading before planning this.
    Exit { task: TaskId },
    /// New child group `node_<tid>` under the task's group in the subsystem's hierarchy, task moved in.
    /// Where the subsystem is not mounted, nothing is done.
    Clone { task: TaskId, subsystem: String },
}

/// A checked batch of commands: what it will do to the host, good for one generation.
#[derive(Debug)]
pub struct Plan {
    pub(crate) generation: Generation,
    pub(crate) by: crate::Credentials,
    pub(crate) commands: Vec<Command>,
    pub(crate) host: Option<Box<HostResources>>,
    pub(crate) effects: Vec<Effect>,
}

impl Plan {
    /// What must be carried out on the host, in order, before the commit.
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }

    /// The framework generation that the checks were made against.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Whether it changes groups, or moves a task that lived before.
    pub(crate) fn changes_groups(&self) -> bool {
        self.host.is_some() || changes_groups(&self.commands)
    }

    /// The commands, as asked.
    pub fn commands(&self) -> &[Command] {
        &self.commands
    }
}

/// What became of a batch that was to be committed if nothing has to be done for it first.
#[derive(Debug)]
pub enum Attempt {
    /// It is in force; this happened.
    Committed(Vec<Event>),
    /// The host comes first. Nothing has changed.
    Planned(Plan),
}

/// Whether a batch changes groups, or moves a task that lived before. A task's birth, its way into its first groups and
/// what is reserved for it there do not, nor does its end. A group that is made for it does.
pub(crate) fn changes_groups(commands: &[Command]) -> bool {
    let mut born = BTreeSet::new();
    let mut is_change = |command: &Command| match command {
        Command::Fork { task, .. } => {
            born.insert(*task);
            false
        }
        Command::Exit { .. } => false,
        Command::Attach { task, .. } | Command::Reserve { task, .. } => !born.contains(task),
        _ => true,
    };
    commands.iter().any(&mut is_change)
}
