//! The life of a machine: which order or event brings about what. Pure; `control` carries it out.
//!
//! ```text
//!              Go (and not paused)         Pause
//!   Outside ───────────────────────▶ Inside ─────▶ Leaving
//!      ▲  └── Resume (after Go) ──────▶ ▲            │ last vCPU left
//!      └───────────────────────────────│────────────┘ (and back in, if Resume came meanwhile)
//!                                      │
//!   any ── Stop, reset, fault, supervisor gone, last vCPU's exit ──▶ Ending ── last thread ended ──▶ over
//! ```
//!
//! One place owns every transition, so an order that comes while an earlier one is still being
//! carried out is settled here: `Pause` and `Resume` only state what is wanted, and what is wanted
//! is compared with what is whenever the last vCPU has left. So a vCPU has at most one order to leave
//! and one to enter open, however fast the supervisor changes its mind.

use link::{HaltCause, ToSupervisor};

/// How a vCPU thread ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The guest is done with this vCPU, with this code.
    Exit(u8),
    /// The guest asked for a reset or a power-off.
    Reset,
    /// The vCPU cannot go on.
    Fault(String),
    /// It was told to end.
    Told,
}

/// What happens to a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The supervisor's orders.
    Go,
    Pause,
    Resume,
    Stop,
    /// The supervisor is gone, or breaks the protocol.
    PeerLost,
    /// This vCPU has left the guest as ordered.
    Left(u16),
    /// This vCPU's thread has ended.
    Ended(u16, End),
}

/// What is to be done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Order every living vCPU into the guest.
    Enter,
    /// Order every living vCPU out of the guest.
    Leave,
    /// Order every living vCPU to end.
    End,
    /// Join this vCPU's thread and say that it has ended.
    Join(u16),
    /// Tell the supervisor.
    Say(ToSupervisor),
}

/// Why a machine is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// As the supervisor is told.
    Halt(HaltCause),
    /// There is no supervisor to be told.
    PeerLost,
}

/// The vCPUs, by index: [`link::MAX_VCPUS`] fit.
type Set = u64;

/// The state of a machine.
#[derive(Debug)]
pub(crate) struct Life {
    /// `Go` has come.
    permitted: bool,
    /// `Pause` has come, and no `Resume` after it.
    pause_wanted: bool,
    /// An order to leave is open.
    leaving: bool,
    alive: Set,
    /// Ordered in and not yet out.
    inside: Set,
    highest_code: u8,
    cause: Option<Cause>,
}

impl Life {
    /// A machine whose vCPUs wait outside of the guest.
    pub fn new(vcpus: u16) -> Self {
        Life {
            permitted: false,
            pause_wanted: false,
            leaving: false,
            alive: Set::MAX >> (Set::BITS - u32::from(vcpus.clamp(1, link::MAX_VCPUS))),
            inside: 0,
            highest_code: 0,
            cause: None,
        }
    }

    /// The cause, once every vCPU thread has ended.
    pub fn over(&self) -> Option<&Cause> {
        self.cause.as_ref().filter(|_| self.alive == 0)
    }

    /// The cause, once the machine is ending.
    pub fn cause(&self) -> Option<&Cause> {
        self.cause.as_ref()
    }

    /// Take `event` in; returns what is to be done.
    pub fn on(&mut self, event: Event) -> Vec<Act> {
        match event {
            Event::Stop => self.end(Cause::Halt(HaltCause::Stopped)),
            Event::PeerLost => self.end(Cause::PeerLost),
            Event::Ended(vcpu, end) => self.on_ended(vcpu, end),
            // What was ordered before the end has no bearing any more.
            _ if self.cause.is_some() => Vec::new(),
            Event::Go if self.permitted => Vec::new(),
            Event::Go => {
                self.permitted = true;
                if self.pause_wanted {
                    Vec::new()
                } else {
                    self.enter()
                }
            }
            Event::Pause => self.on_pause(),
            Event::Resume => self.on_resume(),
            Event::Left(vcpu) => {
                self.inside &= !bit(vcpu);
                self.settle()
            }
        }
    }

    fn on_pause(&mut self) -> Vec<Act> {
        self.pause_wanted = true;
        if self.inside == 0 {
            return vec![Act::Say(ToSupervisor::Paused)];
        }
        if std::mem::replace(&mut self.leaving, true) {
            Vec::new()
        } else {
            vec![Act::Leave]
        }
    }

    fn on_resume(&mut self) -> Vec<Act> {
        self.pause_wanted = false;
        if self.leaving {
            // Answered when the last vCPU has left.
            return Vec::new();
        }
        let mut acts = if self.permitted && self.inside == 0 {
            self.enter()
        } else {
            Vec::new()
        };
        acts.push(Act::Say(ToSupervisor::Resumed));
        acts
    }

    fn on_ended(&mut self, vcpu: u16, end: End) -> Vec<Act> {
        self.alive &= !bit(vcpu);
        self.inside &= !bit(vcpu);
        let mut acts = vec![Act::Join(vcpu)];
        match end {
            End::Told => {}
            End::Exit(code) => self.highest_code = self.highest_code.max(code),
            End::Reset => acts.extend(self.end(Cause::Halt(HaltCause::Reset))),
            End::Fault(what) => acts.extend(self.end(Cause::Halt(HaltCause::Fault { vcpu, what }))),
        }
        if self.alive == 0 {
            let exit = Cause::Halt(HaltCause::Exit(self.highest_code));
            self.cause.get_or_insert(exit);
        } else if self.cause.is_none() {
            acts.extend(self.settle());
        }
        acts
    }

