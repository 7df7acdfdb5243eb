//! Time: deadlines on the time stamp counter, spent computing or halted.

use core::hint::black_box;

use crate::{cpu, lapic};

/// Rounds of computing between two looks at the counter: about a microsecond.
const ROUNDS: u32 = 500;

/// The machine's clock.
#[derive(Clone, Copy)]
pub struct Clock {
    tsc_khz: u64,
}

impl Clock {
    /// A clock over a counter of this rate.
    pub fn new(tsc_khz: u32) -> Self {
        Self { tsc_khz: u64::from(tsc_khz.max(1)) }
    }

    /// The counter's value when `microseconds` from now have passed.
    pub fn deadline(&self, microseconds: u64) -> u64 {
        let ticks = microseconds.saturating_mul(self.tsc_khz) / 1000;
        cpu::timestamp().saturating_add(ticks)
    }

    /// Computes until `deadline`, without leaving the guest.
    pub fn burn_until(&self, deadline: u64) {
        let mut state = deadline | 1;
        while cpu::timestamp() < deadline {
            state = compute(state);
        }
        black_box(state);
    }

    /// Halts until `deadline`.
    pub fn sleep_until(&self, deadline: u64) {
        loop {
            let left = deadline.saturating_sub(cpu::timestamp());
            if left == 0 {
                return;
            }
            let microseconds = left.saturating_mul(1000) / self.tsc_khz + 1;
            lapic::arm(microseconds.saturating_mul(1000).min(lapic::MAX_NANOSECONDS));
            cpu::wait_for_interrupt();
        }
    }
}

/// Some work for the processor: rounds of Marsaglia's xorshift.
fn compute(mut state: u64) -> u64 {
    for _ in 0..ROUNDS {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    black_box(state)
}
