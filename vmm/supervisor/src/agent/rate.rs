//! How much a session may ask for: a token bucket filled in ticks.
//!
//! A token stands for about 10 µs of the wire and the keeper. What a message takes is known once it has
//! been read, so the bucket may be overdrawn, by one message at most and the past events it asks for.

use std::time::{Duration, Instant};

use agent_protocol::{Call, FromAgent};

/// Tokens at once: a tool that asks some hundred times in a row is not held up.
const BURST: i32 = 256;
/// Filled in ticks rather than continuously, so that a session at its limit wakes the wire 64 times a second
/// and not 4,096 times.
const TICK: Duration = Duration::from_nanos(1_000_000_000 / 64);
/// Tokens a tick: 4,096 a second, so that a session can take a twenty-fifth of a CPU.
const A_TICK: i32 = 64;
/// For a page of groups or of events.
const A_PAGE: i32 = 32;
/// Bytes for a token: they have to be copied and looked through.
const BYTES: usize = 1024;

/// Bytes that complete no message: they have woken the wire.
pub(super) const PART: i32 = 1;
/// Past events for a token.
const EVENTS: u64 = 8;

/// What so many past events take that a subscription asks for. The log keeps some thousands.
pub(super) fn of_past(events: u64) -> i32 {
    i32::try_from(events / EVENTS).unwrap_or(2 * BURST)
}

/// What a message takes that came in a frame of this many bytes.
pub(super) fn cost(message: &FromAgent, bytes: usize) -> i32 {
    let work = match message {
        FromAgent::Request { call, .. } => match call {
            Call::Tree { .. } | Call::Subscribe { .. } => A_PAGE,
            // The list has been read, and a list that was read is short.
            Call::Change(changes) => changes.len() as i32,
            Call::Ping | Call::Roots | Call::Get { .. } | Call::Unsubscribe => 0,
        },
        FromAgent::Hello(_) | FromAgent::Answer { .. } => 0,
    };
    // A frame is short, too.
    1 + work + (bytes / BYTES) as i32
}

/// The bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    /// Below 0 when overdrawn.
    tokens: i32,
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
        let passed = now.saturating_duration_since(self.filled);
        let ticks = passed.as_nanos() / TICK.as_nanos();
        match u16::try_from(ticks) {
            Ok(ticks) if self.tokens + i32::from(ticks) * A_TICK < BURST => {
                self.tokens += i32::from(ticks) * A_TICK;
                self.filled += TICK * u32::from(ticks);
            }
            // Full again, and what ran over is not saved up.
            _ => *self = Bucket::full(now),
        }
    }

    /// Take what a message costs.
    pub(super) fn take(&mut self, cost: i32) {
        self.tokens = self.tokens.saturating_sub(cost);
    }

    /// Whether no message may be read.
    pub(super) fn is_empty(&self) -> bool {
        self.tokens <= 0
    }

    /// When one may be again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let ticks = (-self.tokens / A_TICK + 1).unsigned_abs();
        self.is_empty().then(|| self.filled + TICK * ticks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_over_a_long_time_is_the_rate_and_a_burst() {
        let start = Instant::now();
        let mut bucket = Bucket::full(start);
        let (mut now, mut taken) = (start, 0);
        while now < start + Duration::from_secs(10) {
            bucket.fill(now);
            while !bucket.is_empty() {
                bucket.take(97);
                taken += 97;
            }
            now = bucket.deadline().expect("an empty one is filled");
        }
        let rate = 4_096 * 10 + BURST;
        assert!((rate - 200..=rate + 97).contains(&taken), "{taken}");
    }

    #[test]
    fn a_bucket_left_alone_is_full_and_no_fuller() {
        let start = Instant::now();
        let mut bucket = Bucket::full(start);
        bucket.take(300);
        assert_eq!(bucket.deadline(), Some(start + TICK));
        bucket.fill(start + TICK - Duration::from_nanos(1));
        assert!(bucket.is_empty());
        for wait in [1, 1_000_000] {
            bucket.fill(start + Duration::from_secs(wait));
            assert_eq!((bucket.tokens, bucket.deadline()), (BURST, None));
        }
    }

    #[test]
    fn a_message_costs_what_it_makes_others_do() {
        let request = |call| FromAgent::Request { id: 0, call };
        let change = |count| {
            let mkdir = agent_protocol::Change::Mkdir {
                group: String::new(),
            };
            Call::Change(vec![mkdir; count])
        };
        assert_eq!(cost(&request(Call::Ping), 7), 1);
        assert_eq!(cost(&request(change(32)), 1_500), 34);
        assert_eq!(cost(&request(Call::Subscribe { since: None }), 8), 33);
        let longest = agent_protocol::FrameReader::MAX_HELD;
        assert_eq!(cost(&request(change(0)), longest), 65);
    }
}
