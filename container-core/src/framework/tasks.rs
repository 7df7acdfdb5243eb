//! Tasks are born and die.

use super::resolve::check_root;
use super::{Framework, MAX_TASKS};
use crate::css_set::INIT_CSS_SET;
use crate::group::{DUMMY, GroupId};
use crate::subsystem::Subsystems;
use crate::table::{Dead, Task, TaskSlot};
use crate::transaction::{Transaction, Undo};
use crate::{Errno, Event, GroupPath, Refusal, TaskId, TaskName, Tid, Usage};

impl Framework {
    /// A task joins its parent's css_set. can_attach is not asked.
    ///
    /// # Errors
    /// EPERM for who is not root, EINVAL for an id that was never allocated, EEXIST for an id, tid
    /// or name that is taken, ESRCH for a parent that is dead, EAGAIN for too many tasks, and what
    /// the subsystems cannot give.
    pub(super) fn fork(
        &mut self,
        transaction: &mut Transaction,
        (id, name, tid): (TaskId, &TaskName, Tid),
        parent: Option<TaskId>,
    ) -> Result<(), Refusal> {
        check_root(&transaction.by, "fork a task")?;
        self.identity_is_free(id, name, tid)?;
        let css_set = match parent {
            Some(parent) => {
                let parent = self.core.tasks.living_task(parent)?;
                self.core.tasks.slots[parent].css_set
            }
            None => INIT_CSS_SET,
        };
        let task = self.core.tasks.slots.insert(Task {
            id,
            name: name.clone(),
            tid,
            css_set,
            usage: Usage::ZERO,
            is_held: false,
            cpu: 0,
            system: 0,
            machine: None,
        });
        self.core.tasks.list(task);
        self.core.join(task, css_set);
        let born_below = self.core.tasks.born_below;
        self.core.tasks.born_below = born_below.max(id.0 + 1);
        transaction.change(self.core.css.groups_of(css_set));
        transaction.log.push(Undo::Born { task, born_below });
        transaction.touched.bear(id);
        for subsystem in Subsystems::ids() {
            let group = self.core.group_for(subsystem, task);
            let (subsystems, mut cx) = self.context(transaction);
            subsystems.get_mut(subsystem).fork(&mut cx, task, group)?;
        }
        transaction.event(|| Event::TaskBorn {
            task: id,
            name: name.clone(),
        });
        Ok(())
    }

    /// A task leaves all groups; the last one out may release them.
    ///
    /// # Errors
    /// EPERM for who is not root, ESRCH for a task that is dead.
    pub(super) fn exit(
        &mut self,
        transaction: &mut Transaction,
        id: TaskId,
    ) -> Result<(), Refusal> {
        check_root(&transaction.by, "end a task")?;
        let task = self.core.tasks.living_task(id)?;
        let groups = self.groups_of(task);
        let from = self.core.leave(task);
        self.core.tasks.unlist(task);
        self.leaving.tasks.push(task);
        transaction.change(self.core.css.groups_of(from));
        transaction.log.push(Undo::Died { task, from });
        let paths = groups
            .iter()
            .map(|group| self.core.groups[*group].path.clone());
        let paths: Box<[GroupPath]> = paths.collect();
        let Task {
            name, tid, usage, ..
        } = &self.core.tasks.slots[task];
        let (name, tid, usage) = (name.clone(), *tid, *usage);
        transaction.event(|| Event::TaskExited {
            task: id,
            name: name.clone(),
        });
        self.core.tasks.bury(Dead {
            id,
            name,
            tid,
            groups: paths,
            usage,
        });
        for subsystem in Subsystems::ids() {
            let group = self.core.group_for(subsystem, task);
            let (subsystems, mut cx) = self.context(transaction);
            subsystems.get_mut(subsystem).exit(&mut cx, task, group);
        }
        for group in groups {
            self.check_for_release(transaction, group);
        }
        Ok(())
    }

    /// The task's group in every hierarchy that is listed.
    pub(super) fn groups_of(&self, task: TaskSlot) -> Vec<GroupId> {
        let set = self.core.tasks.slots[task].css_set;
        let groups = self.core.css.groups_of(set);
        groups
            .filter(|group| self.core.groups[*group].hierarchy != DUMMY)
            .collect()
    }

    fn identity_is_free(&self, id: TaskId, name: &TaskName, tid: Tid) -> Result<(), Refusal> {
        let tasks = &self.core.tasks;
        let taken = |what: String, slot| {
            let holder: &Task = &tasks.slots[slot];
            let rule = format!(
                "{what} is that of the living task {} ({})",
                holder.name, holder.id
            );
            Err(Refusal::new(Errno::EEXIST, rule))
        };
        if id.0 >= tasks.next {
            let rule = format!(
                "task id {id} was never allocated: the next is {}",
                tasks.next
            );
            return Err(Refusal::new(Errno::EINVAL, rule));
        }
        if id.0 < tasks.born_below {
            if let Some(dead) = tasks.dead_task(id) {
                let rule = format!(
                    "task id {id} was that of {}, and ids are not reused",
                    dead.name
                );
                return Err(Refusal::new(Errno::EEXIST, rule));
            }
            if let Some(slot) = tasks.get(id) {
                return taken(format!("task id {id}"), slot);
            }
        }
        if let Some(slot) = tasks.with_tid(tid) {
            return taken(format!("tid {tid}"), slot);
        }
        if let Some(slot) = tasks.with_name(name) {
            return taken(format!("name {name}"), slot);
        }
        if tasks.living() >= MAX_TASKS {
            let rule = format!("{name} would be one more than {MAX_TASKS} tasks, the most");
            return Err(Refusal::new(Errno::EAGAIN, rule));
        }
        Ok(())
    }
}
