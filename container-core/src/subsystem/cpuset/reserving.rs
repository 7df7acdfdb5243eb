//! Which children of a group forbid their siblings something: an exclusive group with CPUs or nodes does.
//!
//! There are no more of them than CPUs and nodes, however many children there are, so that a change is held against those few.

use super::{Cpuset, State};
use crate::core::Core;
use crate::group::GroupId;

impl State {
    /// The children that do.
    pub(super) fn reserving(&self) -> impl Iterator<Item = &GroupId> {
        self.reserving.iter().flat_map(|children| children.iter())
    }
}

impl Cpuset {
    pub(super) fn note_in_parent(&mut self, parent: GroupId, group: GroupId, reserves: bool) {
        let known = self.state(parent).reserving().any(|child| *child == group);
        if known == reserves {
            return;
        }
        let children = &mut self.states.edit(parent).reserving;
        match reserves {
            true => {
                children.get_or_insert_default().insert(group);
            }
            false => {
                let others = children.take().map(|mut children| {
                    children.remove(&group);
                    children
                });
                *children = others.filter(|others| !others.is_empty());
            }
        }
    }

    /// Have the parent know whether this child forbids its siblings something now.
    pub(super) fn note_reserving(&mut self, core: &Core, group: GroupId) {
        let Some(parent) = core.groups[group].parent else {
            return;
        };
        let reserves = self.state(group).reserves();
        self.note_in_parent(parent, group, reserves);
    }
}
