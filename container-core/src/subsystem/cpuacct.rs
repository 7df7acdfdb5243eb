//! cpuacct: what the tasks of a group used.
//!
//! The ledger is of *own* usage: what a task uses is billed to the group it is in at that moment and
//! stays there when the task moves or dies. When a group is removed its bill is folded into the
//! parent's `removed`. So nothing is ever lost or billed twice: the groups' own and removed usage
//! together are what all tasks ever used, whatever was reset.
//!
//! The files show something else: the hierarchical sum, since the last reset of that very file.
//! It is kept as a running `total` for each group, so that reading is O(1) and charging O(depth).
//! Resetting one group moves only the mark that its own file counts from (kernel: cpuacct.c).
//!
//! A credit corrects the bill of a task that is about to end, and with it the running totals; what
//! a file shows goes back by it, never below zero.
//!
//! `cpuacct.usage_percpu` is the same time as `cpuacct.usage`, divided among the CPUs that its tasks were
//! seen on; the two are reset together. `cpuacct.stat` is all time since the group was made, divided into
//! user and system by what its tasks were seen to do, and is not reset (measured on Linux 6.18, where a
//! reset leaves the last values standing). Both are sampled, and both add up exactly.
//!
//! `cpuacct.load` is that of the 2007 patch: what was used in the last interval that is over, in percent
//! of one CPU. When an interval is over, the owner says.

mod split;

use split::Split;

use crate::core::Core;
use crate::group::GroupId;
use crate::subsystem::{Context, ControlFile, CssTable, States, Subsystem, parse_u64};
use crate::table::{ALL_SYSTEM, Task, TaskSlot};
use crate::{Credentials, Errno, MAX_CPUS, Nanoseconds, Refusal, Usage};

/// One group's bill.
#[derive(Clone, Debug, Default)]
pub(crate) struct Account {
    /// Used by tasks while in this very group.
    pub own: Usage,
    /// Own usage of children since removed, and of what had been removed below them.
    pub removed: Usage,
    /// All of the subtree's, removed groups included.
    total: Usage,
    /// What the total was when the files were last reset.
    reset_at: Usage,
    /// The time since that reset, by CPU.
    by_cpu: Split,
    /// How much of the total's time was spent in the kernel, in ns.
    system: u64,
    /// The total's time when the present interval began, in ns.
    interval_at: u64,
    /// Of the interval before that.
    load_percent: u64,
}

/// Where and how a task uses the time that it is billed for.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    cpu: u32,
    /// Of `ALL_SYSTEM`.
    system: u8,
}

impl Way {
    pub fn of(task: &Task) -> Way {
        Way {
            cpu: task.cpu.into(),
            system: task.system,
        }
    }

    fn system_part(self, usage: Nanoseconds) -> u64 {
        let part = u128::from(usage.0) * u128::from(self.system) / u128::from(ALL_SYSTEM);
        // At most all of it.
        part as u64
    }
}

/// The unit of `cpuacct.stat`: USER_HZ is 100 everywhere.
const TICK_NS: u64 = 10_000_000;

impl Account {
    /// What the files show.
    pub fn shown(&self) -> Usage {
        self.total - self.reset_at
    }
}

static FILES: &[ControlFile] = &[
    ControlFile::writable("cpuacct.usage").shown_to_guests(),
    ControlFile::writable("cpuacct.cycles").shown_to_guests(),
    // A number for each CPU of the host.
    ControlFile::read_only("cpuacct.usage_percpu"),
    ControlFile::read_only("cpuacct.stat").shown_to_guests(),
    ControlFile::read_only("cpuacct.load").shown_to_guests(),
];

#[derive(Clone)]
pub(crate) struct Cpuacct {
    accounts: CssTable<Account>,
}

impl Cpuacct {
    pub fn new() -> Cpuacct {
        Cpuacct {
            accounts: CssTable::new(),
        }
    }

    pub fn account(&self, group: GroupId) -> &Account {
        self.accounts.get(group)
    }

    /// Bill a group. Outside any batch: a charge is a fact, and is never undone with one.
    pub fn charge(&mut self, core: &Core, group: GroupId, used: Usage, way: Way) {
        self.accounts.get_mut(group).own += used;
        let system = way.system_part(used.usage);
        for above in core.lineage(group) {
            let account = self.accounts.get_mut(above);
            account.total += used;
            account.by_cpu.add(way.cpu, used.usage.0);
            account.system = account.system.saturating_add(system);
        }
    }

    /// For tests.
    ///
    /// # Panics
    /// Where the parts of a bill are not the whole.
    pub fn check_parts(&self) {
        for account in self.accounts.all() {
            let by_cpu: u64 = account.by_cpu.shown(MAX_CPUS as u32).sum();
            assert_eq!(by_cpu, account.shown().usage.0, "all of it is some CPU's");
            assert!(account.system <= account.total.usage.0);
        }
    }

