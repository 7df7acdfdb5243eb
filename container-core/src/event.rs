//! What a commit made happen, in commit order.

use crate::{GroupPath, HierarchyName, TaskId, TaskName};

/// One thing that happened. The owner of the framework numbers them.
#[allow(
    missing_docs,
    reason = "each field is what its name and its variant's sentence say"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A hierarchy was mounted, new or again.
    Mounted { hierarchy: HierarchyName },
    /// A hierarchy was unmounted; it lives on where it has child groups.
    Unmounted { hierarchy: HierarchyName },
    /// A hierarchy has another set of subsystems, by name.
    Remounted {
        hierarchy: HierarchyName,
        subsystems: Vec<&'static str>,
    },
    /// A group was made, by mkdir or by clone.
    GroupCreated { group: GroupPath },
    /// A group was removed.
    GroupRemoved { group: GroupPath },
    /// A group, and so every group below it, changed its path.
    GroupRenamed { from: GroupPath, to: GroupPath },
    /// A task was born into its parent's groups.
    TaskBorn { task: TaskId, name: TaskName },
    /// A task changed groups in one hierarchy.
    TaskMoved {
        task: TaskId,
        name: TaskName,
        from: GroupPath,
        to: GroupPath,
    },
    /// A task exited.
    TaskExited { task: TaskId, name: TaskName },
    /// A control file took a value (attaching through `tasks` is TaskMoved, not this).
    FileWritten {
        group: GroupPath,
        file: String,
        value: String,
    },
    /// All vCPUs of a freezing group, and of those below it, are out of their guests.
    GroupFrozen { group: GroupPath },
    /// A group that was freezing, or frozen, is not any more.
    GroupThawed { group: GroupPath },
    /// A group with notify_on_release became empty. `agent` is the hierarchy's release_agent at that
    /// moment, None where it is empty.
    Released {
        group: GroupPath,
        agent: Option<String>,
    },
}
