//! What a machine may say when: the state machine of one link, pure.
//!
//! ```text
//!            Born                 Ended(k) for each k once · FirstOutput once · Counted and Pong when asked
//!  Silent ─────────▶ Born ──────────────────────────────▶ Born
//!    │ Failed          │ Halted
//!    ▼                 ▼
//!  Over ◀────────── Over        (anything else, anywhere, is a violation: the machine is killed)
//! ```
//!
//! All that a machine can cause upward is bounded by this: one birth, one end a thread, one first
//! output, one halt, and counts as often as it is asked and once more. What it says is shape-checked
//! here and believed nowhere; the keeper checks it against the kernel.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use agent_protocol::PRIVILEGED_PORTS;
use link::{HaltCause, MAX_VCPUS, Thread, ThreadKind, ToSupervisor, VERSION, VcpuCounts};

/// Sentences from a machine are cut to this many characters.
const MAX_SENTENCE: usize = 256;
/// Threads a machine may announce: its vCPUs, io, control, and KVM's helpers.
const MAX_THREADS: usize = MAX_VCPUS as usize + 2 + 8;

/// Agents' streams of one machine in a second: the machine itself lets fewer of its guest's connections pass,
/// so one that asks for more does not do its work.
const AGENTS_A_SECOND: u32 = 100;

/// Answers to a hold that may wait: the keeper changes its mind about a machine's vCPUs a few times a period
/// of their quota.
const HOLDS_A_SECOND: usize = 256;

/// Counts of a machine that may wait: it has been pinged, and ends.
const COUNTS_WAITING: u32 = 2;

/// Messages that may wait in a link whose supervisor is not behind by a second: one of each kind, and those
/// that there are several of.
pub(super) const MOST_SAID: usize =
    MAX_THREADS + AGENTS_A_SECOND as usize + HOLDS_A_SECOND + 8 + COUNTS_WAITING as usize;

/// What a message means to the keeper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// The threads wait.
    Born(Vec<Thread>),
    /// It could not be built.
    Failed(String),
    /// A thread says that it has ended.
    Ended(ThreadKind),
    /// First byte on the serial port, at this CLOCK_MONOTONIC nanosecond.
    FirstOutput(u64),
    /// The guest has ended.
    Halted(HaltCause),
    /// All vCPUs are out of the guest.
    Paused,
    /// All vCPUs that are not held may enter it.
    Resumed,
    /// All vCPUs of the hold of this number are out of the guest.
    Held(u64),
    /// It answered the ping.
    Alive,
    /// What KVM has counted of its vCPUs, by its word.
    Counted(Vec<VcpuCounts>),
}

/// Where a link stands.
#[derive(Debug, Default)]
pub struct Protocol {
    born: bool,
    over: bool,
    living: BTreeSet<ThreadKind>,
    vcpus: usize,
    /// Counts that may come: for the last ping, and for the end.
    wants_counts: u32,
    first_output: bool,
    asked: Option<u64>,
    wants_paused: u32,
    wants_resumed: u32,
    /// The numbers of the last hold that was sent, and of the last that was answered.
    hold_sent: u64,
    hold_answered: u64,
    /// Agents' streams since then.
    agents: u32,
    agents_since: Option<Instant>,
}

impl Protocol {
    /// The number of the next ping; None while one is unanswered or before the birth.
    pub fn next_ping(&mut self, number: u64) -> Option<u64> {
        if !self.born || self.over || self.asked.is_some() {
            return None;
        }
        self.asked = Some(number);
        self.wants_counts = COUNTS_WAITING.min(self.wants_counts + 1);
        self.asked
    }

    /// Whether a ping is unanswered.
    pub fn awaits_pong(&self) -> bool {
        self.asked.is_some() && !self.over
    }

    /// A pause was sent: one `Paused` may come.
    pub fn expect_paused(&mut self) {
        self.wants_paused += 1;
    }

    /// A resume was sent: one `Resumed` may come.
    pub fn expect_resumed(&mut self) {
        self.wants_resumed += 1;
    }

    /// The hold of this number, from 1 and rising, was sent: one `Held` of it may come.
    pub fn expect_held(&mut self, number: u64) {
        self.hold_sent = number;
    }

