//! One batch under way: how to take it back, whom it touches, what it makes happen.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::css_set::{CssSetId, Key};
use crate::group::{Attributes, GroupId, HierarchyId, HierarchyState};
use crate::subsystem::SubsystemId;
use crate::subsystem::freezer::FreezerState;
use crate::table::TaskSlot;
use crate::view::Sighting;
use crate::{CpuSet, Credentials, Event, HostResources, TaskId};

pub(crate) struct Transaction {
    pub by: Credentials,
    /// Inverses of what was done, to be applied from the last to the first.
    pub log: Vec<Undo>,
    pub touched: Touched,
    /// Groups that tasks came to or went from, or that are new, where that is to be noted.
    changed: Option<Vec<GroupId>>,
    events: Option<Vec<Event>>,
    /// Which views see the events, in the order of these.
    pub sightings: Vec<Sighting>,
}

/// The inverse of one change to the core. Subsystems keep logs of their own.
pub(crate) enum Undo {
    Moved {
        task: TaskSlot,
        from: CssSetId,
    },
    Born {
        task: TaskSlot,
        born_below: u64,
    },
    Died {
        task: TaskSlot,
        from: CssSetId,
    },
    Made {
        group: GroupId,
    },
    Removed {
        group: GroupId,
    },
    Renamed {
        group: GroupId,
        name: Arc<str>,
    },
    Attributes {
        group: GroupId,
        before: Attributes,
    },
    Hierarchy {
        hierarchy: HierarchyId,
        before: HierarchyState,
    },
    Bound {
        subsystem: SubsystemId,
        from: HierarchyId,
    },
    Rekeyed {
        keys: Vec<(CssSetId, Key)>,
    },
    Host {
        before: Box<HostResources>,
    },
}

/// Tasks that a batch has come by: few, most of the time, and then without an allocation.
#[derive(Default)]
struct Seen {
    few: [TaskId; Seen::FEW],
    len: usize,
    /// Those that did not fit.
    many: BTreeSet<TaskId>,
}

impl Seen {
    const FEW: usize = 4;

    /// True where the task was not in it.
    fn insert(&mut self, task: TaskId) -> bool {
        if self.contains(task) {
            return false;
        }
        match self.few.get_mut(self.len) {
            Some(place) => {
                *place = task;
                self.len += 1;
            }
            None => {
                self.many.insert(task);
            }
        }
        true
    }

    fn contains(&self, task: TaskId) -> bool {
        self.few[..self.len].contains(&task) || self.many.contains(&task)
    }
}

/// Tasks that may need an effect, and groups that may be frozen or thawed, each with what was true of it before
/// the batch.
#[derive(Default)]
pub(crate) struct Touched {
    pub pins: Vec<(TaskId, Option<CpuSet>)>,
    pinned: Seen,
    pub bills: Vec<Bill>,
    billed: Seen,
    reset: Seen,
    born: Seen,
    pub freezes: Vec<(TaskId, bool)>,
    frozen: Seen,
    pub freezing: Vec<(GroupId, FreezerState)>,
    freezing_groups: BTreeSet<GroupId>,
}

/// A task whose counters may have to be read before the commit.
#[derive(Clone, Copy)]
pub(crate) enum Bill {
    /// It was billed to this group before the batch.
    Moved(TaskId, GroupId),
    /// A bill that shows it is reset.
    Reset(TaskId),
}

impl Transaction {
    /// A batch that is tried and taken back.
    pub fn trial(by: Credentials) -> Transaction {
        Transaction {
            by,
            log: Vec::new(),
            touched: Touched::default(),
            changed: None,
            events: None,
            sightings: Vec::new(),
        }
    }

    /// A batch that stays, and whose events are wanted.
    pub fn lasting(by: Credentials) -> Transaction {
        Transaction {
            changed: Some(Vec::new()),
            events: Some(Vec::new()),
            ..Transaction::trial(by)
        }
    }

    /// Other tasks are in these groups than before.
    pub fn change(&mut self, groups: impl IntoIterator<Item = GroupId>) {
        if let Some(changed) = &mut self.changed {
            changed.extend(groups);
        }
    }

    /// The groups of [`change`](Self::change), some perhaps twice.
    pub fn changed(&mut self) -> Vec<GroupId> {
        self.changed.take().unwrap_or_default()
    }

    pub fn event(&mut self, event: impl FnOnce() -> Event) {
        if let Some(events) = &mut self.events {
            events.push(event());
        }
    }

    /// The last event and its index, where events are wanted.
    pub fn last_event(&self) -> Option<(usize, &Event)> {
        let events = self.events.as_ref()?;
        Some((events.len().checked_sub(1)?, events.last()?))
    }

    pub fn into_events(self) -> (Vec<Event>, Vec<Sighting>) {
        (self.events.unwrap_or_default(), self.sightings)
    }
}

impl Touched {
    /// The task may be confined otherwise by what comes next; the first word on `before` counts.
    pub fn pin(&mut self, task: TaskId, before: impl FnOnce() -> Option<CpuSet>) {
        if self.pinned.insert(task) {
            self.pins.push((task, before()));
        }
    }

    /// The task's bill is another from here on.
    pub fn bill_moved(&mut self, task: TaskId, from: GroupId) {
        if self.billed.insert(task) {
            self.bills.push(Bill::Moved(task, from));
        }
    }

    /// A bill that the task is on starts anew.
    pub fn bill_reset(&mut self, task: TaskId) {
        if self.reset.insert(task) {
            self.bills.push(Bill::Reset(task));
        }
    }

    /// The task may be frozen or thawed by what comes next; the first word on `before` counts.
    pub fn freeze(&mut self, task: TaskId, before: impl FnOnce() -> bool) {
        if self.frozen.insert(task) {
            self.freezes.push((task, before()));
        }
    }

    /// Where the group stands may change by what comes next; the first word on `before` counts.
    pub fn freezing(&mut self, group: GroupId, before: impl FnOnce() -> FreezerState) {
        if self.freezing_groups.insert(group) {
            self.freezing.push((group, before()));
        }
    }

    pub fn is_reset(&self, task: TaskId) -> bool {
        self.reset.contains(task)
    }

    /// The task came to be in this batch.
    pub fn bear(&mut self, task: TaskId) {
        self.born.insert(task);
    }

    pub fn is_born(&self, task: TaskId) -> bool {
        self.born.contains(task)
    }
}
