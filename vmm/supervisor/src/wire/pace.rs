//! When a console is read: at once, until that has been often; then a little later each time.
//!
//! A guest's bytes come one an exit, so a guest that prints without end would wake the wire, and then the
//! onlooker, for each of them: 10 µs of the supervisor's time a byte, which others' agents wait for. What comes
//! within a millisecond is read in one go instead. A line now and then is not held up.

use std::time::{Duration, Instant};

/// Readings in a row that are made at once: some lines of text, a byte each.
const EAGER: u32 = 256;
/// How soon they are granted again.
const REFILL: Duration = Duration::from_secs(1);
/// How long a console rests after each reading beyond them.
const REST: Duration = Duration::from_millis(1);

/// The pace of one console.
#[derive(Debug)]
pub struct Pace {
    eager: u32,
    refilled: Instant,
    rests_until: Option<Instant>,
}

impl Pace {
    /// Of a console that has not been read.
    pub fn new(now: Instant) -> Self {
        Pace {
            eager: EAGER,
            refilled: now,
            rests_until: None,
        }
    }

    /// It was read. Whether it is not to be watched until [`due`](Self::due).
    pub fn on_read(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.refilled) >= REFILL {
            (self.eager, self.refilled) = (EAGER, now);
        }
        let eager = self.eager.checked_sub(1);
        self.eager = eager.unwrap_or(0);
        self.rests_until = eager.is_none().then(|| now + REST);
        self.rests_until.is_some()
    }

    /// When it is to be watched again, if it is not.
    pub fn due(&self) -> Option<Instant> {
        self.rests_until
    }

    /// Whether that is now: once.
    pub fn resumes(&mut self, now: Instant) -> bool {
        self.rests_until.take_if(|until| *until <= now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_at_once_and_a_flood_once_a_millisecond() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        let (mut now, mut readings) = (start, 0);
        // A byte every 20 µs, for ten seconds, each read as soon as it may be.
        while now < start + Duration::from_secs(10) {
            if pace.due().is_none() || pace.resumes(now) {
                let rests = pace.on_read(now);
                readings += 1;
                assert!(!rests || readings > EAGER);
            }
            now += Duration::from_micros(20);
        }
        assert!((10_000..13_000).contains(&readings), "{readings}");
    }

    #[test]
    fn a_console_that_prints_seldom_never_rests() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        for _ in 0..10_000 {
            assert!(!pace.on_read(now));
            now += Duration::from_millis(5);
        }
        assert_eq!(pace.due(), None);
    }
}
