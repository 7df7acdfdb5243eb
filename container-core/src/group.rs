//! A group and the hierarchy it stands in, as the framework keeps them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::css_set::Link;
use crate::slab::{Id, List};
use crate::{Generation, GroupPath, HierarchyName};

pub(crate) type GroupId = Id<Group>;
pub(crate) type HierarchyId = Id<Hierarchy>;

/// The hierarchy that is never listed: subsystems that are not mounted sit on its one group.
pub(crate) const DUMMY: HierarchyId = Id::FIRST;

/// The one group of the dummy hierarchy; every task is in it.
pub(crate) const DUMMY_ROOT: GroupId = Id::FIRST;

/// A tree of groups.
#[derive(Clone)]
pub(crate) struct Hierarchy {
    pub name: HierarchyName,
    pub root: GroupId,
    pub state: HierarchyState,
    pub groups: usize,
}

/// What a command can change about a hierarchy; one entry of the undo log.
#[derive(Clone)]
pub(crate) struct HierarchyState {
    /// False once unmounted: its groups live on, but commands do not reach them.
    pub mounted: bool,
    /// False once gone for good; the slot is freed when the batch is settled.
    pub active: bool,
    /// Program to run for a released group; empty for none.
    pub release_agent: Arc<str>,
}

/// A node of a hierarchy. What a task's coming and going touches is in the first of two cache lines.
#[derive(Clone)]
#[repr(C, align(64))]
pub(crate) struct Group {
    pub path: GroupPath,
    pub hierarchy: HierarchyId,
    pub parent: Option<GroupId>,
    /// Tasks in this very group: the sum over its css_sets.
    pub tasks: u32,
    pub css_sets: List<Link>,
    /// The commit that last changed who is in it, or made it.
    pub changed: Generation,
    /// 0 for the root.
    pub depth: u32,
    /// Groups below, at any depth.
    pub descendants: u32,
    pub children: BTreeMap<Box<str>, GroupId>,
    pub attributes: Attributes,
    /// Removed, and freed when the batch is settled: until then it can come back.
    pub offline: bool,
}

const _: () = assert!(size_of::<Option<Group>>() == 128);

/// What a command can change about a group; one entry of the undo log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub uid: u32,
    pub gid: u32,
    pub mode: u16,
    pub notify_on_release: bool,
    pub clone_children: bool,
    /// Levels of groups allowed below; None for `max`.
    pub max_depth: Option<u32>,
    /// Groups allowed below at any depth; None for `max`.
    pub max_descendants: Option<u32>,
}

impl Attributes {
    /// A root's.
    pub const ROOT: Attributes = Attributes {
        uid: 0,
        gid: 0,
        mode: 0o755,
        notify_on_release: false,
        clone_children: false,
        max_depth: None,
        max_descendants: None,
    };

    /// A new child's.
    pub fn inherited(&self) -> Attributes {
        Attributes {
            max_depth: None,
            max_descendants: None,
            ..*self
        }
    }
}

impl Group {
    pub fn new(
        path: GroupPath,
        hierarchy: HierarchyId,
        parent: Option<(GroupId, &Group)>,
    ) -> Group {
        Group {
            path,
            hierarchy,
            parent: parent.map(|(id, _)| id),
            children: BTreeMap::new(),
            depth: parent.map_or(0, |(_, group)| group.depth + 1),
            descendants: 0,
            tasks: 0,
            css_sets: List::new(),
            changed: Generation::default(),
            attributes: parent.map_or(Attributes::ROOT, |(_, group)| group.attributes.inherited()),
            offline: false,
        }
    }

    /// Neither tasks nor children: what a release, and an rmdir, ask for.
    pub fn is_empty(&self) -> bool {
        self.tasks == 0 && self.children.is_empty()
    }
}
