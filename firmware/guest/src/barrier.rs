//! Where the vCPUs wait for each other.
//!
//! A barrier opens when all vCPUs that have not ended have come. One word holds it all, so that an
//! arrival and an ending cannot miss each other: the number of the round, how many have come in
//! this round, how many have ended.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Clock;

static BARRIER: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, Copy)]
struct State {
    round: u32,
    come: u16,
    ended: u16,
}

impl State {
    fn unpack(word: u64) -> Self {
        Self {
            round: (word >> 32) as u32,
            come: (word >> 16) as u16,
            ended: word as u16,
        }
    }

    fn pack(self) -> u64 {
        u64::from(self.round) << 32 | u64::from(self.come) << 16 | u64::from(self.ended)
    }

    /// The next round if nobody is missing in this one.
    fn opened_if_complete(self, vcpus: u32) -> Self {
        if self.come > 0 && u32::from(self.come) + u32::from(self.ended) >= vcpus {
            Self {
                round: self.round.wrapping_add(1),
                come: 0,
                ..self
            }
        } else {
            self
        }
    }
}

/// Waits until all vCPUs that have not ended have come here.
pub fn wait(vcpus: u32, clock: Clock) {
    let before = update(vcpus, |state| State {
        come: state.come + 1,
        ..state
    });
    clock.wait_for(|| State::unpack(BARRIER.load(Ordering::Acquire)).round != before.round);
}

/// Counts the calling vCPU out of every barrier to come.
pub fn leave(vcpus: u32) {
    update(vcpus, |state| State {
        ended: state.ended + 1,
        ..state
    });
}

/// Applies `change`, opens the barrier if that completes it, and returns the state before.
fn update(vcpus: u32, change: impl Fn(State) -> State) -> State {
    let next = |word| Some(change(State::unpack(word)).opened_if_complete(vcpus).pack());
    match BARRIER.fetch_update(Ordering::AcqRel, Ordering::Acquire, next) {
        Ok(before) | Err(before) => State::unpack(before),
    }
}
