//! A task moves: attach, and clone, which makes the group to move into.

use super::Framework;
use super::resolve::{Access, check_access};
use crate::group::GroupId;
use crate::table::TaskSlot;
use crate::transaction::{Transaction, Undo};
use crate::{Errno, Event, Refusal, TaskId};

impl Framework {
    /// Move a task within the hierarchy of `to`.
    ///
    /// # Errors
    /// ESRCH for a task that is dead, EACCES without the right over the group or over the task, and
    /// what the subsystems object to.
    pub(super) fn attach(
        &mut self,
        transaction: &mut Transaction,
        to: GroupId,
        task: TaskId,
    ) -> Result<(), Refusal> {
        check_access(&self.core, &transaction.by, to, Access::Write)?;
        let task = self.core.tasks.living_task(task)?;
        let from = self.core.group_of(task, self.core.groups[to].hierarchy);
        self.has_right_over(transaction, task, from)?;
        match from == to {
            true => Ok(()),
            false => self.migrate(transaction, task, from, to),
        }
    }

    /// New child group `node_<tid>` below the task's own, and the task in it.
    ///
    /// # Errors
    /// EINVAL for an unknown subsystem, and those of mkdir and attach.
    pub(super) fn clone_group(
        &mut self,
        transaction: &mut Transaction,
        task: TaskId,
        subsystem: &str,
    ) -> Result<(), Refusal> {
        let id = self.subsystems.named(subsystem)?;
        let slot = self.core.tasks.living_task(task)?;
        let hierarchy = self.core.bindings[id.0];
        if !self.core.is_bound(id) || !self.core.hierarchies[hierarchy].state.mounted {
            return Ok(());
        }
        let parent = self.core.group_of(slot, hierarchy);
        let name = format!("node_{}", self.core.tasks.slots[slot].tid);
        let group = self.make_group(transaction, parent, &name)?;
        for id in self.bound_to(group) {
            let (subsystems, mut cx) = self.context(transaction);
            subsystems.get_mut(id).post_clone(&mut cx, group);
        }
        self.attach(transaction, group, task)
    }

    /// All subsystems agree, then nothing fails any more.
    fn migrate(
        &mut self,
        transaction: &mut Transaction,
        task: TaskSlot,
        from: GroupId,
        to: GroupId,
    ) -> Result<(), Refusal> {
        let bound = self.bound_to(to);
        for id in bound.clone() {
            let (subsystems, mut cx) = self.context(transaction);
            if let Err(refusal) = subsystems.get_mut(id).can_attach(&mut cx, task, to) {
                for agreed in bound.filter(|agreed| *agreed < id).rev() {
                    subsystems.get_mut(agreed).cancel_attach(&mut cx, task, to);
                }
                return Err(refusal);
            }
        }
        let hierarchy = self.core.groups[to].hierarchy;
        let old_set = self.core.leave(task);
        let new_set = self.core.css_set_for(old_set, hierarchy, to);
        self.core.join(task, new_set);
        transaction.change([from, to]);
        transaction.log.push(Undo::Moved {
            task,
            from: old_set,
        });
        for id in bound {
            let (subsystems, mut cx) = self.context(transaction);
            subsystems.get_mut(id).attach(&mut cx, task, from, to);
        }
        self.tell(transaction, &[from, to], || {
            let task = &self.core.tasks.slots[task];
            Event::TaskMoved {
                task: task.id,
                name: task.name.clone(),
                from: self.core.groups[from].path.clone(),
                to: self.core.groups[to].path.clone(),
            }
        });
        self.check_for_release(transaction, from);
        Ok(())
    }

    /// Who may write the group that a task is in has the right over the task.
    ///
    /// # Errors
    /// EACCES for who may not.
    fn has_right_over(
        &self,
        transaction: &Transaction,
        task: TaskSlot,
        from: GroupId,
    ) -> Result<(), Refusal> {
        check_access(&self.core, &transaction.by, from, Access::Write).map_err(|refusal| {
            let name = &self.core.tasks.slots[task].name;
            let rule = format!("no right over task {name}: {}", refusal.rule);
            Refusal::new(Errno::EACCES, rule)
        })
    }
}
