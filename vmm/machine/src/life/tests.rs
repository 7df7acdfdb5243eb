//! Threads that follow their orders late, and a supervisor that changes its mind.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

/// What a supervisor says or a guest does.
#[derive(Clone, Copy, Debug)]
enum Step {
    Go,
    Pause,
    Resume,
    Hold(Set),
    Stop,
    PeerLost,
    /// The vCPU, if one has orders, follows the oldest.
    Follow(u16),
    Exit(u16, u8),
    Fault(u16),
}

/// An order in a vCPU's mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Enter,
    Leave,
    End,
}

/// Threads as `vcpu` has them: they follow orders one by one, and report.
struct Threads {
    life: Life,
    orders: Vec<Option<VecDeque<Order>>>,
    inside: Vec<bool>,
    said: Vec<ToSupervisor>,
    codes: Vec<u8>,
    /// The last `Hold`.
    held: Set,
    holds: u64,
}

impl Threads {
    fn new(vcpus: u16) -> Self {
        Threads {
            life: Life::new(vcpus),
            orders: vec![Some(VecDeque::new()); vcpus.into()],
            inside: vec![false; vcpus.into()],
            said: Vec::new(),
            codes: Vec::new(),
            held: 0,
            holds: 0,
        }
    }

    fn happen(&mut self, event: Event) {
        for act in self.life.on(event) {
            match act {
                Act::Say(message) => self.said(message),
                Act::Join(vcpu) => {
                    assert!(self.orders[usize::from(vcpu)].is_none(), "joined alive");
                }
                Act::Enter(set) => self.order(set, Order::Enter),
                Act::Leave(set) => self.order(set, Order::Leave),
                Act::End => self.order(Set::MAX, Order::End),
            }
        }
    }

    fn said(&mut self, message: ToSupervisor) {
        match message {
            ToSupervisor::Paused => {
                assert!(!self.inside.contains(&true), "paused with one inside");
            }
            ToSupervisor::Held { number } => {
                assert_eq!(
                    number, self.holds,
                    "an answer to an order that was replaced"
                );
                for (vcpu, inside) in (0..).zip(&self.inside) {
                    assert!(
                        !inside || self.held & bit(vcpu) == 0,
                        "held with {vcpu} inside"
                    );
                }
            }
            _ => {}
        }
        self.said.push(message);
    }

    fn order(&mut self, set: Set, order: Order) {
        for (vcpu, orders) in (0..).zip(&mut self.orders) {
            if let Some(orders) = orders
                && set & bit(vcpu) != 0
            {
                assert!(!orders.contains(&order), "{order:?} is open already");
                orders.push_back(order);
            }
        }
    }

    fn follow(&mut self, vcpu: u16) {
        let at = usize::from(vcpu);
        match self.orders[at].as_mut().and_then(VecDeque::pop_front) {
            None => {}
            Some(Order::Enter) => self.inside[at] = true,
            Some(Order::Leave) => {
                self.inside[at] = false;
                self.happen(Event::Left(vcpu));
            }
            Some(Order::End) => self.end(vcpu, End::Told),
        }
    }

    fn end(&mut self, vcpu: u16, end: End) {
        let at = usize::from(vcpu);
        self.orders[at] = None;
        self.inside[at] = false;
        self.happen(Event::Ended(vcpu, end));
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Go => self.happen(Event::Go),
            Step::Pause => self.happen(Event::Pause),
            Step::Resume => self.happen(Event::Resume),
            Step::Hold(vcpus) => {
                self.held = vcpus;
                self.holds += 1;
                let number = self.holds;
                self.happen(Event::Hold { vcpus, number });
            }
            Step::Stop => self.happen(Event::Stop),
            Step::PeerLost => self.happen(Event::PeerLost),
            Step::Follow(vcpu) => self.follow(vcpu),
            // Only a guest that runs can end by itself.
            Step::Exit(vcpu, code) if self.inside[usize::from(vcpu)] => {
                self.codes.push(code);
                self.end(vcpu, End::Exit(code));
            }
            Step::Fault(vcpu) if self.inside[usize::from(vcpu)] => {
                self.end(vcpu, End::Fault("fault".into()));
            }
            Step::Exit(..) | Step::Fault(_) => {}
        }
    }

    /// Every thread follows all its orders.
    fn settle(&mut self) {
        let waits =
            |orders: &Option<VecDeque<Order>>| orders.as_ref().is_some_and(|o| !o.is_empty());
        while let Some(at) = self.orders.iter().position(waits) {
            self.follow(at as u16);
        }
    }

    fn alive(&self) -> bool {
        self.orders.iter().any(Option::is_some)
    }

    /// Whether the last `Hold` has been answered, if there was one.
    fn hold_is_answered(&self) -> bool {
        let number = self.holds;
        number == 0 || self.said.contains(&ToSupervisor::Held { number })
    }
}

const VCPUS: u16 = 3;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::Go),
        1 => Just(Step::Pause),
        1 => Just(Step::Resume),
        // Also of vCPUs that it does not have.
        3 => (0..1u64 << (VCPUS + 1)).prop_map(Step::Hold),
        8 => (0..VCPUS).prop_map(Step::Follow),
        1 => (0..VCPUS, any::<u8>()).prop_map(|(vcpu, code)| Step::Exit(vcpu, code)),
    ]
}

fn end() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Stop),
        Just(Step::PeerLost),
        (0..VCPUS).prop_map(Step::Fault)
    ]
}

proptest! {
    #[test]
    fn once_settled_each_vcpu_is_where_the_last_orders_want_it(
        steps in proptest::collection::vec(step(), 0..60),
    ) {
        let mut threads = Threads::new(VCPUS);
        let (mut go, mut pause) = (false, false);
        for step in steps {
            match step {
                Step::Go => go = true,
                Step::Pause => pause = true,
                Step::Resume => pause = false,
                _ => {}
            }
            threads.step(step);
            if !go {
                prop_assert!(!threads.inside.contains(&true), "inside before Go");
            }
        }
        threads.settle();
        for (vcpu, (orders, inside)) in (0..).zip(threads.orders.iter().zip(&threads.inside)) {
            let held = threads.held & bit(vcpu) != 0;
            prop_assert_eq!(*inside, orders.is_some() && go && !pause && !held);
        }
        prop_assert!(threads.hold_is_answered());
        let last = threads
            .said
            .iter()
            .rfind(|said| matches!(said, ToSupervisor::Paused | ToSupervisor::Resumed));
        if pause {
            prop_assert_eq!(last, Some(&ToSupervisor::Paused));
        }
        if !threads.alive() {
            let highest = threads.codes.iter().copied().max().unwrap_or(0);
            prop_assert_eq!(threads.life.over(), Some(&Cause::Halt(HaltCause::Exit(highest))));
        }
    }

    #[test]
    fn whatever_came_before_an_end_ends_every_thread_and_the_first_cause_stands(
        before in proptest::collection::vec(step(), 0..30),
        end in end(),
        after in proptest::collection::vec(prop_oneof![6 => step(), 1 => end()], 0..30),
    ) {
        let mut threads = Threads::new(VCPUS);
        before.into_iter().for_each(|step| threads.step(step));
        threads.step(end);
        let cause = threads.life.cause().cloned();
        after.into_iter().for_each(|step| threads.step(step));
        if cause.is_some() {
            threads.settle();
            prop_assert!(!threads.alive());
            prop_assert_eq!(threads.life.over(), cause.as_ref());
            // Who has ended is out, and who waits for that is told.
            prop_assert!(threads.hold_is_answered());
        }
    }
}
