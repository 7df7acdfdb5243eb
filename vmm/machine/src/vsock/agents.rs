//! How often a guest may call the supervisor, and how many such calls may stand. Pure.

use std::time::{Duration, Instant};

/// Guest ports from here up can be taken by any program of a guest; the agent has one below.
const UNPRIVILEGED: u32 = 1024;

/// Sessions that may be open.
pub(crate) const SESSIONS: usize = 4;

/// A session each so often, ...
const INTERVAL: Duration = Duration::from_nanos(1_000_000_000 / 16);

/// ... or so many at once after a time without.
const BURST: u32 = 32;

/// The sessions of one guest.
#[derive(Debug)]
pub(super) struct Agents {
    open: usize,
    /// When all sessions so far would have been allowed at one each interval.
    even: Option<Instant>,
}

impl Agents {
    /// None open, none so far.
    pub fn new() -> Self {
        Agents {
            open: 0,
            even: None,
        }
    }

    /// May a session from this guest port be opened now? If so it counts as open.
    pub fn admit(&mut self, source_port: u32, now: Instant) -> bool {
        let even = self.even.map_or(now, |even| even.max(now));
        let ahead = even.duration_since(now);
        if source_port >= UNPRIVILEGED || self.open >= SESSIONS || ahead > INTERVAL * (BURST - 1) {
            return false;
        }
        self.even = Some(even + INTERVAL);
        self.open += 1;
        true
    }

    /// A session is over.
    pub fn release(&mut self) {
        self.open = self.open.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_privileged_port_of_the_guest_is_heard() {
        let mut agents = Agents::new();
        assert!(!agents.admit(1024, Instant::now()));
        assert!(!agents.admit(u32::MAX, Instant::now()));
        assert!(agents.admit(1023, Instant::now()));
    }

    #[test]
    fn four_are_open_and_a_fifth_waits_for_an_end() {
        let (mut agents, now) = (Agents::new(), Instant::now());
        let admitted = (0..10).filter(|_| agents.admit(1, now)).count();
        assert_eq!(admitted, SESSIONS);
        agents.release();
        assert!(agents.admit(1, now));
        assert!(!agents.admit(1, now));
    }

    #[test]
    fn thirty_two_at_once_and_then_sixteen_a_second() {
        let (mut agents, start) = (Agents::new(), Instant::now());
        let mut tries = |at: Duration, count: usize| {
            let admit = |agents: &mut Agents| {
                let admitted = agents.admit(1, start + at);
                if admitted {
                    agents.release();
                }
                admitted
            };
            (0..count).filter(|_| admit(&mut agents)).count()
        };
        assert_eq!(tries(Duration::ZERO, 100), 32);
        assert_eq!(tries(Duration::from_secs(1), 100), 16);
        assert_eq!(tries(Duration::from_millis(1063), 100), 1);
        assert_eq!(tries(Duration::from_secs(60), 100), 32);
    }
}
