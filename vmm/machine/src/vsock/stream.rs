//! One connection's host side: a socket, and what epoll is told to watch of it.
//!
//! ```text
//!   host's client ──▶ Asked ── the guest accepts ──▶ Open ◀── connected ── guest's connection
//!                                                     ▲ └──────────┐
//!   agent ──────────▶ Offered ── the supervisor takes it ┘          ▼
//!                        └──────── it refuses ──────────────────▶ Broken
//! ```

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use devices::vsock::{Interest, Read, Written};
use link::AgentOffer;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown};

use crate::io::{EventSet, Token, Watcher};

/// What carries a connection's bytes.
#[derive(Debug)]
enum Carrier {
    /// A host's client that waits for the guest; watched for its leaving.
    Asked(OwnedFd),
    /// The supervisor has not answered yet; watched for its answer.
    Offered(AgentOffer),
    /// Both sides are there; watched as the device wants it.
    Open(OwnedFd),
    /// Nothing any more.
    Broken,
}

/// A connection's stream.
#[derive(Debug)]
pub(super) struct Stream {
    token: Token,
    carrier: Carrier,
    interest: Interest,
    /// What epoll watches the carrier for; None when it is not in the set, which would tell a hang-up
    /// unasked.
    watched: Option<EventSet>,
    /// The guest will send no more.
    ended: bool,
}

/// What an event at a stream means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// Nothing for the device.
    None,
    /// As the device wanted to be told.
    Ready { readable: bool, writable: bool },
    /// The client left before the guest had answered.
    Left,
}

const GONE: Sign = Sign::Ready {
    readable: true,
    writable: true,
};

impl Stream {
    /// Of a host's client, watched under `token` already.
    pub fn asked(socket: OwnedFd, token: Token) -> Self {
        Stream::new(Carrier::Asked(socket), token, Some(EventSet::IN))
    }

    /// Of an offer to the supervisor.
    pub fn offered(offer: AgentOffer, token: Token) -> Self {
        Stream::new(Carrier::Offered(offer), token, None)
    }

    /// Of a connected socket.
    pub fn open(socket: OwnedFd, token: Token) -> Self {
        Stream::new(Carrier::Open(socket), token, None)
    }

    fn new(carrier: Carrier, token: Token, watched: Option<EventSet>) -> Self {
        Stream {
            token,
            carrier,
            interest: Interest::default(),
            watched,
            ended: false,
        }
    }

    /// The name its events have.
    pub fn token(&self) -> Token {
        self.token
    }

    /// An answer of the supervisor's that is still to come.
    pub fn into_offer(self) -> Option<AgentOffer> {
        match self.carrier {
            Carrier::Offered(offer) => Some(offer),
            _ => None,
        }
    }

    /// Is it broken while the device wants to be told?
    pub fn is_missed(&self) -> bool {
        matches!(self.carrier, Carrier::Broken) && self.interest != Interest::default()
    }

    /// Watch it for `interest` from now on.
    pub fn watch(&mut self, watcher: &Watcher, interest: Interest) {
        self.interest = interest;
        self.settle(watcher);
    }

    /// Something happened at it.
    pub fn on_event(&mut self, watcher: &Watcher, flags: EventSet) -> Sign {
        let hung_up = flags.intersects(EventSet::HANG_UP | EventSet::ERROR);
        match &self.carrier {
            Carrier::Asked(_) if hung_up => Sign::Left,
            Carrier::Asked(_) => Sign::None,
            Carrier::Offered(offer) => match offer.take() {
                Ok(None) => Sign::None,
                Ok(Some(socket)) => {
                    self.become_open(watcher, socket);
                    Sign::None
                }
                Err(_) => self.break_off(),
            },
            Carrier::Open(_) if hung_up => GONE,
            Carrier::Open(_) => Sign::Ready {
                readable: flags.contains(EventSet::IN) && self.interest.readable,
                writable: flags.contains(EventSet::OUT) && self.interest.writable,
            },
            Carrier::Broken => Sign::None,
        }
    }

    /// The guest has accepted: tell the client, by the host's port that it was given.
    pub fn establish(&mut self, watcher: &Watcher, host_port: u32) {
        self.carrier = match std::mem::replace(&mut self.carrier, Carrier::Broken) {
            Carrier::Asked(socket) => {
                let line = format!("OK {host_port}\n");
                // The socket's buffer is empty, so the line fits; a client that is gone is found so by
                // the next reading.
                let _ = transmit(&socket, line.as_bytes());
                Carrier::Open(socket)
            }
            other => other,
        };
        self.settle(watcher);
    }

