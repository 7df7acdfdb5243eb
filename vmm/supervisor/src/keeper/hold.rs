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

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use link::ToMachine;

use super::machines::{MachineId, State};
use super::{Keeper, machines::Machine};

/// From the order until every vCPU of it is out: a vCPU leaves its guest within microseconds, and a crowded
/// host may take its time to run it.
pub(super) const HOLD_LIMIT: Duration = Duration::from_secs(2);

/// vCPUs of one machine, a bit for each.
pub(super) type VcpuSet = u64;

/// Why a vCPU is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It stands in a frozen group.
    Frozen,
    /// Its group has used up its time.
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
}

impl Hold {
    /// Hold these vCPUs for this reason, and no others for it. Returns the order to be given, if there is
    /// one.
    pub fn set(&mut self, reason: Reason, vcpus: VcpuSet, now: Instant) -> Option<ToMachine> {
        *self.of_mut(reason) = vcpus;
        let wanted = self.frozen | self.throttled;
        if wanted == self.stated {
            return None;
        }
        self.number += 1;
        let number = self.number;
        self.leaving.retain(|&vcpu, _| has(wanted, vcpu));
        let new = wanted & !self.stated;
        let new = (0..link::MAX_VCPUS).filter(|&vcpu| has(new, vcpu));
        self.leaving.extend(new.map(|vcpu| (vcpu, (number, now))));
        self.stated = wanted;
        Some(ToMachine::Hold {
            vcpus: wanted,
            number,
        })
    }

    /// The vCPUs that are to be held for this reason.
    pub fn of(&self, reason: Reason) -> VcpuSet {
        match reason {
            Reason::Frozen => self.frozen,
            Reason::Throttled => self.throttled,
        }
    }

    fn of_mut(&mut self, reason: Reason) -> &mut VcpuSet {
        match reason {
            Reason::Frozen => &mut self.frozen,
            Reason::Throttled => &mut self.throttled,
        }
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

impl Keeper {
    /// Hold these vCPUs of a machine for this reason, and no others for it. It may be born and not have its
    /// `Go` yet: then they do not enter at `Go`.
    pub(super) fn hold(&mut self, id: MachineId, reason: Reason, vcpus: VcpuSet) {
        let machine = self.machines.get_mut(id);
        let order = machine.and_then(|machine| machine.hold.set(reason, vcpus, Instant::now()));
        if let Some(order) = order {
            self.say(id, order);
        }
    }

    /// A machine has answered a hold.
    pub(super) fn on_held(&mut self, id: MachineId, number: u64) {
        if let Some(machine) = self.machines.get_mut(id) {
            machine.hold.on_held(number);
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

    fn order(order: Option<ToMachine>) -> Option<(VcpuSet, u64)> {
        match order? {
            ToMachine::Hold { vcpus, number } => Some((vcpus, number)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_order_is_given_when_the_union_of_the_reasons_changes() {
        let (mut hold, now) = (Hold::default(), Instant::now());
        assert_eq!(order(hold.set(Reason::Frozen, 0, now)), None);
        assert_eq!(order(hold.set(Reason::Frozen, 0b11, now)), Some((0b11, 1)));
        assert_eq!(order(hold.set(Reason::Throttled, 0b10, now)), None);
        assert_eq!(
            order(hold.set(Reason::Throttled, 0b110, now)),
            Some((0b111, 2))
        );
        assert_eq!(order(hold.set(Reason::Frozen, 0, now)), Some((0b110, 3)));
        assert_eq!(
            (hold.of(Reason::Frozen), hold.of(Reason::Throttled)),
            (0, 0b110)
        );
    }

    #[test]
    fn the_time_limit_is_of_the_vcpu_that_has_been_leaving_longest() {
        let (mut hold, now) = (Hold::default(), Instant::now());
        let later = now + Duration::from_secs(1);
        hold.set(Reason::Frozen, 0b01, now);
        hold.set(Reason::Throttled, 0b10, later);
        assert_eq!(hold.due(), Some(now + HOLD_LIMIT));
        assert_eq!(hold.on_held(1), 0b01);
        assert_eq!((hold.out(), hold.due()), (0b01, Some(later + HOLD_LIMIT)));
        hold.set(Reason::Throttled, 0, later);
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
        Set(Reason, VcpuSet),
        /// The machine takes this many of its orders in.
        Take(usize),
        /// It says what is true of the last that it has taken.
        Answer,
    }

    fn step() -> impl Strategy<Value = Step> {
        let reason = prop_oneof![Just(Reason::Frozen), Just(Reason::Throttled)];
        prop_oneof![
            3 => (reason, 0..1u64 << VCPUS).prop_map(|(reason, set)| Step::Set(reason, set)),
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
                    Step::Set(reason, set) => orders.extend(order(hold.set(reason, set, now))),
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
