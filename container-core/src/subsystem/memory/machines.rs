//! Memory by machine, as the owner of the framework reserves and notes it. A machine is known by its `control` task.

use super::{Counters, MachineMemory, Memory};
use crate::framework::{Framework, check_root};
use crate::subsystem::MEMORY;
use crate::transaction::Transaction;
use crate::{Bytes, Refusal, TaskId};

impl Framework {
    /// Carry out [`Command::Reserve`](crate::Command::Reserve).
    ///
    /// # Errors
    /// EPERM for who is not root, ESRCH for a task that is dead, ENOMEM past a limit.
    pub(crate) fn reserve(
        &mut self,
        transaction: &Transaction,
        task: TaskId,
        committed: Bytes,
    ) -> Result<(), Refusal> {
        check_root(&transaction.by, "reserve memory")?;
        let task = self.core.tasks.living_task(task)?;
        self.subsystems.memory.reserve(&self.core, task, committed)
    }

    /// Note how much a machine has resident now. The difference to the last time is charged to the
    /// task's present group and those above it. Not a change of generation: a plan made before stays
    /// good.
    ///
    /// # Errors
    /// ESRCH for an unknown or dead task.
    pub fn charge_memory(&mut self, task: TaskId, resident: Bytes) -> Result<(), Refusal> {
        let slot = self.core.tasks.living_task(task)?;
        let group = self.core.group_for(MEMORY, slot);
        let Memory {
            counters, machines, ..
        } = &mut self.subsystems.memory;
        let memory = machines.entry(task).or_default();
        let before = std::mem::replace(&mut memory.resident, resident);
        for group in self.core.lineage(group) {
            let counters = counters.get_mut(group);
            counters.usage = counters.usage - before + resident;
            counters.max_usage = counters.max_usage.max(counters.usage);
        }
        Ok(())
    }

    /// What a machine needs and holds; nothing of a task that is dead, or is no `control`.
    pub fn memory(&self, task: TaskId) -> MachineMemory {
        self.subsystems.memory.of(task)
    }

    /// A change was refused that was meant to happen: `memory.failcnt` of the group whose limit was in
    /// the way, if one was, goes up by one. Not a change of generation.
    pub fn count_failure(&mut self, refusal: &Refusal) {
        let group = refusal.over_limit.as_ref();
        // The batch itself may have made the group; it went with it.
        if let Some(group) = group.and_then(|path| self.lookup(path).ok()) {
            self.subsystems.memory.counters.get_mut(group).failcnt += 1;
        }
    }

    /// Each group's sums are those of the machines in and below it, and within its limit.
    ///
    /// # Panics
    /// Where they are not.
    pub(crate) fn check_memory(&self) {
        let Memory {
            counters,
            machines,
            log,
        } = &self.subsystems.memory;
        assert!(log.is_empty(), "a batch is settled or undone");
        for group in self.core.subtree(self.core.root_of(MEMORY)) {
            let mut sum = Counters::NEW;
            for below in self.core.subtree(group) {
                for task in self.core.tasks_in(below) {
                    sum.add(self.memory(self.core.tasks.slots[task].id));
                }
            }
            let (counters, path) = (counters.get(group), &self.core.groups[group].path);
            assert_eq!(counters.committed, sum.committed, "committed in {path}");
            assert_eq!(counters.usage, sum.usage, "usage of {path}");
            assert!(counters.usage <= counters.max_usage, "{path}");
            assert!(counters.committed <= counters.limit, "{path}");
        }
        for task in machines.keys() {
            assert!(self.core.tasks.get(*task).is_some(), "{task} lives");
        }
    }
}
