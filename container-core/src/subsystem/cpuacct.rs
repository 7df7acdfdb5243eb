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

use crate::core::Core;
use crate::group::GroupId;
use crate::subsystem::{Context, ControlFile, CssTable, Subsystem, parse_u64};
use crate::table::TaskSlot;
use crate::{Credentials, Errno, Refusal, Usage};

/// One group's bill.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Account {
    /// Used by tasks while in this very group.
    pub own: Usage,
    /// Own usage of children since removed, and of what had been removed below them.
    pub removed: Usage,
    /// All of the subtree's, removed groups included.
    total: Usage,
    /// What the total was when the files were last reset.
    reset_at: Usage,
}

impl Account {
    /// What the files show.
    pub fn shown(&self) -> Usage {
        self.total - self.reset_at
    }
}

static FILES: &[ControlFile] = &[
    ControlFile::writable("cpuacct.usage").shown_to_guests(),
    ControlFile::writable("cpuacct.cycles").shown_to_guests(),
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
    pub fn charge(&mut self, core: &Core, group: GroupId, used: Usage) {
        self.accounts.get_mut(group).own += used;
        for above in core.lineage(group) {
            self.accounts.get_mut(above).total += used;
        }
    }

    /// Correct a group's bill; it has at least `back` of its own, so that every total above has too.
    /// Outside any batch, as a charge is.
    pub fn credit(&mut self, core: &Core, group: GroupId, back: Usage) {
        let account = self.accounts.get_mut(group);
        account.own = account.own - back;
        for above in core.lineage(group) {
            let account = self.accounts.get_mut(above);
            account.total = account.total - back;
            // A mark above the total would swallow what is used next.
            account.reset_at = Usage {
                usage: account.reset_at.usage.min(account.total.usage),
                cycles: account.reset_at.cycles.min(account.total.cycles),
            };
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

    fn css_alloc(&mut self, _cx: &mut Context<'_>, group: GroupId, _parent: Option<GroupId>) {
        self.accounts.insert(group, Account::default());
    }

    fn css_offline(&mut self, _cx: &mut Context<'_>, group: GroupId, parent: GroupId) {
        let Account { own, removed, .. } = *self.accounts.get(group);
        self.accounts.edit(parent).removed += own + removed;
    }

    fn css_free(&mut self, group: GroupId) {
        self.accounts.free(group);
    }

    /// What was used until now is the old group's: the counters are to be read before the move.
    fn attach(&mut self, cx: &mut Context<'_>, task: TaskSlot, from: GroupId, _to: GroupId) {
        cx.touched.bill_moved(cx.core.tasks.slots[task].id, from);
    }

    fn bind(&mut self, _cx: &mut Context<'_>, from: GroupId, to: GroupId) {
        self.accounts.rebind(from, to);
    }

    fn read(&self, _core: &Core, _by: &Credentials, group: GroupId, file: &str) -> String {
        let shown = self.accounts.get(group).shown();
        match file {
            "cpuacct.usage" => shown.usage.to_string(),
            _ => shown.cycles.to_string(),
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
            "cpuacct.usage" => account.reset_at.usage = account.total.usage,
            _ => account.reset_at.cycles = account.total.cycles,
        }
        Ok(())
    }

    fn undo(&mut self) {
        self.accounts.undo();
    }

    fn settle(&mut self) {
        self.accounts.settle();
    }

    fn dump(&self) -> String {
        self.accounts.dump()
    }
}
