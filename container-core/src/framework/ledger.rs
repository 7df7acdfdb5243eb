//! What was used, and that nothing of it is lost.
//!
//! A [`charge`](Framework::charge) only ever adds. The one way back is a
//! [`credit`](Framework::credit), made once, when a bill is closed against an outside witness. Both
//! change a task and its group by the same amount, which is what keeps the two sides equal. Whose
//! clock is right is the owner's affair.

use super::Framework;
use crate::group::DUMMY_ROOT;
use crate::subsystem::CPUACCT;
use crate::subsystem::cpuacct::Way;
use crate::table::ALL_SYSTEM;
use crate::{Errno, MachineName, Nanoseconds, Observation, Reading, Refusal, TaskId, Usage};

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
        let way = Way::of(task);
        self.subsystems.cpuacct.charge(&self.core, group, used, way);
        Ok(())
    }

    /// Note where a task was found. What is charged from now on, until it is found elsewhere, counts as
    /// used on that CPU, and as spent in user mode and in the kernel as it was since the last
    /// observation; one that shows no time leaves that as it was. A task that was never observed is on
    /// CPU 0 and in user mode. Not a change of generation.
    ///
    /// # Errors
    /// ESRCH for an unknown or dead task, ERANGE for a CPU that the host cannot have.
    pub fn observe(&mut self, task: TaskId, seen: Observation) -> Result<(), Refusal> {
        let slot = self.core.tasks.living_task(task)?;
        let possible = self.core.host.possible_cpus;
        let cpu = u16::try_from(seen.cpu).ok();
        let Some(cpu) = cpu.filter(|cpu| u32::from(*cpu) < possible) else {
            let rule = format!("task {task} cannot be on CPU {} of {possible}", seen.cpu);
            return Err(Refusal::new(Errno::ERANGE, rule));
        };
        let task = &mut self.core.tasks.slots[slot];
        task.cpu = cpu;
        let (user, system) = (u128::from(seen.user), u128::from(seen.system));
        if let Some(part) = (system * u128::from(ALL_SYSTEM)).checked_div(user + system) {
            // At most all of it.
            task.system = part as u8;
        }
        Ok(())
    }

    /// An interval of this length is over: what was used in it is what `cpuacct.load` shows until the
    /// next is. Costs all groups. Not a change of generation.
    pub fn close_interval(&mut self, length: Nanoseconds) {
        self.subsystems.cpuacct.close_interval(length);
    }

    /// Take back what a living task was billed too much, and return what was really taken back.
    ///
    /// A bill is closed against the kernel's clock of the whole process. That clock can come out below
    /// what was billed: under a hypervisor that steals time, an exact reading is of a counter that
    /// ran on while the host itself was not running, and the process clock leaves such time out. The
    /// excess was never used, and a ledger that kept it would contradict its witness for good.
    ///
    /// The task and the group it is billed to now give back the same amount, so that the groups
    /// remain what the tasks are. Neither goes below zero: no more is taken than both have, time and
    /// cycles each for itself. What the task used in groups it has since left stays billed there, so
    /// that less than `over` may come back. What the files show falls with it, to zero at the
    /// lowest: where the excess was read before a reset, their mark comes down instead, and
    /// whatever is used later is shown in full.
    ///
    /// Readings are absolute: charging one from before the credit bills the excess again. The last
    /// charge comes first, then the credit, then the Exit. Not a change of generation.
    ///
    /// # Errors
    /// ESRCH for an unknown or dead task, whose bill is closed.
    pub fn credit(&mut self, task: TaskId, over: Usage) -> Result<Usage, Refusal> {
        let slot = self.core.tasks.living_task(task)?;
        let group = self.core.group_for(CPUACCT, slot);
        let task = &mut self.core.tasks.slots[slot];
        let billed_here = self.subsystems.cpuacct.account(group).own;
        let back = Usage {
            usage: over.usage.min(task.usage.usage).min(billed_here.usage),
            cycles: over.cycles.min(task.usage.cycles).min(billed_here.cycles),
        };
        task.usage = task.usage - back;
        let way = Way::of(task);
        self.subsystems.cpuacct.credit(&self.core, group, back, way);
        Ok(back)
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
        let dead = self.core.tasks.dead().map(|dead| dead.usage);
        Ledger {
            groups: accounts.map(|account| account.own + account.removed).sum(),
            tasks: living.chain(dead).sum(),
            retired: self.core.tasks.retired,
        }
    }

    /// Forget the dead tasks of a machine one by one: what they used is kept as part of one sum.
    /// Returns what that was. The groups' bills stay as they are.
    pub fn forget_machine(&mut self, machine: &MachineName) -> Usage {
        self.core.tasks.retire_machine(machine)
    }
}
