//! The two ends of a batch: everything taken back, or everything kept.

use super::{Framework, MAX_DEAD};
use crate::group::{GroupId, HierarchyId};
use crate::subsystem::Subsystems;
use crate::table::TaskSlot;
use crate::transaction::{Transaction, Undo};

/// What has left the state in the batch under way, and is freed at its end.
#[derive(Clone, Default)]
pub(super) struct Leaving {
    pub tasks: Vec<TaskSlot>,
    pub groups: Vec<GroupId>,
    pub hierarchies: Vec<HierarchyId>,
}

impl Framework {
    /// Put the state back to where it was before the batch.
    pub(crate) fn roll_back(&mut self, transaction: Transaction) {
        for inverse in transaction.log.into_iter().rev() {
            self.undo(inverse);
        }
        for id in Subsystems::ids() {
            self.subsystems.get_mut(id).undo();
        }
        self.sweep();
    }

    /// Keep what was done.
    pub(super) fn settle(&mut self) {
        for id in Subsystems::ids() {
            self.subsystems.get_mut(id).settle();
        }
        self.sweep();
        self.core.tasks.retire(MAX_DEAD);
    }

    fn undo(&mut self, inverse: Undo) {
        match inverse {
            Undo::Moved { task, from } => {
                self.core.leave(task);
                self.core.join(task, from);
            }
            Undo::Born { task, born_below } => {
                self.core.tasks.born_below = born_below;
                self.core.tasks.unlist(task);
                self.core.leave(task);
                self.leaving.tasks.push(task);
            }
            Undo::Died { task, from } => {
                self.core.tasks.exhume();
                self.core.tasks.list(task);
                self.core.join(task, from);
            }
            Undo::Made { group } => self.unlink_group(group),
            Undo::Removed { group } => self.link_group(group),
            Undo::Renamed { group, name } => self.set_name(group, &name),
            Undo::Attributes { group, before } => self.core.groups[group].attributes = before,
            Undo::Hierarchy { hierarchy, before } => {
                if !before.active {
                    self.leaving.hierarchies.push(hierarchy);
                }
                self.core.hierarchies[hierarchy].state = before;
            }
            Undo::Bound { subsystem, from } => self.core.bindings[subsystem.0] = from,
            Undo::Rekeyed { keys } => self.core.rekey(keys),
            Undo::Host { before } => self.core.host = *before,
        }
    }

    /// Free what left the state in this batch and did not come back.
    fn sweep(&mut self) {
        self.core.sweep_css_sets();
        for task in std::mem::take(&mut self.leaving.tasks) {
            // Perhaps it is there twice, born and dead in the same batch.
            let tasks = &mut self.core.tasks;
            if tasks.slots.get(task).is_some() && !tasks.is_listed(task) {
                tasks.slots.remove(task);
            }
        }
        for group in std::mem::take(&mut self.leaving.groups) {
            if self
                .core
                .groups
                .get(group)
                .is_some_and(|group| group.offline)
            {
                self.free_group(group);
            }
        }
        for hierarchy in std::mem::take(&mut self.leaving.hierarchies) {
            let gone = self
                .core
                .hierarchies
                .get(hierarchy)
                .filter(|it| !it.state.active);
            if let Some(root) = gone.map(|hierarchy| hierarchy.root) {
                self.free_group(root);
                self.core.hierarchies.remove(hierarchy);
            }
        }
    }

    fn free_group(&mut self, group: GroupId) {
        for id in Subsystems::ids() {
            self.subsystems.get_mut(id).css_free(group);
        }
        self.core.groups.remove(group);
        self.views.root_is_gone(group);
    }
}
