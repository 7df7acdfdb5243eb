//! What the wire does by the clock: pings, agents' sessions whose time has come, consoles that have rested.

use std::time::{Duration, Instant};

use event_manager::{EventOps, EventSet};

use super::agents::Agents;
use super::line::Line;
use super::{Wire, watch_console};
use crate::keeper::{MachineId, News};

/// How often each machine is asked whether it is there.
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(1);
/// A machine that has not answered for this long is reported as unresponsive.
const PONG_LIMIT: Duration = Duration::from_secs(3);

impl Wire {
    /// Milliseconds until something is due, rounded up; forever without machines.
    pub(super) fn milliseconds_left(&self) -> i32 {
        if self.lines.is_empty() {
            return -1;
        }
        let due = self
            .due()
            .map_or(self.next_ping, |due| due.min(self.next_ping));
        let left = due.saturating_duration_since(Instant::now());
        i32::try_from(left.as_millis())
            .unwrap_or(i32::MAX)
            .saturating_add(1)
    }

    /// When the first agent's session has to be looked at, or the first console be watched again.
    fn due(&self) -> Option<Instant> {
        let agents = self.lines.values().filter_map(|line| line.agents.as_ref());
        let consoles = self.lines.values().filter_map(|line| line.pace.due());
        agents.filter_map(Agents::deadline).chain(consoles).min()
    }

    pub(super) fn on_time(&mut self) {
        let now = Instant::now();
        if self.due().is_some_and(|due| due <= now)
            && let Some(bell) = self.mailbox.doorbell()
        {
            // They are seen to from within an event: this makes one.
            bell.ring();
        }
        if now < self.next_ping {
            return;
        }
        self.next_ping = now + PING_INTERVAL;
        self.pings += 1;
        let (mut news, mut counted) = (Vec::new(), Vec::new());
        for (machine, line) in &mut self.lines {
            counted.extend(line.counted.take().map(|counts| (*machine, counts)));
            match line.ping(self.pings, now, PONG_LIMIT) {
                Ok(false) => {}
                Ok(true) => news.push(News::Unresponsive { machine: *machine }),
                Err(why) => news.push(News::Broken {
                    machine: *machine,
                    why,
                }),
            }
        }
        if !counted.is_empty() {
            self.tell(News::Counted(counted));
        }
        for item in news {
            self.tell(item);
        }
    }

    /// Serve the sessions and consoles that are due: within an event, where they can be watched anew.
    pub(super) fn on_due(&mut self, ops: &mut EventOps<'_>) {
        let now = Instant::now();
        let due = |line: &&Line| {
            let agents = line.agents.as_ref().and_then(Agents::deadline);
            agents.is_some_and(|due| due <= now)
        };
        let due: Vec<MachineId> = self
            .lines
            .iter()
            .filter(|(_, line)| due(line))
            .map(|(machine, _)| *machine)
            .collect();
        for machine in due {
            self.with_agents(machine, ops, Agents::on_time);
        }
        for (machine, line) in &mut self.lines {
            if line.pace.resumes(now) {
                watch_console(*machine, line, EventSet::IN, ops);
            }
        }
    }
}
