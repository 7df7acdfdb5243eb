//! The state that every part of the framework reads: hierarchies, groups, css_sets and tasks.
//!
//! What a subsystem knows of a group is not here: each keeps its own, keyed by group.

use std::hash::{BuildHasher, RandomState};

use crate::css_set::CssSets;
use crate::group::{DUMMY, Group, GroupId, Hierarchy, HierarchyId, HierarchyState};
use crate::index::Index;
use crate::slab::Slab;
use crate::subsystem::{MAX_SUBSYSTEMS, SubsystemId};
use crate::table::{TaskSlot, TaskTable};
use crate::{GroupPath, HierarchyName, HostResources, TaskName};

#[derive(Clone)]
/// Groups and tasks, as subsystems may read them.
pub struct Core {
    pub(crate) host: HostResources,
    pub(crate) hierarchies: Slab<Hierarchy>,
    pub(crate) groups: Slab<Group>,
    by_path: Index<Group>,
    /// Paths are chosen by whoever may make groups, and so their hashes are not to be foreseen.
    path_hasher: RandomState,
    pub(crate) css: CssSets,
    pub(crate) tasks: TaskTable,
    /// The hierarchy that each subsystem sits on, by subsystem id.
    pub(crate) bindings: [HierarchyId; MAX_SUBSYSTEMS],
}

impl Core {
    /// One hierarchy, the dummy, with all subsystems on it, and the root css_set.
    pub(crate) fn new(host: HostResources) -> Core {
        let mut core = Core {
            host,
            hierarchies: Slab::new(),
            groups: Slab::new(),
            by_path: Index::new(),
            path_hasher: RandomState::new(),
            css: CssSets::new(),
            tasks: TaskTable::new(),
            bindings: [DUMMY; MAX_SUBSYSTEMS],
        };
        let dummy = core.new_hierarchy(HierarchyName::dummy());
        let root = core.hierarchies[dummy].root;
        core.new_css_set([Some(root)].into_iter().collect());
        core
    }

    /// A hierarchy of a root alone, which no css_set knows yet.
    pub(crate) fn new_hierarchy(&mut self, name: HierarchyName) -> HierarchyId {
        let state = HierarchyState {
            mounted: true,
            active: true,
            release_agent: "".into(),
        };
        let path = GroupPath::root(&name);
        // The group needs the hierarchy's id and the hierarchy the group's: the second is put right.
        let root = self.groups.insert(Group::new(path, DUMMY, None));
        let hierarchy = self.hierarchies.insert(Hierarchy {
            name,
            root,
            state,
            groups: 1,
        });
        self.groups[root].hierarchy = hierarchy;
        hierarchy
    }

    /// A group, in its tree, by its path; roots are not asked for.
    pub(crate) fn group_at(&self, hierarchy: HierarchyId, path: &str) -> Option<GroupId> {
        self.by_path.find(self.path_hash(hierarchy, path), |group| {
            let group = &self.groups[group];
            group.hierarchy == hierarchy && group.path.path() == path
        })
    }

    /// The group is found by its path from now on.
    pub(crate) fn list_path(&mut self, group: GroupId) {
        let Group {
            hierarchy, path, ..
        } = &self.groups[group];
        let hash = self.path_hash(*hierarchy, path.path());
        self.by_path.insert(hash, group);
    }

    /// It is found no more; to be asked before the path changes.
    pub(crate) fn unlist_path(&mut self, group: GroupId) {
        let Group {
            hierarchy, path, ..
        } = &self.groups[group];
        let hash = self.path_hash(*hierarchy, path.path());
        self.by_path.remove(hash, group);
    }

    /// Groups that are found by their paths.
    pub(crate) fn listed_paths(&self) -> usize {
        self.by_path.len()
    }

    fn path_hash(&self, hierarchy: HierarchyId, path: &str) -> u32 {
        let hash = self.path_hasher.hash_one((hierarchy, path));
        (hash >> 32) as u32
    }

    /// The root of the hierarchy that a subsystem sits on.
    pub(crate) fn root_of(&self, subsystem: SubsystemId) -> GroupId {
        self.hierarchies[self.bindings[subsystem.0]].root
    }

    /// A task's group as one subsystem sees it.
    pub(crate) fn group_for(&self, subsystem: SubsystemId, task: TaskSlot) -> GroupId {
        self.group_of(task, self.bindings[subsystem.0])
    }

    /// Whether a subsystem is bound to a hierarchy that is listed.
    pub(crate) fn is_bound(&self, subsystem: SubsystemId) -> bool {
        self.bindings[subsystem.0] != DUMMY
    }

    /// Hierarchies other than the dummy that stand, by slot.
    pub(crate) fn listed(&self) -> impl DoubleEndedIterator<Item = (HierarchyId, &Hierarchy)> {
        self.hierarchies
            .iter()
            .filter(|(id, hierarchy)| *id != DUMMY && hierarchy.state.active)
    }

    /// The group itself, then its parent and so on up to the root.
    pub fn lineage(&self, group: GroupId) -> impl Iterator<Item = GroupId> + '_ {
        std::iter::successors(Some(group), |group| self.groups[*group].parent)
    }

    /// The group and all below it: parents before children, siblings by name.
    pub fn subtree(&self, group: GroupId) -> impl Iterator<Item = GroupId> + '_ {
        let mut pending = vec![group];
        std::iter::from_fn(move || {
            let group = pending.pop()?;
            pending.extend(self.groups[group].children.values().rev());
            Some(group)
        })
    }

    /// Where a group stands.
    pub fn path_of(&self, group: GroupId) -> &GroupPath {
        &self.groups[group].path
    }

    /// A task's name.
    pub fn name_of(&self, task: TaskSlot) -> &TaskName {
        &self.tasks.slots[task].name
    }

    /// How many tasks are in this very group.
    pub fn count_in(&self, group: GroupId) -> u32 {
        self.groups[group].tasks
    }

    /// A task's group in the hierarchy that `group` stands in.
    pub fn beside(&self, group: GroupId, task: TaskSlot) -> GroupId {
        self.group_of(task, self.groups[group].hierarchy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_path_is_not_to_be_foreseen() {
        let host = || HostResources {
            allowed_cpus: "0".parse().unwrap(),
            present_cpus: "0".parse().unwrap(),
            possible_cpus: 1,
            mems: "0".parse().unwrap(),
        };
        let (one, other) = (Core::new(host()), Core::new(host()));
        let mut paths = (0..8).map(|n| format!("/a{n}"));
        assert!(paths.any(|path| one.path_hash(DUMMY, &path) != other.path_hash(DUMMY, &path)));
    }
}
