//! What a commit made happen, in commit order.

use crate::{GroupPath, HierarchyName, TaskId, TaskName};

/// One thing that happened. The owner of the framework numbers them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Mounted { hierarchy: HierarchyName },
    Unmounted { hierarchy: HierarchyName },
    GroupCreated { group: GroupPath },
    GroupRemoved { group: GroupPath },
    GroupRenamed { from: GroupPath, to: GroupPath },
    TaskBorn { task: TaskId, name: TaskName },
    TaskMoved { task: TaskId, name: TaskName, from: GroupPath, to: GroupPath },
    TaskExited { task: TaskId, name: TaskName },
    FileWritten { group: GroupPath, file: String, value: String },
    /// A group with notify_on_release became empty. `agent` is the hierarchy's release_agent at that
    /// moment, None where it is empty.
    Released { group: GroupPath, agent: Option<String> },
}
