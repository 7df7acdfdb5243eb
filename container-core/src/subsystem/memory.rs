//! memory: what the machines of a group hold of the host's memory, and what they may come to hold.
//!
//! A machine's memory is charged to the group of its `control` task, as the kernel charges a process's
//! to the owner of its mm; whoever owns the framework speaks of that task alone, and all other tasks
//! carry nothing. Two figures of it count, and they are different in kind:
//!
//! - `committed` is what the machine may ever need. It is known before the machine starts, is part of
//!   a batch ([`Command::Reserve`](crate::Command::Reserve)), and is what limits are held against.
//! - `resident` is what it holds now. It is a fact of the host, noted from outside
//!   ([`Framework::charge_memory`](crate::Framework::charge_memory)) as CPU time is, outside of any batch.
//!
//! The kernel enforces a limit by taking pages back, and where it cannot, by killing. No page can be
//! taken back from a guest here, so the limit is enforced where that is still possible: a machine that
//! would have a group commit more than its limit is refused, at its birth and at a move (ENOMEM). So
//! usage ≤ committed ≤ limit. A limit below what is committed is refused as in the kernel where
//! nothing can be reclaimed (EBUSY).
//!
//! Everything is hierarchical, as with use_hierarchy=1: each group's figures are those of its whole
//! subtree, kept as running sums, so that reading is O(1) and charging and moving O(depth). What a
//! machine holds moves with it and goes with its exit; so a group that can be removed holds nothing.
//!
//! `memory.failcnt` counts refusals of real changes. A batch that is refused leaves no trace, and a
//! trial is no try, so it is not counted here: the refusal says whose limit it was, and the owner,
//! who knows whether it was in earnest, has it counted ([`Framework::count_failure`](crate::Framework::count_failure)).
//!
//! The files and their errnos are those of mm/memcontrol-v1.c and mm/page_counter.c.

mod limit;
mod machines;

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::core::Core;
use crate::group::GroupId;
use crate::refusal::Part;
use crate::subsystem::{Context, ControlFile, CssTable, MEMORY, States, Subsystem, parse_u64};
use crate::table::TaskSlot;
use crate::{Bytes, Credentials, Errno, Refusal, TaskId};
use limit::{LIMIT, UNLIMITED};

static FILES: &[ControlFile] = &[
    ControlFile::read_only("memory.usage_in_bytes"),
    ControlFile::writable("memory.max_usage_in_bytes"),
    ControlFile::writable(LIMIT),
    ControlFile::writable("memory.failcnt"),
    ControlFile::read_only("memory.committed_bytes"),
];

/// What one machine holds and may need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MachineMemory {
    /// What it may come to hold, reserved at its birth.
    pub committed: Bytes,
    /// What it held when it was last looked at.
    pub resident: Bytes,
}

/// A group's counters, all but the last two of its whole subtree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counters {
    committed: Bytes,
    usage: Bytes,
    /// The highest usage since it was reset.
    max_usage: Bytes,
    limit: Bytes,
    failcnt: u64,
}

impl Counters {
    const NEW: Counters = Counters {
        committed: Bytes(0),
        usage: Bytes(0),
        max_usage: Bytes(0),
        limit: UNLIMITED,
        failcnt: 0,
    };

    fn add(&mut self, memory: MachineMemory) {
        self.committed += memory.committed;
        self.usage += memory.resident;
        self.max_usage = self.max_usage.max(self.usage);
    }

    fn take(&mut self, memory: MachineMemory) {
        self.committed = self.committed - memory.committed;
        self.usage = self.usage - memory.resident;
    }
}

#[derive(Clone)]
pub(crate) struct Memory {
    counters: CssTable<Counters>,
    /// Of the `control` tasks that live.
    machines: BTreeMap<TaskId, MachineMemory>,
    /// What was in `machines` before, the latest last.
    log: Vec<(TaskId, Option<MachineMemory>)>,
}

impl Memory {
    pub fn new() -> Memory {
        Memory {
            counters: CssTable::new(),
            machines: BTreeMap::new(),
            log: Vec::new(),
        }
    }

    fn of(&self, task: TaskId) -> MachineMemory {
        self.machines.get(&task).copied().unwrap_or_default()
    }

    /// Change what a machine is known to need or hold; it comes back with [`undo`](Subsystem::undo).
    fn set(&mut self, task: TaskId, memory: Option<MachineMemory>) {
        let before = match memory {
            Some(memory) => self.machines.insert(task, memory),
            None => self.machines.remove(&task),
        };
        self.log.push((task, before));
    }

    /// Would these groups grant so much more?
    ///
    /// # Errors
    /// ENOMEM for the first that would not.
    fn grant(
        &self,
        core: &Core,
        groups: impl Iterator<Item = GroupId>,
        task: TaskSlot,
        more: Bytes,
    ) -> Result<(), Refusal> {
        for group in groups {
            let Counters {
                committed, limit, ..
            } = *self.counters.get(group);
            if committed + more > limit {
                let path = &core.groups[group].path;
                let rule = format!(
                    "{LIMIT} {limit} of {path} is too low: {} needs {more} and {committed} are committed there",
                    core.tasks.slots[task].name
                );
                return Err(Refusal {
                    over_limit: Some(path.clone()),
                    ..Refusal::new(Errno::ENOMEM, rule)
                });
            }
        }
        Ok(())
    }

