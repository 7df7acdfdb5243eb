//! css_sets: one for each distinct assignment of a task to groups.
//!
//! A task points at one css_set, and a css_set at one group in every hierarchy. Tasks with the same
//! assignment share the set: it is found by the hash of its groups. Sets and groups are linked both
//! ways (kernel: cg_cgroup_link), so that listing a group's tasks costs only those tasks.
//!
//! A set is in the hash exactly while it has tasks; the first one, the root css_set, always. A set
//! that lost its last task is parked until the batch is settled, so that undoing finds it in place.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::Tid;
use crate::core::Core;
use crate::group::{GroupId, HierarchyId};
use crate::index::{Index, hash_all};
use crate::slab::{Id, Linked, Node, Slab};
use crate::table::{Task, TaskSlot};

pub(crate) type CssSetId = Id<CssSet>;
pub(crate) type LinkId = Id<Link>;

/// The root css_set: the root group in every hierarchy. It is never freed.
pub(crate) const INIT_CSS_SET: CssSetId = Id::FIRST;

/// The groups of a set, by hierarchy slot; None in the slot of a hierarchy that is gone. As many as most
/// hosts have stand in the set itself.
#[derive(Clone)]
pub(crate) enum Key {
    Few(u8, [Option<GroupId>; Key::FEW]),
    Many(Arc<[Option<GroupId>]>),
}

impl Key {
    const FEW: usize = 7;
}

impl Deref for Key {
    type Target = [Option<GroupId>];

    fn deref(&self) -> &Self::Target {
        match self {
            Key::Few(len, groups) => &groups[..usize::from(*len)],
            Key::Many(groups) => groups,
        }
    }
}

impl FromIterator<Option<GroupId>> for Key {
    fn from_iter<I: IntoIterator<Item = Option<GroupId>>>(groups: I) -> Key {
        let mut groups = groups.into_iter();
        let (mut few, mut len) = ([None; Key::FEW], 0);
        while let Some(group) = groups.next() {
            let Some(place) = few.get_mut(len) else {
                let all = few.into_iter().chain([group]).chain(groups);
                return Key::Many(all.collect());
            };
            *place = group;
            len += 1;
        }
        Key::Few(len as u8, few)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(out)
    }
}

/// One distinct assignment; a cache line, and on one.
#[derive(Clone)]
#[repr(align(64))]
pub(crate) struct CssSet {
    pub key: Key,
    /// The first of its links; each knows the next.
    links: Option<LinkId>,
    /// In the order of the file `tasks`, which is also all that it takes to write one.
    pub tasks: BTreeSet<Tid>,
}

const _: () = assert!(size_of::<Option<CssSet>>() == 64);

/// One css_set in the list of one of its groups.
#[derive(Clone)]
pub(crate) struct Link {
    pub set: CssSetId,
    group: GroupId,
    node: Node<Link>,
    /// The next of the same set.
    next: Option<LinkId>,
}

impl Linked for Link {
    fn node(&self) -> &Node<Link> {
        &self.node
    }

    fn node_mut(&mut self) -> &mut Node<Link> {
        &mut self.node
    }
}

/// All css_sets and their links to groups.
#[derive(Clone)]
pub(crate) struct CssSets {
    pub sets: Slab<CssSet>,
    pub links: Slab<Link>,
    by_key: Index<CssSet>,
    parked: Vec<CssSetId>,
}

impl CssSets {
    pub fn new() -> CssSets {
        CssSets {
            sets: Slab::new(),
            links: Slab::new(),
            by_key: Index::new(),
            parked: Vec::new(),
        }
    }

    /// The set in the hash for these groups.
    pub fn find(&self, key: impl Iterator<Item = Option<GroupId>> + Clone) -> Option<CssSetId> {
        let is_it = |set| self.sets[set].key.iter().copied().eq(key.clone());
        self.by_key.find(hash_of(key.clone()), is_it)
    }

    /// The groups of a set with another one in one hierarchy.
    fn key_with(
        &self,
        base: CssSetId,
        hierarchy: HierarchyId,
        group: GroupId,
    ) -> impl Iterator<Item = Option<GroupId>> + Clone {
        let groups = self.sets[base].key.iter().enumerate();
        groups.map(move |(slot, before)| match slot == hierarchy.index() {
            true => Some(group),
            false => *before,
        })
    }

    /// The groups of one set.
    pub fn groups_of(&self, set: CssSetId) -> impl Iterator<Item = GroupId> {
        self.sets[set].key.iter().flatten().copied()
    }

    /// The links of one set.
    pub fn links_of(&self, set: CssSetId) -> impl Iterator<Item = LinkId> {
        let first = self.sets[set].links;
        std::iter::successors(first, |link| self.links[*link].next)
    }

    /// Sets in the hash.
    pub fn hashed(&self) -> usize {
        self.by_key.len()
    }

    fn hash(&mut self, set: CssSetId) {
        let hash = hash_of(self.sets[set].key.iter().copied());
        self.by_key.insert(hash, set);
    }

    fn unhash(&mut self, set: CssSetId) {
        let hash = hash_of(self.sets[set].key.iter().copied());
        self.by_key.remove(hash, set);
    }
}

fn hash_of(key: impl Iterator<Item = Option<GroupId>>) -> u32 {
    hash_all(key.map(|group| group.map_or(0, |group| group.index() as u32 + 1)))
}

impl Core {
    /// The set that differs from `base` in one hierarchy only, made if there is none.
    pub(crate) fn css_set_for(
        &mut self,
        base: CssSetId,
        hierarchy: HierarchyId,
        group: GroupId,
    ) -> CssSetId {
        match self.find_css_set(base, hierarchy, group) {
            Some(set) => set,
            None => {
                let key = self.css.key_with(base, hierarchy, group).collect();
                self.new_css_set(key)
            }
        }
    }