    /// If an order to leave was open and the last vCPU is out: say so, and go where it is wanted now.
    fn settle(&mut self) -> Vec<Act> {
        if !self.leaving || self.inside != 0 {
            return Vec::new();
        }
        self.leaving = false;
        let mut acts = vec![Act::Say(ToSupervisor::Paused)];
        if !self.pause_wanted {
            acts.extend(self.enter());
            acts.push(Act::Say(ToSupervisor::Resumed));
        }
        acts
    }

    fn enter(&mut self) -> Vec<Act> {
        self.inside = self.alive;
        vec![Act::Enter]
    }

    /// The first cause stands.
    fn end(&mut self, cause: Cause) -> Vec<Act> {
        if self.cause.is_some() {
            return Vec::new();
        }
        self.cause = Some(cause);
        vec![Act::End]
    }
}

fn bit(vcpu: u16) -> Set {
    1u64.checked_shl(vcpu.into()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    /// What a supervisor says or a guest does.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Order(u8),
        /// The vCPU, if one has orders, follows the oldest.
        Follow(u16),
        Exit(u16, u8),
        Fault(u16),
    }

    /// Threads as `vcpu` has them: they follow orders one by one, and report.
    struct Threads {
        life: Life,
        orders: Vec<Option<VecDeque<Act>>>,
        inside: Vec<bool>,
        said: Vec<ToSupervisor>,
        codes: Vec<u8>,
    }

    impl Threads {
        fn new(vcpus: u16) -> Self {
            Threads {
                life: Life::new(vcpus),
                orders: vec![Some(VecDeque::new()); vcpus.into()],
                inside: vec![false; vcpus.into()],
                said: Vec::new(),
                codes: Vec::new(),
            }
        }

        fn happen(&mut self, event: Event) {
            for act in self.life.on(event) {
                match act {
                    Act::Say(message) => {
                        if message == ToSupervisor::Paused {
                            assert!(!self.inside.contains(&true), "paused with one inside");
                        }
                        self.said.push(message);
                    }
                    Act::Join(vcpu) => {
                        assert!(self.orders[usize::from(vcpu)].is_none(), "joined alive");
                    }
                    order => {
                        for orders in self.orders.iter_mut().flatten() {
                            orders.push_back(order.clone());
                            assert!(orders.len() <= 3, "more orders than a mailbox holds");
                        }
                    }
                }
            }
        }

        fn follow(&mut self, vcpu: u16) {
            let at = usize::from(vcpu);
            let Some(order) = self.orders[at].as_mut().and_then(VecDeque::pop_front) else {
                return;
            };
            match order {
                Act::Enter => self.inside[at] = true,
                Act::Leave => {
                    self.inside[at] = false;
                    self.happen(Event::Left(vcpu));
                }
                _ => self.end(vcpu, End::Told),
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
                Step::Order(order) => self.happen(match order {
                    0 => Event::Go,
                    1 | 2 => Event::Pause,
                    3 | 4 => Event::Resume,
                    5 => Event::Stop,
                    _ => Event::PeerLost,
                }),
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
            while let Some(vcpu) = (0..).zip(&self.orders).find_map(|(vcpu, orders)| {
                orders
                    .as_ref()
                    .is_some_and(|orders| !orders.is_empty())
                    .then_some(vcpu)
            }) {
                self.follow(vcpu);
            }
        }

        fn alive(&self) -> bool {
            self.orders.iter().any(Option::is_some)
        }
    }

    const VCPUS: u16 = 3;

    fn step(orders: u8) -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..orders).prop_map(Step::Order),
            8 => (0..VCPUS).prop_map(Step::Follow),
            1 => (0..VCPUS, any::<u8>()).prop_map(|(vcpu, code)| Step::Exit(vcpu, code)),
        ]
    }

    proptest! {
        #[test]
        fn once_settled_the_machine_is_where_the_last_orders_want_it(
            steps in proptest::collection::vec(step(5), 0..60),
        ) {
            let mut threads = Threads::new(VCPUS);
            let (mut go, mut pause) = (false, false);
            for step in steps {
                match step {
                    Step::Order(0) => go = true,
                    Step::Order(order) => pause = order <= 2,
                    _ => {}
                }
                threads.step(step);
                if !go {
                    prop_assert!(!threads.inside.contains(&true), "inside before Go");
                }
            }
            threads.settle();
            for (orders, inside) in threads.orders.iter().zip(&threads.inside) {
                prop_assert_eq!(*inside, orders.is_some() && go && !pause);
            }
            let answer = threads.said.last();
            if pause && threads.alive() {
                prop_assert_eq!(answer, Some(&ToSupervisor::Paused));
            }
            if !threads.alive() {
                let highest = threads.codes.iter().copied().max().unwrap_or(0);
                prop_assert_eq!(threads.life.over(), Some(&Cause::Halt(HaltCause::Exit(highest))));
            }
        }

        #[test]
        fn whatever_came_before_an_end_ends_every_thread_and_the_first_cause_stands(
            before in proptest::collection::vec(step(5), 0..30),
            end in prop_oneof![(5u8..7).prop_map(Step::Order), (0..VCPUS).prop_map(Step::Fault)],
            after in proptest::collection::vec(step(7), 0..30),
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
            }
        }
    }
}
