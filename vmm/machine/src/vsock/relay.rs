//! The host's ends of a guest's connections.
//!
//! | who connects | to | becomes |
//! |---|---|---|
//! | the guest | port 1024, if the machine has an agent | an offer to the supervisor |
//! | the guest | any other port P | a connection to the unix socket `PATH_P` |
//! | a host's client, at `PATH` | the port in its line | a question to the guest |
//!
//! Nothing here waits. What the relay needs from the device it returns as an [`Outcome`]; what the device
//! needs from it are its [`Streams`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use actor::Address;
use devices::vsock::{ConnectionId, Interest, Read, Refused, Streams, Written};
use link::{AgentOffer, VsockConfig};

use super::agents::Agents;
use super::clients::{Caller, Clients};
use super::path::{self, Listening};
use super::stream::{Sign, Stream};
use super::{FIRST_SOCKET, LISTENER};
use crate::MachineError;
use crate::control::Report;
use crate::io::{EventSet, Happened, Token, Watcher};

/// The guest's agent connects to this port of CID 2.
const AGENT_PORT: u32 = 1024;

/// Host's clients are given ports from here up to twice as many, in turn.
const FIRST_PORT: u32 = 1 << 30;

/// Connections that may stand, each with one descriptor.
const MOST_STREAMS: usize = 512;

/// What the relay needs from the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing.
    None,
    /// To look at a stream.
    Ready {
        id: ConnectionId,
        readable: bool,
        writable: bool,
    },
    /// To ask the guest; [`Streams::close`] if it cannot.
    Ask(ConnectionId),
    /// To forget a question: the client has left, its stream is closed.
    Abandon(ConnectionId),
}

/// The relay of one device.
#[derive(Debug)]
pub(super) struct Relay {
    watcher: Watcher,
    /// Before `_PORT`, of the sockets that guests' connections go to.
    path: Option<String>,
    clients: Option<Clients>,
    agents: Option<Agents>,
    reports: Address<Report>,
    streams: BTreeMap<ConnectionId, Stream>,
    names: BTreeMap<Token, ConnectionId>,
    /// Offers whose connection was closed before the supervisor had answered. Their sessions count
    /// until it has: so no more reports are on their way than sessions may be open.
    forsaken: BTreeMap<Token, AgentOffer>,
    /// Broken streams that the device has not been told of.
    missed: BTreeSet<ConnectionId>,
    next_token: u64,
    next_port: u32,
    now: Instant,
}

impl Relay {
    /// A relay over `watcher`; with a path it listens there at once, and takes clients once it is
    /// [opened](Self::open). Offers go to `reports`.
    ///
    /// # Errors
    /// [`MachineError::VsockPath`] and [`MachineError::VsockSocket`].
    pub fn new(
        config: &VsockConfig,
        watcher: Watcher,
        reports: Address<Report>,
    ) -> Result<Self, MachineError> {
        let listening = config.path.as_deref().map(Listening::bind).transpose()?;
        Ok(Relay {
            watcher,
            path: config.path.clone(),
            clients: listening.map(Clients::new),
            agents: config.agent.then(Agents::new),
            reports,
            streams: BTreeMap::new(),
            names: BTreeMap::new(),
            forsaken: BTreeMap::new(),
            missed: BTreeSet::new(),
            next_token: FIRST_SOCKET,
            next_port: FIRST_PORT,
            now: Instant::now(),
        })
    }

    /// Let clients in.
    ///
    /// # Errors
    /// What epoll_ctl(2) returns.
    pub fn open(&mut self) -> std::io::Result<()> {
        match &mut self.clients {
            Some(clients) => clients.open(&self.watcher),
            None => Ok(()),
        }
    }

    /// It is now so late: for whatever the device calls next.
    pub fn set_time(&mut self, now: Instant) {
        self.now = now;
    }

    /// Something happened at a descriptor of the relay's.
    pub fn on_event(&mut self, Happened { token, flags }: Happened) -> Outcome {
        if let Some(id) = self.names.get(&token).copied() {
            return self.on_stream(id, flags);
        }
        if self.forsaken.remove(&token).is_some() {
            self.release_agent();
            return Outcome::None;
        }
        let Some(clients) = &mut self.clients else {
            return Outcome::None;
        };
        if token == LISTENER {
            let next = &mut self.next_token;
            let mut tokens = || {
                *next += 1;
                Token(*next)
            };
            clients.on_knock(&self.watcher, &mut tokens, self.now);
            return Outcome::None;
        }
        match clients.on_client(token, &self.watcher) {
            Some(caller) => self.on_caller(caller),
            None => Outcome::None,
        }
    }

