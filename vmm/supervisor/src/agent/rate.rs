//! How many messages a session may send: a token bucket filled in ticks.

use std::time::{Duration, Instant};

/// Messages in a row: a tool that walks a tree of some hundred groups is not held up.
const BURST: u32 = 256;
/// Filled in ticks rather than continuously, so that a session at its limit wakes the wire 64 times a second
/// and not 4,096 times.
const TICK: Duration = Duration::from_nanos(1_000_000_000 / 64);
/// Tokens a tick: 4,096 messages a second. At about 10 µs of the keeper each, the four sessions of a guest
/// cannot take more than a sixth of its time.
const A_TICK: u32 = 64;

/// The bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    tokens: u32,
    /// Up to when ticks have been counted.
    filled: Instant,
}

impl Bucket {
    /// A full one.
    pub(super) fn full(now: Instant) -> Self {
        Bucket {
            tokens: BURST,
            filled: now,
        }
    }

    /// Fill it for the ticks that have passed.
    pub(super) fn fill(&mut self, now: Instant) {
        let ticks = now.saturating_duration_since(self.filled).as_nanos() / TICK.as_nanos();
        let missing = BURST - self.tokens;
        match u32::try_from(ticks) {
            Ok(ticks) if ticks < missing.div_ceil(A_TICK) => {
                self.tokens += ticks * A_TICK;
                self.filled += TICK * ticks;
            }
            // Full again, and what ran over is not saved up.
            _ => *self = Bucket::full(now),
        }
    }

    /// Take a token, if there is one.
    pub(super) fn take(&mut self) -> bool {
        let taken = self.tokens.checked_sub(1);
        self.tokens = taken.unwrap_or(0);
        taken.is_some()
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.tokens == 0
    }

    /// When there will be some again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.is_empty().then(|| self.filled + TICK)
    }
}
