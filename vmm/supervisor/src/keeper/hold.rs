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
            let frozen = machine.hold.of(Reason::Frozen) & !bit(vcpu);
            let frozen = if is_frozen {
                frozen | bit(vcpu)
            } else {
                frozen
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    use super::super::stage::{framework, keeper, launch, new_machine};
    use crate::wire;

    /// Set what is to be held, and give the order that follows.
    fn set(
        hold: &mut Hold,
        reason: Reason,
        vcpus: VcpuSet,
        now: Instant,
    ) -> Option<(VcpuSet, u64)> {
        hold.set(reason, vcpus);
        match hold.order()? {
            ToMachine::Hold { vcpus, number } => {
                hold.ordered(now);
                assert_eq!(hold.order(), None);
                Some((vcpus, number))
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_order_is_given_when_the_union_of_the_reasons_changes() {
        let (mut hold, now) = (Hold::default(), Instant::now());
        assert_eq!(set(&mut hold, Reason::Frozen, 0, now), None);
        assert_eq!(set(&mut hold, Reason::Frozen, 0b11, now), Some((0b11, 1)));
        assert_eq!(set(&mut hold, Reason::Throttled, 0b10, now), None);
        assert_eq!(
            set(&mut hold, Reason::Throttled, 0b110, now),
            Some((0b111, 2))
        );
        assert_eq!(set(&mut hold, Reason::Frozen, 0, now), Some((0b110, 3)));
        assert_eq!(
            (hold.of(Reason::Frozen), hold.of(Reason::Throttled)),
            (0, 0b110)
        );
    }

    #[test]
    fn a_vcpu_that_is_out_and_uses_time_is_seen_and_one_that_was_in_between_is_not() {
        let (mut hold, now) = (Hold::default(), Instant::now());
        set(&mut hold, Reason::Frozen, 0b1, now);
        hold.on_held(1);
        assert!(hold.has_rested(0, Nanoseconds(5)));
        assert!(hold.has_rested(0, Nanoseconds(5 + REST.0)));
        assert!(!hold.has_rested(0, Nanoseconds(6 + REST.0)));
        set(&mut hold, Reason::Frozen, 0, now);
        set(&mut hold, Reason::Frozen, 0b1, now);
        hold.on_held(3);
        assert!(hold.has_rested(0, Nanoseconds(6 + REST.0)));
    }

    #[test]
    fn the_time_limit_is_of_the_vcpu_that_has_been_leaving_longest() {
        let (mut hold, now) = (Hold::default(), Instant::now());
        let later = now + Duration::from_secs(1);
        set(&mut hold, Reason::Frozen, 0b01, now);
        set(&mut hold, Reason::Throttled, 0b10, later);
        assert_eq!(hold.due(), Some(now + HOLD_LIMIT));
        assert_eq!(hold.on_held(1), 0b01);
        assert_eq!((hold.out(), hold.due()), (0b01, Some(later + HOLD_LIMIT)));
        set(&mut hold, Reason::Throttled, 0, later);
        assert_eq!((hold.out(), hold.due()), (0b01, None));
    }

    #[test]
    fn a_machine_that_does_not_answer_in_time_is_killed() {
        let (mut keeper, wire, _runner) = keeper(framework(&[]));
        let id = keeper.on_launch(launch(new_machine("web")));
        keeper.hold(id, Reason::Frozen, 0b1);
        let said = std::iter::from_fn(|| wire.try_recv().unwrap());
        let said = said
            .filter(|said| matches!(said, wire::Request::Say(..)))
            .count();
        assert_eq!(said, 1);
        let verdict = |keeper: &Keeper| keeper.machines.get(id).unwrap().verdict.clone();
        keeper.kill_not_held(Instant::now());
        assert_eq!(verdict(&keeper), None);
        let late = Instant::now() + HOLD_LIMIT;
        keeper.on_held(id, 1);
        keeper.kill_not_held(late);
        assert_eq!(verdict(&keeper), None);
        keeper.hold(id, Reason::Frozen, 0b10);
        keeper.kill_not_held(Instant::now() + HOLD_LIMIT);
        assert_eq!(verdict(&keeper).unwrap(), "did not leave its guest in time");
        assert_eq!(keeper.machines.get(id).unwrap().hold_due(), None);
        keeper.bury_all();
    }

    const VCPUS: u16 = 4;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Give(Reason, VcpuSet),
        /// The machine takes this many of its orders in.
        Take(usize),
        /// It says what is true of the last that it has taken.
        Answer,
    }

    fn step() -> impl Strategy<Value = Step> {
        let reason = prop_oneof![Just(Reason::Frozen), Just(Reason::Throttled)];
        prop_oneof![
            3 => (reason, 0..1u64 << VCPUS).prop_map(|(reason, set)| Step::Give(reason, set)),
            2 => (1usize..4).prop_map(Step::Take),
            2 => Just(Step::Answer),
        ]
    }

    proptest! {
        /// Beside a machine that is some orders behind: what is called out is out there and stays so, and when
        /// all is answered all that is to be held is out.
        #[test]
        fn what_is_called_out_is_out(steps in proptest::collection::vec(step(), 0..60)) {
            let (mut hold, now) = (Hold::default(), Instant::now());
            let mut orders = std::collections::VecDeque::new();
            let (mut inside, mut last) = (VcpuSet::MAX, (0, 0));
            let finish = [Step::Take(usize::MAX), Step::Answer];
            for step in steps.into_iter().chain(finish) {
                match step {
                    Step::Give(reason, vcpus) => orders.extend(set(&mut hold, reason, vcpus, now)),
                    Step::Take(count) => {
                        for order in orders.drain(..count.min(orders.len())) {
                            last = order;
                            inside = !order.0;
                        }
                    }
                    Step::Answer => {
                        let before = hold.out();
                        let new = hold.on_held(last.1);
                        prop_assert_eq!(new & before, 0);
                        prop_assert_eq!(new | before, hold.out());
                    }
                }
                prop_assert_eq!(hold.out() & inside, 0, "called out and is inside");
                for (vcpus, _) in &orders {
                    prop_assert_eq!(hold.out() & !vcpus, 0, "called out and about to enter");
                }
            }
            let wanted = hold.of(Reason::Frozen) | hold.of(Reason::Throttled);
            prop_assert_eq!(hold.out(), wanted);
            prop_assert_eq!(hold.due(), None);
        }
    }
}
