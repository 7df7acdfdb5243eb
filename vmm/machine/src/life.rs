//! The life of a machine: which order or event brings about what. Pure; `control` carries it out.
//!
//! ```text
//!   a vCPU:            wanted inside               not wanted
//!            Outside ─────────────────▶ Inside ─────────────────▶ Leaving ── has left ──▶ Outside
//!
//!            wanted inside  =  Go has come, and the machine is not paused, and the vCPU is not held
//!
//!   any ── Stop, reset, fault, supervisor gone, last vCPU's exit ──▶ Ending ── last thread ended ──▶ over
//! ```
//!
//! One place owns every transition, so an order that comes while an earlier one is still being
//! carried out is settled here: `Go`, `Pause`, `Resume` and `Hold` only state what is wanted, and after each
//! event what is wanted is compared with what is, vCPU by vCPU. One that is on its way out is ordered in
//! again only when it has left. So a vCPU has at most one order to enter and one to leave open, however
//! fast the supervisor changes its mind.
//!
//! An answer is owed until it is true, or until a later order takes its place.

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
    Hold {
        vcpus: Set,
        number: u64,
    },
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
    /// Order these vCPUs into the guest.
    Enter(Set),
    /// Order these vCPUs out of the guest.
    Leave(Set),
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

/// A set of vCPUs, a bit for each: [`link::MAX_VCPUS`] fit.
pub(crate) type Set = u64;

/// The state of a machine.
#[derive(Debug)]
pub(crate) struct Life {
    /// `Go` has come.
    permitted: bool,
    /// `Pause` has come, and no `Resume` after it.
    paused: bool,
    /// The vCPUs of the last `Hold`.
    held: Set,
    /// `Pause` has not been answered.
    owes_paused: bool,
    /// The number of a `Hold` that has not been answered.
    owes_held: Option<u64>,
    alive: Set,
    /// Ordered in and not yet out.
    inside: Set,
    /// Of those, the ones that have been ordered out.
    leaving: Set,
    highest_code: u8,
    cause: Option<Cause>,
}

impl Life {
    /// A machine whose vCPUs wait outside of the guest.
    pub fn new(vcpus: u16) -> Self {
        Life {
            permitted: false,
            paused: false,
            held: 0,
            owes_paused: false,
            owes_held: None,
            alive: Set::MAX >> (Set::BITS - u32::from(vcpus.clamp(1, link::MAX_VCPUS))),
            inside: 0,
            leaving: 0,
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
        let mut acts = Vec::new();
        match event {
            Event::Go => self.permitted = true,
            Event::Pause => (self.paused, self.owes_paused) = (true, true),
            Event::Resume => {
                (self.paused, self.owes_paused) = (false, false);
                // One that is ending enters no more.
                if self.cause.is_none() {
                    acts.push(Act::Say(ToSupervisor::Resumed));
                }
            }
            Event::Hold { vcpus, number } => (self.held, self.owes_held) = (vcpus, Some(number)),
            Event::Stop => self.end(Cause::Halt(HaltCause::Stopped), &mut acts),
            Event::PeerLost => self.end(Cause::PeerLost, &mut acts),
            Event::Left(vcpu) => self.is_out(vcpu),
            Event::Ended(vcpu, end) => self.on_ended(vcpu, end, &mut acts),
        }
        self.settle(&mut acts);
        acts
    }

    fn on_ended(&mut self, vcpu: u16, end: End, acts: &mut Vec<Act>) {
        self.alive &= !bit(vcpu);
        self.is_out(vcpu);
        acts.push(Act::Join(vcpu));
        match end {
            End::Told => {}
            End::Exit(code) => self.highest_code = self.highest_code.max(code),
            End::Reset => self.end(Cause::Halt(HaltCause::Reset), acts),
            End::Fault(what) => self.end(Cause::Halt(HaltCause::Fault { vcpu, what }), acts),
        }
        if self.alive == 0 {
            let exit = Cause::Halt(HaltCause::Exit(self.highest_code));
            self.cause.get_or_insert(exit);
        }
    }

    fn is_out(&mut self, vcpu: u16) {
        self.inside &= !bit(vcpu);
        self.leaving &= !bit(vcpu);
    }

    /// Order each vCPU where it is wanted, and give the answers that are true now. A machine that is ending
    /// gives no orders but those to end, and its vCPUs are out as they end.
    fn settle(&mut self, acts: &mut Vec<Act>) {
        if self.cause.is_none() {
            let wanted = self.wanted_inside();
            let leave = self.inside & !wanted & !self.leaving;
            let enter = wanted & !self.inside;
            self.leaving |= leave;
            self.inside |= enter;
            acts.extend((leave != 0).then_some(Act::Leave(leave)));
            acts.extend((enter != 0).then_some(Act::Enter(enter)));
        }
        if self.inside == 0 && std::mem::take(&mut self.owes_paused) {
            acts.push(Act::Say(ToSupervisor::Paused));
        }
        if self.inside & self.held == 0
            && let Some(number) = self.owes_held.take()
        {
            acts.push(Act::Say(ToSupervisor::Held { number }));
        }
    }

    fn wanted_inside(&self) -> Set {
        match self.permitted && !self.paused {
            true => self.alive & !self.held,
            false => 0,
        }
    }

    /// The first cause stands.
    fn end(&mut self, cause: Cause, acts: &mut Vec<Act>) {
        if self.cause.is_none() {
            self.cause = Some(cause);
            acts.push(Act::End);
        }
    }
}

fn bit(vcpu: u16) -> Set {
    1u64.checked_shl(vcpu.into()).unwrap_or(0)
}

#[cfg(test)]
mod tests;
