//! One machine as the wire sees it: link, pidfd, console.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use container_core::MachineName;
use link::{Link, LinkError, ToMachine, ToSupervisor};

use super::agents::Agents;
use super::pace::Pace;
use super::protocol::{MOST_SAID, Protocol, Said};

/// Messages taken from one link before the others have their turn.
const MESSAGES_A_TURN: usize = 32;
/// Turns that a dead machine's link is listened to for: more than all it may have said and not been heard.
pub const LINK_DRAIN: usize = 16;
const _: () = assert!(LINK_DRAIN * MESSAGES_A_TURN > MOST_SAID);
/// Bytes taken from one console before the others have their turn.
const CONSOLE_A_TURN: usize = 4096;
/// Turns that a dead machine's console is read for: its pipe holds 64 KiB.
pub const CONSOLE_DRAIN: usize = 64 * 1024 / CONSOLE_A_TURN;

/// What came over a link.
#[derive(Debug)]
pub enum Heard {
    /// Something with a meaning.
    Said(Said),
    /// The guest has connected to its agent's port: an offer of a stream.
    Agent(OwnedFd),
    /// Something that breaks the protocol; the link is not listened to any more.
    Violation(String),
    /// Its end. The process may live on.
    Closed,
}

/// One machine's descriptors and where its protocol stands.
pub struct Line {
    name: MachineName,
    link: Link<ToMachine, ToSupervisor>,
    pidfd: OwnedFd,
    console: OwnedFd,
    protocol: Protocol,
    /// The sessions of its guest's agent; None where it is to have none.
    pub agents: Option<Agents>,
    /// When its console is read.
    pub pace: Pace,
    listening: bool,
    pinged: Option<Instant>,
    unresponsive: bool,
}

impl Line {
    /// A machine that has said nothing yet.
    pub fn new(
        name: MachineName,
        link: Link<ToMachine, ToSupervisor>,
        pidfd: OwnedFd,
        console: OwnedFd,
        agent: bool,
    ) -> Self {
        Line {
            name,
            link,
            pidfd,
            console,
            protocol: Protocol::default(),
            agents: agent.then(Agents::new),
            pace: Pace::new(Instant::now()),
            listening: true,
            pinged: None,
            unresponsive: false,
        }
    }

    /// The machine's name.
    pub fn name(&self) -> &MachineName {
        &self.name
    }

    /// For epoll.
    pub fn link_fd(&self) -> RawFd {
        self.link.as_raw_fd()
    }

    /// For epoll.
    pub fn pidfd(&self) -> RawFd {
        self.pidfd.as_raw_fd()
    }

    /// For epoll.
    pub fn console_fd(&self) -> RawFd {
        self.console.as_raw_fd()
    }

    /// Send without waiting.
    ///
    /// # Errors
    /// A sentence; the machine is not to be relied on any more.
    pub fn say(&mut self, message: &ToMachine) -> Result<(), String> {
        match message {
            ToMachine::Pause => self.protocol.expect_paused(),
            ToMachine::Resume => self.protocol.expect_resumed(),
            ToMachine::Hold { number, .. } => self.protocol.expect_held(*number),
            _ => {}
        }
        match self.link.send(message) {
            // A closed link is heard of by listening to it, and a death by the pidfd.
            Ok(()) | Err(LinkError::Closed) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Take a turn's worth of messages; false when there is nothing more to listen to.
    pub fn listen(&mut self) -> (Vec<Heard>, bool) {
        let mut heard = Vec::new();
        for _ in 0..MESSAGES_A_TURN {
            if !self.listening {
                break;
            }
            let next = match self.link.recv_with_descriptor() {
                Ok(None) => break,
                Ok(Some((message, descriptor))) => match self.take(message, descriptor) {
                    Ok(None) => continue,
                    Ok(Some(Heard::Said(Said::Alive))) => {
                        self.pinged = None;
                        if !std::mem::take(&mut self.unresponsive) {
                            continue;
                        }
                        Heard::Said(Said::Alive)
                    }
                    Ok(Some(heard)) => heard,
                    Err(why) => Heard::Violation(why),
                },
                Err(LinkError::Closed) => Heard::Closed,
                Err(error) => Heard::Violation(error.to_string()),
            };
            self.listening = matches!(next, Heard::Said(_) | Heard::Agent(_));
            heard.push(next);
        }
        (heard, self.listening)
    }

    /// A message and the descriptor that came along: an offer has one, nothing else has. An offer without
    /// it is refused, like others that there is no room for: its descriptor found none in this process.
    fn take(
        &mut self,
        message: ToSupervisor,
        descriptor: Option<OwnedFd>,
    ) -> Result<Option<Heard>, String> {
        match (message, descriptor) {
            (ToSupervisor::Agent { source_port }, offer) => {
                if self.agents.is_none() {
                    return Err("an agent's stream, of a machine without an agent".into());
                }
                self.protocol.take_agent(source_port, Instant::now())?;
                Ok(offer.map(Heard::Agent))
            }
            (_, Some(_)) => Err("an uninvited descriptor".into()),
            (message, None) => self
                .protocol
                .take(message)
                .map(|said| Some(Heard::Said(said))),
        }
    }

    /// Ping, or see that the last ping is overdue: true once for each silence.
    ///
    /// # Errors
    /// As [`Line::say`].
    pub fn ping(&mut self, number: u64, now: Instant, limit: Duration) -> Result<bool, String> {
        if let Some(number) = self.protocol.next_ping(number) {
            self.pinged = Some(now);
            self.say(&ToMachine::Ping(number))?;
            return Ok(false);
        }
        let overdue = self.protocol.awaits_pong()
            && self
                .pinged
                .is_some_and(|pinged| now.duration_since(pinged) >= limit);
        let news = overdue && !self.unresponsive;
        self.unresponsive |= overdue;
        Ok(news)
    }

    /// A turn's worth of console; false at its end.
    pub fn read_console(&self) -> (Vec<u8>, bool) {
        let mut bytes = vec![0; CONSOLE_A_TURN];
        match rustix::io::read(&self.console, &mut bytes) {
            Ok(0) => (Vec::new(), false),
            Ok(count) => {
                bytes.truncate(count);
                (bytes, true)
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => (Vec::new(), true),
            Err(_) => (Vec::new(), false),
        }
    }
}