    /// Reserve so much for a machine in all, in the place of what was reserved before.
    fn reserve(&mut self, core: &Core, task: TaskSlot, committed: Bytes) -> Result<(), Refusal> {
        let group = core.group_for(MEMORY, task);
        let id = core.tasks.slots[task].id;
        let before = self.of(id);
        let more = committed - before.committed;
        self.grant(core, core.lineage(group), task, more)?;
        for group in core.lineage(group) {
            let counters = self.counters.edit(group);
            counters.committed = counters.committed - before.committed + committed;
        }
        self.set(
            id,
            Some(MachineMemory {
                committed,
                ..before
            }),
        );
        Ok(())
    }

    fn write_limit(
        &mut self,
        cx: &mut Context<'_>,
        group: GroupId,
        value: &str,
    ) -> Result<(), Refusal> {
        let path = &cx.core.groups[group].path;
        if cx.core.groups[group].parent.is_none() {
            let rule = format!("{LIMIT} of the root group {path} is the host's memory");
            return Err(Refusal::new(Errno::EINVAL, rule));
        }
        let limit = limit::parse(value)?;
        let committed = self.counters.get(group).committed;
        if limit < committed {
            let why = format!(
                "{LIMIT} {limit} is below the {committed} that are committed to machines in "
            );
            return Err(Refusal::about(
                Errno::EBUSY,
                [Part::Words(why), Part::Group(path.clone())],
            ));
        }
        self.counters.edit(group).limit = limit;
        Ok(())
    }
}

/// The groups that a task which comes from one group enters: those on the way down to `to` that do not
/// hold the other already.
fn entered(core: &Core, from: GroupId, to: GroupId) -> impl Iterator<Item = GroupId> + '_ {
    let held: Vec<GroupId> = core.lineage(from).collect();
    core.lineage(to)
        .take_while(move |group| !held.contains(group))
}

impl Subsystem for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn files(&self) -> &'static [ControlFile] {
        FILES
    }

    fn states(&self) -> Option<&dyn States> {
        Some(&self.counters)
    }

    fn states_mut(&mut self) -> Option<&mut dyn States> {
        Some(&mut self.counters)
    }

    fn css_alloc(&mut self, _cx: &mut Context<'_>, group: GroupId, _parent: Option<GroupId>) {
        self.counters.insert(group, Counters::NEW);
    }

    /// # Errors
    /// ENOMEM where the machine would take a group past its limit.
    fn can_attach(
        &mut self,
        cx: &mut Context<'_>,
        task: TaskSlot,
        to: GroupId,
    ) -> Result<(), Refusal> {
        let from = cx.core.group_for(MEMORY, task);
        let more = self.of(cx.core.tasks.slots[task].id).committed;
        match more {
            Bytes(0) => Ok(()),
            more => self.grant(cx.core, entered(cx.core, from, to), task, more),
        }
    }

    fn attach(&mut self, cx: &mut Context<'_>, task: TaskSlot, from: GroupId, to: GroupId) {
        let Some(memory) = self.machines.get(&cx.core.tasks.slots[task].id).copied() else {
            return;
        };
        for group in entered(cx.core, to, from) {
            self.counters.edit(group).take(memory);
        }
        for group in entered(cx.core, from, to) {
            self.counters.edit(group).add(memory);
        }
    }

    fn exit(&mut self, cx: &mut Context<'_>, task: TaskSlot, group: GroupId) {
        let id = cx.core.tasks.slots[task].id;
        let Some(memory) = self.machines.get(&id).copied() else {
            return;
        };
        for group in cx.core.lineage(group) {
            self.counters.edit(group).take(memory);
        }
        self.set(id, None);
    }

    fn read(&self, _core: &Core, _by: &Credentials, group: GroupId, file: &str) -> String {
        let counters = self.counters.get(group);
        match file {
            "memory.usage_in_bytes" => counters.usage.to_string(),
            "memory.max_usage_in_bytes" => counters.max_usage.to_string(),
            LIMIT => counters.limit.to_string(),
            "memory.failcnt" => counters.failcnt.to_string(),
            _ => counters.committed.to_string(),
        }
    }

    fn write(
        &mut self,
        cx: &mut Context<'_>,
        group: GroupId,
        file: &str,
        value: &str,
    ) -> Result<(), Refusal> {
        if file == LIMIT {
            return self.write_limit(cx, group, value);
        }
        if parse_u64(file, value)? != 0 {
            let rule = format!(
                "{file} takes only 0, which resets it, not {}",
                value.trim_end()
            );
            return Err(Refusal::plain(Errno::EINVAL, rule));
        }
        let counters = self.counters.edit(group);
        match file {
            "memory.failcnt" => counters.failcnt = 0,
            _ => counters.max_usage = counters.usage,
        }
        Ok(())
    }

    fn undo(&mut self) {
        self.counters.undo();
        while let Some((task, before)) = self.log.pop() {
            match before {
                Some(before) => self.machines.insert(task, before),
                None => self.machines.remove(&task),
            };
        }
    }

    fn settle(&mut self) {
        self.counters.settle();
        self.log.clear();
    }

    fn dump(&self) -> String {
        let mut text = self.counters.dump();
        for (task, memory) in &self.machines {
            writeln!(text, "{task} {memory:?}").expect("a String takes every write");
        }
        text
    }
}