    /// When [`on_time`](Self::on_time) has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.clients.as_ref().and_then(Clients::deadline)
    }

    /// Time has passed: close the clients that have waited too long.
    pub fn on_time(&mut self) {
        if let Some(clients) = &mut self.clients {
            clients.on_time(&self.watcher, self.now);
        }
    }

    /// Streams that broke without an event: the device is to be told.
    pub fn take_missed(&mut self) -> BTreeSet<ConnectionId> {
        std::mem::take(&mut self.missed)
    }

    fn on_stream(&mut self, id: ConnectionId, flags: EventSet) -> Outcome {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Outcome::None;
        };
        match stream.on_event(&self.watcher, flags) {
            Sign::None => Outcome::None,
            Sign::Ready { readable, writable } => Outcome::Ready {
                id,
                readable,
                writable,
            },
            Sign::Left => {
                self.close(id);
                Outcome::Abandon(id)
            }
        }
    }

    /// A client has said which port it wants.
    fn on_caller(&mut self, caller: Caller) -> Outcome {
        if self.streams.len() >= MOST_STREAMS {
            return Outcome::None;
        }
        let id = loop {
            let host_port = self.next_port;
            self.next_port = FIRST_PORT | (host_port.wrapping_add(1) & (FIRST_PORT - 1));
            let id = ConnectionId {
                guest_port: caller.port,
                host_port,
            };
            // Streams are fewer than ports.
            if !self.streams.contains_key(&id) {
                break id;
            }
        };
        let stream = Stream::asked(caller.socket, caller.token);
        self.insert(id, stream);
        Outcome::Ask(id)
    }

    fn insert(&mut self, id: ConnectionId, mut stream: Stream) {
        stream.watch(&self.watcher, Interest::default());
        self.names.insert(stream.token(), id);
        self.streams.insert(id, stream);
    }

    fn token(&mut self) -> Token {
        self.next_token += 1;
        Token(self.next_token)
    }

    /// Offer the supervisor a stream with the guest's agent.
    fn offer(&mut self, source_port: u32) -> Result<Stream, Refused> {
        let admitted = self
            .agents
            .as_mut()
            .is_some_and(|agents| agents.admit(source_port, self.now));
        if !admitted {
            return Err(Refused);
        }
        let made = AgentOffer::new().ok().and_then(|(offer, descriptor)| {
            let report = Report::Agent {
                source_port,
                descriptor,
            };
            self.reports.try_send(report).ok().map(|()| offer)
        });
        match made {
            Some(offer) => Ok(Stream::offered(offer, self.token())),
            None => {
                self.release_agent();
                Err(Refused)
            }
        }
    }

    fn release_agent(&mut self) {
        if let Some(agents) = &mut self.agents {
            agents.release();
        }
    }
}

impl Streams for Relay {
    fn connect(&mut self, id: ConnectionId) -> Result<(), Refused> {
        if self.streams.contains_key(&id) || self.streams.len() >= MOST_STREAMS {
            return Err(Refused);
        }
        let stream = if id.host_port == AGENT_PORT {
            self.offer(id.guest_port)?
        } else {
            let path = self.path.as_ref().ok_or(Refused)?;
            let socket = path::connect_beside(path, id.host_port).map_err(|_| Refused)?;
            Stream::open(socket, self.token())
        };
        self.insert(id, stream);
        Ok(())
    }

    fn established(&mut self, id: ConnectionId) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.establish(&self.watcher, id.host_port);
        }
    }

    fn write(&mut self, id: ConnectionId, bytes: &[u8]) -> Written {
        match self.streams.get(&id) {
            Some(stream) => stream.write(bytes),
            None => Written::Gone,
        }
    }

    fn read(&mut self, id: ConnectionId, buffer: &mut [u8]) -> Read {
        match self.streams.get(&id) {
            Some(stream) => stream.read(buffer),
            None => Read::Gone,
        }
    }

    fn watch(&mut self, id: ConnectionId, interest: Interest) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.watch(&self.watcher, interest);
            if stream.is_missed() {
                self.missed.insert(id);
            }
        }
    }

    fn end_writing(&mut self, id: ConnectionId) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.end_writing();
        }
    }

    fn close(&mut self, id: ConnectionId) {
        let Some(stream) = self.streams.remove(&id) else {
            return;
        };
        let token = stream.token();
        self.names.remove(&token);
        self.missed.remove(&id);
        match stream.into_offer() {
            Some(offer) => {
                self.forsaken.insert(token, offer);
            }
            // Host's clients have other ports, so this was an agent's.
            None if id.host_port == AGENT_PORT => self.release_agent(),
            None => {}
        }
    }
}
