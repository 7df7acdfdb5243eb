//! What was used, and that nothing of it is lost.

use super::Framework;
use crate::group::DUMMY_ROOT;
use crate::subsystem::CPUACCT;
use crate::{MachineName, Reading, Refusal, TaskId, Usage};

/// The two sides of the ledger. `groups` is always `tasks` and `retired` together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// Own and removed usage of all groups, the unlisted root included.
    pub groups: Usage,
    /// Usage of all tasks that are listed, living and dead.
    pub tasks: Usage,
    /// Usage of dead tasks that are listed no more.
    pub retired: Usage,
}

impl Framework {
    /// Charge an absolute reading: the difference to the last goes to the task's present cpuacct
    /// group. Not a change of generation: a plan made before stays good.
    ///
    /// # Errors
    /// ESRCH for an unknown or dead task.
    pub fn charge(&mut self, task: TaskId, reading: Reading) -> Result<(), Refusal> {
        let slot = self.core.tasks.living_task(task)?;
        let group = self.core.group_for(CPUACCT, slot);
        let task = &mut self.core.tasks.slots[slot];
        let used = Usage {
            usage: reading.usage,
            cycles: reading.cycles,
        } - task.usage;
        task.usage += used;
        self.subsystems.cpuacct.charge(&self.core, group, used);
        Ok(())
    }

    /// Both sides of the ledger, summed up anew. Costs all groups and tasks.
    pub fn ledger(&self) -> Ledger {
        let root = match self.core.is_bound(CPUACCT) {
            true => self.core.root_of(CPUACCT),
            false => DUMMY_ROOT,
        };
        let accounts = self
            .core
            .subtree(root)
            .map(|group| self.subsystems.cpuacct.account(group));
        let living = self.core.tasks.slots.iter().map(|(_, task)| task.usage);
        let dead = self.core.tasks.dead.values().map(|dead| dead.usage);
        Ledger {
            groups: accounts.map(|account| account.own + account.removed).sum(),
            tasks: living.chain(dead).sum(),
            retired: self.core.tasks.retired,
        }
    }

    /// Forget the dead tasks of a machine one by one: what they used is kept as part of one sum.
    /// Returns what that was. The groups' bills stay as they are.
    pub fn forget_machine(&mut self, machine: &MachineName) -> Usage {
        let tasks = &mut self.core.tasks;
        let mut forgotten = Usage::ZERO;
        tasks.dead.retain(|_, dead| {
            let is_its = dead.name.machine == *machine;
            if is_its {
                forgotten += dead.usage;
            }
            !is_its
        });
        tasks.retired += forgotten;
        forgotten
    }
}
