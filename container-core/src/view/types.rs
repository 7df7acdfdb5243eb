//! What a guest says and hears: ids, commands, listings and events in its own names.

use super::ViewPath;
use crate::{CpuSet, HierarchyName, TaskKind};

/// An open view, never reused as long as the framework lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ViewId(pub(super) u64);

/// What a guest may do in a hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ViewAccess {
    /// Look.
    Read,
    /// Make groups below the root, write their files, and move its own vCPUs between them.
    Delegate,
}

/// One change that a guest asks for.
#[allow(
    missing_docs,
    reason = "each field is what its name and its variant's sentence say"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewCommand {
    /// Make a group.
    Mkdir { group: ViewPath },
    /// Remove a group that has neither tasks nor children.
    Rmdir { group: ViewPath },
    /// Write a control file; `tasks` takes one `vcpuN`, which is attached.
    Write {
        group: ViewPath,
        file: String,
        value: String,
    },
    /// Move a vCPU of the view's machine.
    Attach { group: ViewPath, task: TaskKind },
}

/// The root of a view in one hierarchy, as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewRoot {
    /// The hierarchy; the root is `HIERARCHY:/` to the guest.
    pub hierarchy: HierarchyName,
    /// The subsystems bound to it.
    pub subsystems: Vec<&'static str>,
    /// What a change asked for now would meet: `Read` also in a view opened with `Delegate`, as
    /// long as the root's subtree is shared.
    pub access: ViewAccess,
}

/// A group as a guest sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewGroup {
    /// Its name.
    pub path: ViewPath,
    /// Effective CPUs; None where no cpuset is bound to the hierarchy.
    pub cpus: Option<CpuSet>,
    /// Living tasks in this very group, of whatever machine.
    pub tasks: usize,
    /// Those of them that are the view's machine's, ascending.
    pub own: Vec<TaskKind>,
    /// Whether becoming empty makes an event.
    pub notify_on_release: bool,
}

/// Something that happened inside a view. The owner of the framework numbers them, for each view
/// apart: a common number would count what happens to others.
#[allow(
    missing_docs,
    reason = "each field is what its name and its variant's sentence say"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewEvent {
    /// A group with notify_on_release became empty.
    Released { group: ViewPath },
    /// A group was made.
    GroupCreated { group: ViewPath },
    /// A group was removed; the root, with it all of the view in that hierarchy.
    GroupRemoved { group: ViewPath },
    /// A group below the root, and so every group below it, changed its path.
    GroupRenamed { from: ViewPath, to: ViewPath },
    /// A task of the view's own machine changed groups; a group outside the view is None.
    TaskMoved {
        task: TaskKind,
        from: Option<ViewPath>,
        to: Option<ViewPath>,
    },
    /// All vCPUs of a freezing group are out of their guests.
    GroupFrozen { group: ViewPath },
    /// A group that was freezing, or frozen, is not any more.
    GroupThawed { group: ViewPath },
    /// A control file that guests may read took a value.
    FileWritten {
        group: ViewPath,
        file: String,
        value: String,
    },
}
