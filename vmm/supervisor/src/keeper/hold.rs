//! Holding: which vCPUs of a machine are to stay out of their guest, and which are out.
//!
//! ```text
//!            stated, in Hold N          Held, of N or later
//!   free ───────────────────▶ leaving ─────────────────────▶ out
//!    ▲                           │ 2 s: the machine is killed  │
//!    └───── no reason left ──────┴─────────────────────────────┘
//! ```
//!
//! There may be several [`Reason`]s to hold a vCPU, each with a set of its own; the machine is told their union
//! whenever that changes. It does what it is told in its own time, and the keeper waits for no answer: it only
//! learns from one which vCPUs are out by the machine's word. A machine that is told another set before it has
//! answered answers the last one alone, so a vCPU counts as out once any order is answered that was given since it
//! has been in all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use actor::TrySendError;
use container_core::{Nanoseconds, TaskId, TaskKind, TaskName};
use link::ToMachine;

use super::Keeper;
use super::machines::{Machine, MachineId, Machines, State};
use crate::{HOLDS_WAITING, wire};

/// From the order until every vCPU of it is out: a vCPU leaves its guest within microseconds, and a crowded
/// host may take its time to run it.
pub(super) const HOLD_LIMIT: Duration = Duration::from_secs(2);

/// What a vCPU may use while it is out: its last steps on the way to sleep, and the tick that the kernel's count is
/// behind. One that runs on uses as much within a moment.
const REST: Nanoseconds = Nanoseconds(10_000_000);
/// How soon an order that found no room is posted again.
const HOLD_AGAIN: Duration = Duration::from_millis(1);

/// vCPUs of one machine, a bit for each.
pub(super) type VcpuSet = u64;

/// Why a vCPU is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It stands in a frozen group.
    Frozen,
    /// Its group has used up its time.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the quota of cpu"))]
    Throttled,
}

/// The vCPUs of one machine that are held.
#[derive(Debug, Default)]
pub(super) struct Hold {
    frozen: VcpuSet,
    throttled: VcpuSet,
    /// What the machine was told last, and the number of that.
    stated: VcpuSet,
    number: u64,
    /// Those that are not out yet by the machine's word: since which order, and when that was given.
    leaving: BTreeMap<u16, (u64, Instant)>,
    /// What those that are out had used when the watch first looked at them.
    used: BTreeMap<u16, Nanoseconds>,
}

impl Hold {
    /// Hold these vCPUs for this reason, and no others for it.
    pub fn set(&mut self, reason: Reason, vcpus: VcpuSet) {
        match reason {
            Reason::Frozen => self.frozen = vcpus,
            Reason::Throttled => self.throttled = vcpus,
        }
    }

    /// The vCPUs that are to be held for this reason.
    pub fn of(&self, reason: Reason) -> VcpuSet {
        match reason {
            Reason::Frozen => self.frozen,
            Reason::Throttled => self.throttled,
        }
    }

    /// What the machine is to be told, if it has not been told that.
    pub fn order(&self) -> Option<ToMachine> {
        let (vcpus, number) = (self.frozen | self.throttled, self.number + 1);
        (vcpus != self.stated).then_some(ToMachine::Hold { vcpus, number })
    }

    /// It has been told.
    pub fn ordered(&mut self, now: Instant) {
        let wanted = self.frozen | self.throttled;
        self.number += 1;
        self.leaving.retain(|&vcpu, _| has(wanted, vcpu));
        self.used.retain(|&vcpu, _| has(wanted, vcpu));
        let new = wanted & !self.stated;
        let new = (0..link::MAX_VCPUS).filter(|&vcpu| has(new, vcpu));
        let since = (self.number, now);
        self.leaving.extend(new.map(|vcpu| (vcpu, since)));
        self.stated = wanted;
    }

    /// The machine's word that all vCPUs of the order of this number are out. Returns those that were not out
    /// before and are to stay out.
    pub fn on_held(&mut self, number: u64) -> VcpuSet {
        let out = self
            .leaving
            .extract_if(.., |_, (since, _)| *since <= number);
        out.fold(0, |set, (vcpu, _)| set | bit(vcpu))
    }

    /// The vCPUs that are held and out of the guest, by the machine's word.
    pub fn out(&self) -> VcpuSet {
        self.leaving
            .keys()
            .fold(self.stated, |set, &vcpu| set & !bit(vcpu))
    }

    /// A vCPU that is out has used this much by now. False if it cannot have been out since the first look.
    pub fn has_rested(&mut self, vcpu: u16, used: Nanoseconds) -> bool {
        let first = *self.used.entry(vcpu).or_insert(used);
        used.0.saturating_sub(first.0) <= REST.0
    }

    /// When the first that is not out has to be.
    pub fn due(&self) -> Option<Instant> {
        let since = self.leaving.values().map(|(_, since)| *since);
        since.min().map(|since| since + HOLD_LIMIT)
    }
}

/// A set of this vCPU alone.
pub(super) fn bit(vcpu: u16) -> VcpuSet {
    1u64.checked_shl(vcpu.into()).unwrap_or(0)
}

fn has(set: VcpuSet, vcpu: u16) -> bool {
    set & bit(vcpu) != 0
}

