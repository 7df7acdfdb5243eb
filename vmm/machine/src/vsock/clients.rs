//! A host's clients from their connection to their line.
//!
//! Each has a place among [`WAITING`] and [`PATIENCE`] to say its line; one that says something else,
//! goes away, or takes longer is closed. When all places are taken the door is shut: who comes then
//! waits in the socket's backlog, and in connect(2) when that is full, until a place is free.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};

use super::LISTENER;
use super::greeting::{Greeting, Heard};
use super::path::Listening;
use crate::io::{EventSet, Token, Watcher};

/// Clients that may be saying their line at once.
const WAITING: usize = 64;

/// A client has this long to say it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Clients let in before others have their turn.
const ADMITTED_A_TURN: usize = 8;

/// When the process is out of descriptors it looks again after this time.
const REST: Duration = Duration::from_millis(100);

/// Whether clients are let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Open,
    /// All places are taken.
    Full,
    /// The kernel refused one; until then.
    Resting(Instant),
}

#[derive(Debug)]
struct Client {
    socket: OwnedFd,
    greeting: Greeting,
    until: Instant,
}

/// A client that has said its line.
#[derive(Debug)]
pub(super) struct Caller {
    /// Its socket, watched under the token.
    pub socket: OwnedFd,
    pub token: Token,
    /// The guest's port that it wants.
    pub port: u32,
}

/// The listening socket and the clients that have not said their line.
#[derive(Debug)]
pub(super) struct Clients {
    listening: Listening,
    door: Door,
    /// In the order of their tokens, which is the order they came in.
    waiting: BTreeMap<Token, Client>,
}

impl Clients {
    /// Nobody is here yet.
    pub fn new(listening: Listening) -> Self {
        Clients {
            listening,
            door: Door::Full,
            waiting: BTreeMap::new(),
        }
    }

    /// Let clients in.
    ///
    /// # Errors
    /// What epoll_ctl(2) returns.
    pub fn open(&mut self, watcher: &Watcher) -> io::Result<()> {
        watcher.add(&self.listening, LISTENER, EventSet::IN)?;
        self.door = Door::Open;
        Ok(())
    }

    /// Somebody stands before the door.
    pub fn on_knock(
        &mut self,
        watcher: &Watcher,
        tokens: &mut impl FnMut() -> Token,
        now: Instant,
    ) {
        for _ in 0..ADMITTED_A_TURN {
            if self.waiting.len() >= WAITING {
                return self.shut(watcher, Door::Full);
            }
            match self.listening.accept() {
                Ok(socket) => {
                    let token = tokens();
                    // One that cannot be watched is closed.
                    if watcher.add(&socket, token, EventSet::IN).is_ok() {
                        let client = Client {
                            socket,
                            greeting: Greeting::new(),
                            until: now + PATIENCE,
                        };
                        self.waiting.insert(token, client);
                    }
                }
                Err(Errno::AGAIN) => return,
                // That one has left again.
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(_) => return self.shut(watcher, Door::Resting(now + REST)),
            }
        }
    }

    /// A client has said something or has gone, if the token is one's. Returns it once it has said its
    /// line.
    pub fn on_client(&mut self, token: Token, watcher: &Watcher) -> Option<Caller> {
        let client = self.waiting.get_mut(&token)?;
        let heard = client.hear();
        if heard == Heard::Part {
            return None;
        }
        let client = self.waiting.remove(&token)?;
        if self.door == Door::Full {
            self.reopen(watcher);
        }
        match heard {
            Heard::Port(port) => Some(Caller {
                socket: client.socket,
                token,
                port,
            }),
            Heard::Part | Heard::Garbage => None,
        }
    }

    /// When [`on_time`](Self::on_time) has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        let first = self.waiting.values().next().map(|client| client.until);
        let rested = match self.door {
            Door::Resting(until) => Some(until),
            Door::Open | Door::Full => None,
        };
        first.into_iter().chain(rested).min()
    }

    /// Close who has waited too long.
    pub fn on_time(&mut self, watcher: &Watcher, now: Instant) {
        let before = self.waiting.len();
        while let Some(first) = self.waiting.first_entry()
            && first.get().until <= now
        {
            first.remove();
        }
        let rested = matches!(self.door, Door::Resting(until) if until <= now);
        if rested || (self.door == Door::Full && self.waiting.len() < before) {
            self.reopen(watcher);
        }
    }

    fn shut(&mut self, watcher: &Watcher, door: Door) {
        // If it cannot be shut it is knocked at in vain.
        let _ = watcher.modify(&self.listening, LISTENER, EventSet::empty());
        self.door = door;
    }

    fn reopen(&mut self, watcher: &Watcher) {
        let _ = watcher.modify(&self.listening, LISTENER, EventSet::IN);
        self.door = Door::Open;
    }
}

impl Client {
    /// Take what is there of the line, and not a byte after it.
    fn hear(&mut self) -> Heard {
        let mut bytes = [0; Greeting::most()];
        let waits = match recv(
            &self.socket,
            &mut bytes,
            RecvFlags::PEEK | RecvFlags::DONTWAIT,
        ) {
            Ok((0, _)) => return Heard::Garbage,
            Ok((count, _)) => count,
            Err(Errno::AGAIN | Errno::INTR) => return Heard::Part,
            Err(_) => return Heard::Garbage,
        };
        let (taken, heard) = self.greeting.take(&bytes[..waits]);
        match recv(&self.socket, &mut bytes[..taken], RecvFlags::DONTWAIT) {
            Ok((count, _)) if count == taken => heard,
            // What was there a moment ago is gone: another reader has this socket.
            _ => Heard::Garbage,
        }
    }
}
