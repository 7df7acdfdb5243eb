//! Who is frozen: the facts from outside, and what becomes of groups by them.

use super::Framework;
use crate::group::GroupId;
use crate::subsystem::FREEZER;
use crate::subsystem::freezer::FreezerState;
use crate::transaction::{Touched, Transaction};
use crate::{Credentials, Event, Refusal, TaskId};

impl Framework {
    /// A vCPU that is frozen is out of its guest, or is let in again; said twice it is said once. Returns what
    /// becomes of its groups, as a commit does. Not a change of generation: a plan made before stays good.
    ///
    /// It may be said before the batch that freezes or thaws the task is committed.
    ///
    /// # Errors
    /// ESRCH for an unknown or dead task.
    pub fn note_held(&mut self, task: TaskId, is_held: bool) -> Result<Vec<Event>, Refusal> {
        let slot = self.core.tasks.living_task(task)?;
        let task = &mut self.core.tasks.slots[slot];
        let mut transaction = Transaction::lasting(Credentials::ROOT);
        if task.name.kind.is_vcpu() && task.is_held != is_held {
            task.is_held = is_held;
            let group = self.core.group_for(FREEZER, slot);
            for above in self.core.lineage(group) {
                let before = self.subsystems.freezer.state(&self.core, above);
                transaction.touched.freezing(above, || before);
            }
            self.subsystems.freezer.note(&self.core, group, is_held);
            self.tell_of_freezing(&mut transaction);
        }
        let (events, sightings) = transaction.into_events();
        self.views.sightings = sightings;
        Ok(events)
    }

    /// Whether the task is to be out of its guest.
    pub fn is_to_be_held(&self, task: TaskId) -> bool {
        let slot = self.core.tasks.get(task);
        slot.is_some_and(|slot| self.subsystems.freezer.freezes(&self.core, slot))
    }

    /// Whether all vCPUs of the group are out of their guests by its order or one above.
    pub(super) fn is_frozen(&self, group: GroupId) -> bool {
        self.core.bindings[FREEZER.0] == self.core.groups[group].hierarchy
            && self.subsystems.freezer.state(&self.core, group) == FreezerState::Frozen
    }

    /// Those of the touched tasks that are to be frozen after the batch and were not before, and the reverse.
    pub(super) fn freezes(&self, touched: &Touched) -> (Vec<TaskId>, Vec<TaskId>) {
        let changed = touched.freezes.iter().filter_map(|(task, before)| {
            let slot = self.core.tasks.get(*task)?;
            let after = self.subsystems.freezer.freezes(&self.core, slot);
            (after != *before).then_some((*task, after))
        });
        let (freezes, thaws): (Vec<_>, Vec<_>) = changed.partition(|(_, after)| *after);
        let tasks =
            |changed: Vec<(TaskId, bool)>| changed.into_iter().map(|(task, _)| task).collect();
        (tasks(freezes), tasks(thaws))
    }

    /// Tell of the groups that have become frozen or thawed, as far as they are still there.
    pub(super) fn tell_of_freezing(&self, transaction: &mut Transaction) {
        for (group, before) in std::mem::take(&mut transaction.touched.freezing) {
            let Some(this) = self.core.groups.get(group).filter(|group| !group.offline) else {
                continue;
            };
            let path = this.path.clone();
            let after = self.subsystems.freezer.state(&self.core, group);
            match after {
                _ if after == before => {}
                FreezerState::Frozen => {
                    self.tell(transaction, &[group], || Event::GroupFrozen { group: path })
                }
                FreezerState::Thawed => {
                    self.tell(transaction, &[group], || Event::GroupThawed { group: path })
                }
                FreezerState::Freezing => {}
            }
        }
    }

    /// # Panics
    /// Where a group counts other vCPUs than those that run in it and below.
    pub(super) fn check_freezing(&self) {
        let core = &self.core;
        for group in core.subtree(core.root_of(FREEZER)) {
            let tasks = core.subtree(group).flat_map(|group| core.tasks_in(group));
            let running = tasks.filter(|task| {
                let task = &core.tasks.slots[*task];
                task.name.kind.is_vcpu() && !task.is_held
            });
            assert_eq!(
                running.count(),
                self.subsystems.freezer.running(group) as usize,
                "vCPUs that run in {}",
                core.groups[group].path
            );
        }
    }
}
