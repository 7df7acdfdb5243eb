//! What can be asked of the framework, and the plan it answers with.

use crate::{Effect, Generation, GroupPath, HierarchyName, TaskId, TaskName, Tid};

/// One change. Every door (CLI, API, guest, spec file, tests) asks in these words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Mount a hierarchy and bind the subsystems to it.
    Mount { hierarchy: HierarchyName, subsystems: Vec<String> },
    /// Unmount a hierarchy; one with child groups stays alive and listed.
    Unmount { hierarchy: HierarchyName },
    /// Make a group. `mode` 0o755 style permission bits; owner is the asker.
    Mkdir { group: GroupPath },
    Rmdir { group: GroupPath },
    /// Rename within the same parent.
    Rename { group: GroupPath, to: String },
    /// Hand a group to another owner or change its permission bits.
    Chown { group: GroupPath, uid: u32, gid: u32, mode: u16 },
    /// Write a control file.
    Write { group: GroupPath, file: String, value: String },
    /// Move a task into a group of one hierarchy.
    Attach { group: GroupPath, task: TaskId },
    /// A task is born: it shares its parent's css_set, or the root css_set where it has none.
    /// `task` comes from [`Framework::allocate_task`](crate::Framework::allocate_task).
    Fork { task: TaskId, name: TaskName, tid: Tid, parent: Option<TaskId> },
    /// A task is dead. Charge its last reading before planning this.
    Exit { task: TaskId },
    /// New child group `node_<task>` under the task's group in the subsystem's hierarchy, task moved in.
    Clone { task: TaskId, subsystem: String },
}

/// A checked batch of commands: what it will do to the host, good for one generation.
#[derive(Debug)]
pub struct Plan {
    pub(crate) generation: Generation,
    pub(crate) commands: Vec<Command>,
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
    /// The commands, as asked.
    pub fn commands(&self) -> &[Command] {
        &self.commands
    }
}