    /// Write what fits now.
    pub fn write(&self, bytes: &[u8]) -> Written {
        match &self.carrier {
            Carrier::Open(socket) => transmit(socket, bytes),
            Carrier::Offered(_) | Carrier::Asked(_) => Written::Took(0),
            Carrier::Broken => Written::Gone,
        }
    }

    /// Read what is there now.
    pub fn read(&self, buffer: &mut [u8]) -> Read {
        match &self.carrier {
            Carrier::Open(socket) => receive(socket, buffer),
            Carrier::Offered(_) | Carrier::Asked(_) => Read::Nothing,
            Carrier::Broken => Read::Gone,
        }
    }

    /// The guest will send no more.
    pub fn end_writing(&mut self) {
        self.ended = true;
        if let Carrier::Open(socket) = &self.carrier {
            // One that is gone is found so by the next reading.
            let _ = shutdown(socket, Shutdown::Write);
        }
    }

    fn become_open(&mut self, watcher: &Watcher, socket: OwnedFd) {
        // The offer's socket leaves the set with its end.
        self.watched = None;
        self.carrier = Carrier::Open(socket);
        if self.ended {
            self.end_writing();
        }
        self.settle(watcher);
    }

    fn break_off(&mut self) -> Sign {
        self.carrier = Carrier::Broken;
        self.watched = None;
        if self.is_missed() { GONE } else { Sign::None }
    }

    /// Have epoll watch what is wanted. A stream that cannot be watched is broken.
    fn settle(&mut self, watcher: &Watcher) {
        let wanted = self.wanted();
        if wanted == self.watched {
            return;
        }
        let done = match &self.carrier {
            Carrier::Asked(socket) | Carrier::Open(socket) => self.tell(watcher, socket, wanted),
            Carrier::Offered(offer) => self.tell(watcher, offer, wanted),
            Carrier::Broken => Ok(()),
        };
        match done {
            Ok(()) => self.watched = wanted,
            Err(_) => {
                self.break_off();
            }
        }
    }

    fn wanted(&self) -> Option<EventSet> {
        match self.carrier {
            Carrier::Asked(_) => Some(EventSet::empty()),
            Carrier::Offered(_) => Some(EventSet::IN),
            Carrier::Open(_) if self.interest == Interest::default() => None,
            Carrier::Open(_) => {
                let mut flags = EventSet::empty();
                flags.set(EventSet::IN, self.interest.readable);
                flags.set(EventSet::OUT, self.interest.writable);
                Some(flags)
            }
            Carrier::Broken => None,
        }
    }

    fn tell(
        &self,
        watcher: &Watcher,
        fd: &impl AsRawFd,
        wanted: Option<EventSet>,
    ) -> io::Result<()> {
        match (self.watched, wanted) {
            (None, Some(flags)) => watcher.add(fd, self.token, flags),
            (Some(_), Some(flags)) => watcher.modify(fd, self.token, flags),
            (_, None) => watcher.remove(fd),
        }
    }
}

fn transmit(socket: &OwnedFd, bytes: &[u8]) -> Written {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    match rustix::io::retry_on_intr(|| send(socket, bytes, flags)) {
        Ok(count) => Written::Took(count),
        Err(Errno::AGAIN) => Written::Took(0),
        Err(_) => Written::Gone,
    }
}

fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> Read {
    if buffer.is_empty() {
        // Zero bytes would look like the end.
        return Read::Nothing;
    }
    match rustix::io::retry_on_intr(|| recv(socket, &mut *buffer, RecvFlags::DONTWAIT)) {
        Ok((0, _)) if hung_up(socket) => Read::Gone,
        Ok((0, _)) => Read::End,
        Ok((count, _)) => Read::Bytes(count),
        Err(Errno::AGAIN) => Read::Nothing,
        Err(_) => Read::Gone,
    }
}

/// Is it closed in both directions? Asked only at its end, and not of epoll, which may have told nothing
/// yet.
fn hung_up(socket: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(socket, PollFlags::empty())];
    let now = Timespec::default();
    poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().contains(PollFlags::HUP)
}