    /// Take a message.
    ///
    /// # Errors
    /// A sentence saying which rule the message breaks.
    pub fn take(&mut self, message: ToSupervisor) -> Result<Said, String> {
        if self.over {
            return Err(format!("{message:?} after its end"));
        }
        match message {
            ToSupervisor::Born { version, .. } if version != VERSION => {
                Err(format!("link version {version}, not {VERSION}"))
            }
            ToSupervisor::Born { threads, .. } if !self.born => self.birth(threads),
            ToSupervisor::Failed { why } if !self.born => {
                self.over = true;
                Ok(Said::Failed(cut(&why)))
            }
            _ if !self.born => Err("its first message is neither Born nor Failed".into()),
            ToSupervisor::Ended { kind } if self.living.remove(&kind) => Ok(Said::Ended(kind)),
            ToSupervisor::FirstOutput { monotonic_ns } if !self.first_output => {
                self.first_output = true;
                Ok(Said::FirstOutput(monotonic_ns))
            }
            ToSupervisor::Halted { cause } => {
                self.over = true;
                Ok(Said::Halted(bounded(cause)))
            }
            ToSupervisor::Pong(number) if self.asked == Some(number) => {
                self.asked = None;
                Ok(Said::Alive)
            }
            ToSupervisor::Counted { vcpus }
                if self.wants_counts > 0 && vcpus.len() == self.vcpus =>
            {
                self.wants_counts -= 1;
                Ok(Said::Counted(vcpus))
            }
            ToSupervisor::Paused if self.wants_paused > 0 => {
                self.wants_paused -= 1;
                Ok(Said::Paused)
            }
            ToSupervisor::Resumed if self.wants_resumed > 0 => {
                self.wants_resumed -= 1;
                Ok(Said::Resumed)
            }
            ToSupervisor::Held { number }
                if self.hold_answered < number && number <= self.hold_sent =>
            {
                self.hold_answered = number;
                Ok(Said::Held(number))
            }
            unasked => Err(format!("unexpected {}", cut(&format!("{unasked:?}")))),
        }
    }

    /// Take the word that the guest has connected from this port.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub fn take_agent(&mut self, source_port: u32, now: Instant) -> Result<(), String> {
        if !self.born || self.over {
            return Err("an agent's stream, of a machine without a guest".into());
        }
        if source_port >= PRIVILEGED_PORTS {
            return Err(format!(
                "an agent at port {source_port}, not below {PRIVILEGED_PORTS}"
            ));
        }
        let second = self
            .agents_since
            .filter(|since| now - *since < Duration::from_secs(1));
        if second.is_none() {
            (self.agents_since, self.agents) = (Some(now), 0);
        }
        self.agents += 1;
        if self.agents > AGENTS_A_SECOND {
            return Err(format!(
                "more than {AGENTS_A_SECOND} agents' streams in a second"
            ));
        }
        Ok(())
    }

    fn birth(&mut self, threads: Vec<Thread>) -> Result<Said, String> {
        if threads.len() > MAX_THREADS {
            return Err(format!(
                "{} threads announced, at most {MAX_THREADS}",
                threads.len()
            ));
        }
        self.living = threads.iter().map(|thread| thread.kind).collect();
        let tids: BTreeSet<u32> = threads.iter().map(|thread| thread.tid).collect();
        if self.living.len() != threads.len() || tids.len() != threads.len() {
            return Err("one thread announced twice".into());
        }
        let is_vcpu = |kind: &&ThreadKind| matches!(kind, ThreadKind::Vcpu(_));
        self.vcpus = self.living.iter().filter(is_vcpu).count();
        self.wants_counts = 1;
        self.born = true;
        Ok(Said::Born(threads))
    }
}

fn bounded(cause: HaltCause) -> HaltCause {
    match cause {
        HaltCause::Fault { vcpu, what } => HaltCause::Fault {
            vcpu,
            what: cut(&what),
        },
        other => other,
    }
}

/// At most [`MAX_SENTENCE`] characters, none of which can steer a terminal.
pub(crate) fn cut(sentence: &str) -> String {
    sentence
        .chars()
        .take(MAX_SENTENCE)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
