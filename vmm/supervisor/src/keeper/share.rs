//! A guest's share of the keeper's time, so that no guest's requests are paid for by the others.
//!
//! What a request costs is known only when it is done: one that pins sixty-four running threads takes a thousand
//! times what a look at a file does. So requests are taken as long as anything is left of the share, and what
//! they took is owed afterwards.

use std::time::{Duration, Instant};

/// A guest may take one part in so many of the keeper's time. A guest that asks one thing after the other,
/// as fast as answers come, stays below it.
pub(super) const ONE_PART_IN: u32 = 20;
/// This much may be saved up.
const SAVED: Duration = Duration::from_millis(100);

/// What an event that a guest makes happen is charged beside its making: it takes a place in the host's log, which
/// others' events leave for it. At 500 a second the log still reaches back two minutes.
pub(super) const EVENT: Duration = Duration::from_micros(100);

/// One guest's share.
#[derive(Debug)]
pub(super) struct Share {
    left: Duration,
    owed: Duration,
    at: Instant,
}

impl Share {
    /// A full one.
    pub fn full(now: Instant) -> Self {
        Share {
            left: SAVED,
            owed: Duration::ZERO,
            at: now,
        }
    }

    /// Whether something is left.
    pub fn is_left(&mut self, now: Instant) -> bool {
        let earned = now.saturating_duration_since(self.at) / ONE_PART_IN;
        self.at = now;
        let paid = earned.min(self.owed);
        self.owed -= paid;
        self.left = (self.left + (earned - paid)).min(SAVED);
        self.owed.is_zero() && !self.left.is_zero()
    }

    /// Take what a request took.
    pub fn take(&mut self, took: Duration) {
        let now = took.min(self.left);
        self.left -= now;
        self.owed += took - now;
    }
}

/// Release agents that a guest's changes set off: a process of the host's each, one so often, ...
const RUN_EACH: Duration = Duration::from_millis(250);
/// ... or so many at once after a time without.
const RUNS_AT_ONCE: u32 = 16;

/// The release agents of one guest's changes.
#[derive(Debug, Default)]
pub(super) struct Runs {
    /// When all runs so far would have been allowed at one each interval.
    even: Option<Instant>,
}

impl Runs {
    /// May one more be run? If so it counts.
    pub fn admit(&mut self, now: Instant) -> bool {
        let even = self.even.map_or(now, |even| even.max(now));
        let admitted = even.duration_since(now) <= RUN_EACH * (RUNS_AT_ONCE - 1);
        if admitted {
            self.even = Some(even + RUN_EACH);
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_has_to_be_earned_again_before_more_is_taken() {
        let start = Instant::now();
        let mut share = Share::full(start);
        assert!(share.is_left(start));
        share.take(SAVED + Duration::from_millis(10));
        assert!(!share.is_left(start));
        let owed = Duration::from_millis(10) * ONE_PART_IN;
        assert!(!share.is_left(start + owed - Duration::from_millis(1)));
        assert!(share.is_left(start + owed + Duration::from_millis(1)));
    }

    #[test]
    fn no_more_is_saved_up_than_a_full_share() {
        let start = Instant::now();
        let mut share = Share::full(start);
        let later = start + Duration::from_secs(3600);
        assert!(share.is_left(later));
        share.take(SAVED);
        assert!(!share.is_left(later));
    }

    #[test]
    fn sixteen_agents_are_run_at_once_and_then_four_a_second() {
        let (mut runs, start) = (Runs::default(), Instant::now());
        let mut tries = |seconds| {
            let now = start + Duration::from_secs(seconds);
            (0..100).filter(|_| runs.admit(now)).count()
        };
        assert_eq!((tries(0), tries(1), tries(60)), (16, 4, 16));
    }

    #[test]
    fn over_any_time_a_guest_takes_no_more_than_its_part() {
        let start = Instant::now();
        let mut share = Share::full(start);
        let mut taken = Duration::ZERO;
        let request = Duration::from_micros(700);
        for step in 0..20_000 {
            if share.is_left(start + request * step) {
                share.take(request);
                taken += request;
            }
        }
        let most = request * 20_000 / ONE_PART_IN + SAVED + request;
        assert!(taken <= most, "{taken:?} of {most:?}");
    }
}