    /// The set that differs from `base` in one hierarchy only, if there is one.
    pub(crate) fn find_css_set(
        &self,
        base: CssSetId,
        hierarchy: HierarchyId,
        group: GroupId,
    ) -> Option<CssSetId> {
        self.css.find(self.css.key_with(base, hierarchy, group))
    }

    /// A set of no tasks; whoever asks lets one join at once.
    pub(crate) fn new_css_set(&mut self, key: Key) -> CssSetId {
        let set = self.css.sets.insert(CssSet {
            key,
            links: None,
            tasks: BTreeSet::new(),
        });
        self.link_groups(set);
        if set == INIT_CSS_SET {
            self.css.hash(set);
        }
        set
    }

    /// Put a task, which is in no set, into one.
    pub(crate) fn join(&mut self, task: TaskSlot, set: CssSetId) {
        if self.css.sets[set].tasks.is_empty() && set != INIT_CSS_SET {
            self.css.hash(set);
        }
        let member = &mut self.tasks.slots[task];
        member.css_set = set;
        self.css.sets[set].tasks.insert(member.tid);
        for group in self.css.sets[set].key.iter().flatten() {
            self.groups[*group].tasks += 1;
        }
    }

    /// Take a task out of its set.
    pub(crate) fn leave(&mut self, task: TaskSlot) -> CssSetId {
        let Task {
            css_set: set, tid, ..
        } = self.tasks.slots[task];
        for group in self.css.sets[set].key.iter().flatten() {
            self.groups[*group].tasks -= 1;
        }
        self.css.sets[set].tasks.remove(&tid);
        if self.css.sets[set].tasks.is_empty() && set != INIT_CSS_SET {
            self.css.unhash(set);
            self.css.parked.push(set);
        }
        set
    }

    /// Give sets other groups, one for one: nothing may be equal afterwards that was not before.
    pub(crate) fn rekey(&mut self, keys: Vec<(CssSetId, Key)>) {
        for (set, _) in &keys {
            self.css.unhash(*set);
            self.unlink_groups(*set);
            let CssSet { key, tasks, .. } = &self.css.sets[*set];
            for group in key.iter().flatten() {
                self.groups[*group].tasks -= tasks.len() as u32;
            }
        }
        for (set, key) in keys {
            self.css.sets[set].key = key;
            self.link_groups(set);
            let CssSet { key, tasks, .. } = &self.css.sets[set];
            for group in key.iter().flatten() {
                self.groups[*group].tasks += tasks.len() as u32;
            }
            if !tasks.is_empty() || set == INIT_CSS_SET {
                self.css.hash(set);
            }
        }
    }

    /// Free the sets that were parked and stayed empty.
    pub(crate) fn sweep_css_sets(&mut self) {
        while let Some(set) = self.css.parked.pop() {
            if self
                .css
                .sets
                .get(set)
                .is_some_and(|set| set.tasks.is_empty())
            {
                self.unlink_groups(set);
                self.css.sets.remove(set);
            }
        }
    }

    /// The css_sets of one group.
    pub(crate) fn css_sets_of(&self, group: GroupId) -> impl Iterator<Item = &CssSet> {
        let links = self.groups[group].css_sets.iter(&self.css.links);
        links.map(|link| &self.css.sets[self.css.links[link].set])
    }

    /// The tasks of one group, in no order.
    pub fn tasks_in(&self, group: GroupId) -> impl Iterator<Item = TaskSlot> {
        let tids = self.css_sets_of(group).flat_map(|set| &set.tasks);
        tids.map(|tid| {
            let task = self.tasks.with_tid(*tid);
            task.expect("who is in a set is listed")
        })
    }

    /// A task's group in one hierarchy.
    pub(crate) fn group_of(&self, task: TaskSlot, hierarchy: HierarchyId) -> GroupId {
        let set = &self.css.sets[self.tasks.slots[task].css_set];
        set.key[hierarchy.index()].expect("a set has a group in every active hierarchy")
    }

    fn link_groups(&mut self, set: CssSetId) {
        let CssSet { key, links, .. } = &mut self.css.sets[set];
        for group in key.iter().flatten() {
            let link = self.css.links.insert(Link {
                set,
                group: *group,
                node: Node::default(),
                next: *links,
            });
            self.groups[*group].css_sets.push(&mut self.css.links, link);
            *links = Some(link);
        }
    }

    fn unlink_groups(&mut self, set: CssSetId) {
        let mut first = self.css.sets[set].links.take();
        while let Some(link) = first {
            let Link { group, next, .. } = self.css.links[link];
            self.groups[group]
                .css_sets
                .unlink(&mut self.css.links, link);
            self.css.links.remove(link);
            first = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::DUMMY_ROOT;
    use crate::{HierarchyName, HostResources};

    #[test]
    fn a_set_has_another_hash_where_any_of_its_groups_is_another_or_is_not_there() {
        let mut core = Core::new(HostResources {
            allowed_cpus: "0".parse().unwrap(),
            present_cpus: "0".parse().unwrap(),
            possible_cpus: 1,
            mems: "0".parse().unwrap(),
        });
        let mut slots = vec![None, Some(DUMMY_ROOT)];
        for _ in 0..28 {
            let hierarchy = core.new_hierarchy(HierarchyName::dummy());
            slots.push(Some(core.hierarchies[hierarchy].root));
        }
        let slots = &slots;
        let keys = slots
            .iter()
            .flat_map(|one| slots.iter().map(move |other| [*one, *other]));
        let hashes: BTreeSet<u32> = keys.map(|key| hash_of(key.into_iter())).collect();
        assert_eq!(hashes.len(), 900);
    }
}