impl Machine {
    /// When its vCPUs that are to be held have to be out; None of one that is ending.
    pub(super) fn hold_due(&self) -> Option<Instant> {
        let ending = self.state == State::Ended || self.verdict.is_some();
        self.hold.due().filter(|_| !ending)
    }
}

/// Lent to the hands that carry effects out: they note whom to hold, and the keeper posts it.
pub(super) struct Holding<'a> {
    pub machines: &'a mut Machines,
    pub owed: &'a mut BTreeSet<MachineId>,
}

impl Holding<'_> {
    /// Freeze or thaw a vCPU; a task of another kind is never frozen.
    pub fn freeze(&mut self, id: MachineId, task: &TaskName, is_frozen: bool) {
        if let (Some(machine), TaskKind::Vcpu(vcpu)) = (self.machines.get_mut(id), task.kind) {
            let frozen = machine.hold.of(Reason::Frozen);
            let frozen = match is_frozen {
                true => frozen | bit(vcpu),
                false => frozen & !bit(vcpu),
            };
            machine.hold.set(Reason::Frozen, frozen);
            self.owed.insert(id);
        }
    }
}

impl Keeper {
    /// Hold these vCPUs of a machine for this reason, and no others for it. It may be born and not have its
    /// `Go` yet: then they do not enter at `Go`.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the quota of cpu"))]
    pub(super) fn hold(&mut self, id: MachineId, reason: Reason, vcpus: VcpuSet) {
        if let Some(machine) = self.machines.get_mut(id) {
            machine.hold.set(reason, vcpus);
            self.holds_owed.insert(id);
            self.post_holds();
        }
    }

    /// Tell the machines whom to hold, as far as that is not what they were told last. Many may be frozen at
    /// once: where the wire has no room for more, they are told a moment later.
    pub(super) fn post_holds(&mut self) {
        while let Some(id) = self.holds_owed.pop_first() {
            let Some(machine) = self.machines.get_mut(id) else {
                continue;
            };
            if let Some(order) = machine.hold.order() {
                let say = wire::Request::Say(id, Box::new(order));
                if let Err(TrySendError::Full(_)) = self.wire.try_send_below(HOLDS_WAITING, say) {
                    self.holds_owed.insert(id);
                    return;
                }
                machine.hold.ordered(Instant::now());
            }
            self.note_held(id);
        }
    }

    /// When holds are to be posted again, if any are owed.
    pub(super) fn hold_again_at(&self) -> Option<Instant> {
        let owed = !self.holds_owed.is_empty();
        owed.then(|| Instant::now() + HOLD_AGAIN)
    }

    /// A machine has answered a hold.
    pub(super) fn on_held(&mut self, id: MachineId, number: u64) {
        if let Some(machine) = self.machines.get_mut(id) {
            machine.hold.on_held(number);
            self.note_held(id);
        }
    }

    /// Let the framework know which frozen vCPUs of a machine are out.
    pub(super) fn note_held(&mut self, id: MachineId) {
        let Some(machine) = self.machines.get(id) else {
            return;
        };
        let out = machine.hold.out() & machine.hold.of(Reason::Frozen);
        let vcpus = machine.tasks.iter().filter_map(|(kind, task)| match kind {
            TaskKind::Vcpu(vcpu) => Some((*task, has(out, *vcpu))),
            _ => None,
        });
        let vcpus: Vec<(TaskId, bool)> = vcpus.collect();
        for (task, is_held) in vcpus {
            // One that has exited, or is not born yet, has no state to be told of.
            if let Ok(events) = self.framework.note_held(task, is_held) {
                self.record(events, None);
            }
        }
    }

    /// Hold against the kernel's count what machines say of their held vCPUs.
    pub(super) fn look_at_held(&mut self) {
        let out = |machine: &Machine| {
            let out = machine.hold.out();
            let vcpus = machine
                .tasks
                .iter()
                .filter_map(move |(kind, task)| match kind {
                    TaskKind::Vcpu(vcpu) if has(out, *vcpu) => Some((*vcpu, *task)),
                    _ => None,
                });
            vcpus.collect::<Vec<_>>()
        };
        let held: Vec<_> = self
            .machines
            .iter()
            .filter(|(_, machine)| machine.verdict.is_none() && machine.hold.out() != 0)
            .map(|(id, machine)| (id, out(machine)))
            .collect();
        for (id, vcpus) in held {
            for (vcpu, task) in vcpus {
                let used = self.tasks.written(task);
                let machine = self.machines.get_mut(id);
                if let (Some(used), Some(machine)) = (used, machine)
                    && !machine.hold.has_rested(vcpu, used)
                {
                    self.kill(
                        id,
                        format!("runs vcpu{vcpu}, which it says is out of its guest"),
                    );
                    break;
                }
            }
        }
    }

    /// Kill the machines that have not done what they had to.
    pub(super) fn kill_not_held(&mut self, now: Instant) {
        let late =
            |(_, machine): &(MachineId, &Machine)| machine.hold_due().is_some_and(|due| now >= due);
        let late: Vec<MachineId> = self
            .machines
            .iter()
            .filter(late)
            .map(|(id, _)| id)
            .collect();
        for id in late {
            self.kill(id, "did not leave its guest in time".into());
        }
    }
}

#[cfg(test)]
mod tests;
