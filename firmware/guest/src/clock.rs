//! Time: deadlines on the time stamp counter, spent computing or halted.

use core::cell::Cell;
use core::hint::black_box;

use crate::{cpu, lapic};

/// Rounds of computing between two looks at the counter: about a microsecond.
const ROUNDS: u32 = 500;

/// How long a wait for another vCPU spins before it begins to halt, and how long it halts between
/// looks: about what waking up costs, and a time nobody misses.
const SPIN_MICROSECONDS: u64 = 100;
const NAP_MICROSECONDS: u64 = 500;

/// The machine's clock.
#[derive(Clone, Copy)]
pub struct Clock {
    tsc_khz: u64,
}

impl Clock {
    /// A clock over a counter of this rate.
    pub fn new(tsc_khz: u32) -> Self {
        Self {
            tsc_khz: u64::from(tsc_khz.max(1)),
        }
    }

    /// The counter's value when `microseconds` from now have passed.
    pub fn deadline(&self, microseconds: u64) -> u64 {
        let ticks = microseconds.saturating_mul(self.tsc_khz) / 1000;
        cpu::timestamp().saturating_add(ticks)
    }

    /// So many ticks of the counter, in nanoseconds.
    pub fn nanoseconds(&self, ticks: u64) -> u64 {
        (u128::from(ticks) * 1_000_000 / u128::from(self.tsc_khz)) as u64
    }

    /// Computes until `deadline`, without leaving the guest.
    pub fn burn_until(&self, deadline: u64) {
        let mut state = deadline | 1;
        while cpu::timestamp() < deadline {
            state = compute(state);
        }
        black_box(state);
    }

    /// Waits for what another vCPU does: a short while at full speed, then halted most of the time.
    pub fn wait_for(&self, done: impl Fn() -> bool) {
        let spin_end = self.deadline(SPIN_MICROSECONDS);
        while !done() {
            if cpu::timestamp() < spin_end {
                core::hint::spin_loop();
            } else {
                self.sleep_until(self.deadline(NAP_MICROSECONDS));
            }
        }
    }

    /// Halts until `deadline`.
    pub fn sleep_until(&self, deadline: u64) {
        while self.arm(deadline).is_some() {
            cpu::wait_for_interrupt();
        }
    }

    /// Has the timer interrupt this vCPU at `deadline`, or as late as it can before that. Returns until
    /// when that interrupt is surely yet to come: the timer and the counter need not agree to the
    /// tick. Nothing if `deadline` is past.
    pub fn arm(&self, deadline: u64) -> Option<u64> {
        let now = cpu::timestamp();
        let left = deadline.saturating_sub(now);
        if left == 0 {
            return None;
        }
        let microseconds = left.saturating_mul(1000) / self.tsc_khz + 1;
        let microseconds = microseconds.min(lapic::MAX_NANOSECONDS / 1000);
        lapic::arm(microseconds * 1000);
        let ticks = microseconds * self.tsc_khz / 1000;
        Some(now + ticks - ticks / 64)
    }

    /// As [`wait_for`](Self::wait_for), at most until `deadline`; whether it is done.
    pub fn wait_until(&self, deadline: u64, done: impl Fn() -> bool) -> bool {
        let is_done = Cell::new(false);
        self.wait_for(|| {
            is_done.set(done());
            is_done.get() || cpu::timestamp() >= deadline
        });
        is_done.get()
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
