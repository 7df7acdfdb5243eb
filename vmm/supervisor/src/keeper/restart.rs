//! Machines that are started again when they end, and how long each waits for it.
//!
//! ```text
//!            ended, and its policy says so            waited
//!  Running ─────────────────────────────────▶ Ended ─────────▶ its process is asked for ──▶ Starting
//!                                               ▲ │ told to end, removed              │
//!                                               │ ▼                                   │ refused, or no process
//!                                               │ stays Ended                         │
//!                                               └──── waits twice as long ◀───────────┘
//! ```
//!
//! A machine that fails at once must not take its host's time: each wait is twice the last one, until one has run for
//! a while.

use std::time::{Duration, Instant};

use super::{Keeper, MachineId};
use crate::Restart;

/// The first wait.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// A machine that has run for so long waits as for the first time.
const RAN_WELL: Duration = Duration::from_secs(60);

impl Keeper {
    /// A machine has ended: have it wait for its next start, if there is to be one.
    pub(super) fn wait_with_restart(&mut self, id: MachineId) {
        let Some(machine) = self.machines.get(id) else {
            return;
        };
        let end = machine.verdict.as_deref().unwrap_or_default();
        if !machine.end_ordered && wants_restart(machine.asked.restart, end) {
            self.wait_again(id, machine.ran(), "");
        }
    }

    /// Have an ended machine wait once more, for a reason.
    pub(super) fn wait_again(&mut self, id: MachineId, ran: Duration, why: &str) {
        let Some(machine) = self.machines.get_mut(id) else {
            return;
        };
        let wait = next_wait(machine.waited, ran);
        machine.waited = Some(wait);
        machine.restart_at = Some(Instant::now() + wait);
        let text = format!("is started again in {} s{why}", wait.as_secs());
        self.tell_of(id, "machine_restarting", &text);
    }

    /// Start those that have waited.
    pub(super) fn restart_due(&mut self, now: Instant) {
        let due: Vec<MachineId> = self
            .machines
            .iter()
            .filter(|(_, machine)| machine.restart_at.is_some_and(|at| now >= at))
            .map(|(id, _)| id)
            .collect();
        for id in due {
            let Some(machine) = self.machines.get_mut(id) else {
                continue;
            };
            machine.restart_at = None;
            let (asked, waited) = (machine.asked.clone(), machine.waited);
            if let Err(refusal) = self.ask_for_process(asked, waited) {
                self.wait_again(id, Duration::ZERO, &format!(": {refusal}"));
            }
        }
    }
}

/// Whether a machine that has ended so is started again.
pub(super) fn wants_restart(policy: Restart, end: &str) -> bool {
    match policy {
        Restart::No => false,
        Restart::OnFailure => !matches!(end, "exit 0" | "stopped"),
        Restart::Always => true,
    }
}

/// How long a machine waits, after the last wait and having run for so long.
fn next_wait(last: Option<Duration>, ran: Duration) -> Duration {
    match last {
        Some(last) if ran < RAN_WELL => (last * 2).min(LONGEST_WAIT),
        _ => FIRST_WAIT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_fails_at_once_waits_twice_as_long_each_time_up_to_a_minute() {
        let mut waits = vec![];
        for _ in 0..8 {
            let last = waits.last().copied().map(Duration::from_secs);
            waits.push(next_wait(last, Duration::from_secs(59)).as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn a_machine_that_has_run_for_a_minute_waits_a_second_again() {
        let long = Some(Duration::from_secs(32));
        assert_eq!(next_wait(long, RAN_WELL), FIRST_WAIT);
        assert_eq!(next_wait(None, Duration::ZERO), FIRST_WAIT);
    }

    #[test]
    fn on_failure_means_any_end_but_exit_0_and_stopped() {
        for (end, fails) in [
            ("exit 0", false),
            ("stopped", false),
            ("exit 1", true),
            ("exit 0 without a word", true),
            ("reset", true),
            ("signal 9", true),
        ] {
            assert_eq!(wants_restart(Restart::OnFailure, end), fails, "{end}");
            assert!(wants_restart(Restart::Always, end), "{end}");
            assert!(!wants_restart(Restart::No, end), "{end}");
        }
    }
}