    pub fn close_interval(&mut self, length: Nanoseconds) {
        for account in self.accounts.all_mut() {
            let total = account.total.usage.0;
            let used = u128::from(total.saturating_sub(account.interval_at)) * 100;
            let percent = used.checked_div(length.0.into()).unwrap_or_default();
            account.load_percent = u64::try_from(percent).unwrap_or(u64::MAX);
            account.interval_at = total;
        }
    }

    /// Correct a group's bill; it has at least `back` of its own, so that every total above has too.
    /// Outside any batch, as a charge is.
    pub fn credit(&mut self, core: &Core, group: GroupId, back: Usage, way: Way) {
        let account = self.accounts.get_mut(group);
        account.own = account.own - back;
        let system = way.system_part(back.usage);
        for above in core.lineage(group) {
            let account = self.accounts.get_mut(above);
            account.total = account.total - back;
            // A mark above the total would swallow what is used next.
            account.reset_at = Usage {
                usage: account.reset_at.usage.min(account.total.usage),
                cycles: account.reset_at.cycles.min(account.total.cycles),
            };
            account.by_cpu.take(way.cpu, back.usage.0);
            let system = account.system.saturating_sub(system);
            account.system = system.min(account.total.usage.0);
        }
    }
}

impl Subsystem for Cpuacct {
    fn name(&self) -> &'static str {
        "cpuacct"
    }

    fn files(&self) -> &'static [ControlFile] {
        FILES
    }

    fn states(&self) -> Option<&dyn States> {
        Some(&self.accounts)
    }

    fn states_mut(&mut self) -> Option<&mut dyn States> {
        Some(&mut self.accounts)
    }

    fn css_alloc(&mut self, _cx: &mut Context<'_>, group: GroupId, _parent: Option<GroupId>) {
        self.accounts.insert(group, Account::default());
    }

    fn css_offline(&mut self, _cx: &mut Context<'_>, group: GroupId, parent: GroupId) {
        let Account { own, removed, .. } = self.accounts.get(group);
        let usage = *own + *removed;
        self.accounts.edit(parent).removed += usage;
    }

    /// What was used until now is the old group's: the counters are to be read before the move.
    fn attach(&mut self, cx: &mut Context<'_>, task: TaskSlot, from: GroupId, _to: GroupId) {
        cx.touched.bill_moved(cx.core.tasks.slots[task].id, from);
    }

    fn read(&self, core: &Core, _by: &Credentials, group: GroupId, file: &str) -> String {
        let account = self.accounts.get(group);
        match file {
            "cpuacct.usage" => account.shown().usage.to_string(),
            "cpuacct.cycles" => account.shown().cycles.to_string(),
            "cpuacct.usage_percpu" => {
                let shares = account.by_cpu.shown(core.host.possible_cpus);
                // The kernel has a blank behind the last as well.
                shares.map(|share| format!("{share} ")).collect()
            }
            "cpuacct.stat" => {
                let user = account.total.usage.0.saturating_sub(account.system) / TICK_NS;
                let system = account.system / TICK_NS;
                format!("user {user}\nsystem {system}")
            }
            _ => account.load_percent.to_string(),
        }
    }

    fn write(
        &mut self,
        cx: &mut Context<'_>,
        group: GroupId,
        file: &str,
        value: &str,
    ) -> Result<(), Refusal> {
        if parse_u64(file, value)? != 0 {
            let rule = format!(
                "{file} takes only 0, which resets it, not {}",
                value.trim_end()
            );
            return Err(Refusal::plain(Errno::EINVAL, rule));
        }
        for task in cx
            .core
            .subtree(group)
            .flat_map(|group| cx.core.tasks_in(group))
        {
            cx.touched.bill_reset(cx.core.tasks.slots[task].id);
        }
        let account = self.accounts.edit(group);
        match file {
            "cpuacct.usage" => {
                account.reset_at.usage = account.total.usage;
                account.by_cpu.reset();
            }
            _ => account.reset_at.cycles = account.total.cycles,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slab::Id;

    fn with(account: Account) -> Cpuacct {
        let mut cpuacct = Cpuacct::new();
        cpuacct.accounts.insert(Id::FIRST, account);
        cpuacct
    }

    #[test]
    #[should_panic = "all of it is some CPU's"]
    fn time_of_no_cpu_is_seen() {
        let total = Usage {
            usage: Nanoseconds(1),
            ..Usage::ZERO
        };
        let account = Account {
            total,
            ..Account::default()
        };
        with(account).check_parts();
    }

    #[test]
    #[should_panic = "account.system <= account.total.usage.0"]
    fn more_time_in_the_kernel_than_in_all_is_seen() {
        let account = Account {
            system: 1,
            ..Account::default()
        };
        with(account).check_parts();
    }
}
