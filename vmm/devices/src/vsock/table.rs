//! All connections of a device, and the packets that wait for the guest to take them.
//!
//! The protocol in itself: packets and streams, no rings. Belongs to the device. What the guest's
//! packets do is in `receive`, what goes to the guest in `send`; here is what keeps it bounded.
//!
//! *Resets.* Whatever waits for a live connection is a flag of that connection. An RST outlives its
//! connection, or never had one, so it stands in a queue. Packets are taken from the guest, and
//! connections made for the host, only while it is shorter than [`RESETS_WAITING`]; a packet causes
//! at most one RST, and otherwise RSTs only come of connections that end. So connections and resets
//! together are at most [`CONNECTIONS`] + [`RESETS_WAITING`].
//!
//! *No deadlock comes of that* (VIRTIO 1.2, 5.10.6.1). The device stops taking only while resets
//! wait, and they wait only while the guest offers no buffer. Resets are given first, and an RST is
//! answered by nobody. So a guest that receives as long as it has memory to hold replies, as the
//! specification has it, makes room here with each buffer it offers, whether or not its own packets
//! pass.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::Counters;
use super::connection::{Connection, Owed, State};
use super::packet::Header;
use super::spec::{HOST_CID, TYPE_STREAM, op, shutdown};
use super::streams::{ConnectionId, Interest, Refused, Streams};

/// Most connections at once; one more is refused. A thousand is far beyond what guests were seen to
/// use, and bounds the host's descriptors.
pub(super) const CONNECTIONS: usize = 1024;
/// With so many resets waiting, no packet is taken: one queue's worth.
pub(super) const RESETS_WAITING: usize = 256;

/// Room for the guest's bytes, as Linux gives a socket: at a millisecond's round trip it carries
/// 256 MB/s.
const ROOM: u32 = 256 * 1024;
/// Room of a connection made while [`ROOMS`] others have that.
const SMALL_ROOM: u32 = 4 * 1024;
/// So many connections have the larger room: with the small rooms of all others at most 20 MiB a
/// device, however many of its streams stand still.
const ROOMS: usize = 64;

/// How long a guest may take to answer a request: as long as Linux waits in connect().
const REQUEST_PATIENCE: Duration = Duration::from_secs(2);
/// How long an ended connection waits for its other side: as long as Linux does in close().
const LINGER: Duration = Duration::from_secs(8);

/// An RST to be sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reset {
    pub id: ConnectionId,
    /// Whom the guest addressed.
    pub src_cid: u64,
    pub kind: u16,
}

/// The connections of a device.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) guest_cid: u64,
    pub(super) connections: HashMap<ConnectionId, Connection>,
    /// Connections with packets for the guest, each at most once.
    pub(super) line: VecDeque<ConnectionId>,
    pub(super) resets: VecDeque<Reset>,
    deadlines: BTreeSet<(Instant, ConnectionId)>,
    /// How many connections have the larger room.
    rooms: usize,
    pub(super) counters: Counters,
    /// Where counters start: 0 but in tests.
    pub(super) first_count: u32,
}

impl Table {
    /// No connections of the guest with that CID.
    pub fn new(guest_cid: u32) -> Self {
        Table {
            guest_cid: guest_cid.into(),
            connections: HashMap::new(),
            line: VecDeque::new(),
            resets: VecDeque::new(),
            deadlines: BTreeSet::new(),
            rooms: 0,
            counters: Counters::default(),
            first_count: 0,
        }
    }

    /// May a packet be taken from the guest?
    pub fn takes_packets(&self) -> bool {
        self.resets.len() < RESETS_WAITING
    }

    /// May there be packets for the guest?
    pub fn has_packets(&self) -> bool {
        !self.resets.is_empty() || !self.line.is_empty()
    }

    /// Is there room for one more connection?
    pub(super) fn has_room(&self) -> bool {
        self.connections.len() < CONNECTIONS
    }

    /// The host's side asks for a connection.
    ///
    /// # Errors
    /// The name is taken, or there is no room.
    pub fn request(&mut self, id: ConnectionId, now: Instant) -> Result<(), Refused> {
        if !self.takes_packets() || self.connections.contains_key(&id) {
            return Err(Refused);
        }
        let owed = Owed {
            request: true,
            ..Owed::default()
        };
        self.insert(id, State::Requested, owed)?;
        self.set_deadline(id, Some(now + REQUEST_PATIENCE));
        Ok(())
    }

    /// The host's client does not wait for the guest's answer any more.
    pub fn abandon(&mut self, id: ConnectionId, streams: &mut impl Streams) {
        if self.state(id) == Some(State::Requested) {
            self.end(id, streams);
        }
    }

    /// When the next connection has waited too long.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// End the connections that have waited too long.
    pub fn on_time(&mut self, now: Instant, streams: &mut impl Streams) {
        while let Some((at, id)) = self.deadlines.first().copied() {
            if at > now {
                break;
            }
            self.deadlines.pop_first();
            self.end(id, streams);
        }
    }

    /// End all connections, without a word to the guest.
    pub fn clear(&mut self, streams: &mut impl Streams) {
        for (id, connection) in self.connections.drain() {
            if connection.state != State::Closing {
                streams.close(id);
            }
        }
        self.line.clear();
        self.resets.clear();
        self.deadlines.clear();
        self.rooms = 0;
    }

    pub(super) fn state(&self, id: ConnectionId) -> Option<State> {
        Some(self.connections.get(&id)?.state)
    }

    /// Make a connection, in line with what it owes.
    pub(super) fn insert(
        &mut self,
        id: ConnectionId,
        state: State,
        owed: Owed,
    ) -> Result<(), Refused> {
        if !self.has_room() {
            return Err(Refused);
        }
        let room = if self.rooms < ROOMS {
            self.rooms += 1;
            ROOM
        } else {
            SMALL_ROOM
        };
        let mut connection = Connection::new(state, room, self.first_count);
        connection.owed = owed;
        self.connections.insert(id, connection);
        self.stand_in_line(id);
        Ok(())
    }

    /// Put a connection in line, if it has something for the guest and does not stand there yet.
    pub(super) fn stand_in_line(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id)
            && !connection.in_line
            && connection.has_packets()
        {
            connection.in_line = true;
            self.line.push_back(id);
        }
    }

    /// A connection is over: its stream is closed, and the guest hears RST if it still waits for a word.
    pub(super) fn end(&mut self, id: ConnectionId, streams: &mut impl Streams) {
        let Some(connection) = self.remove(id, streams) else {
            return;
        };
        // The guest does not know of a request that was never sent.
        if !connection.guest_gone && !connection.owed.request {
            self.resets.push_back(Reset {
                id,
                src_cid: HOST_CID,
                kind: TYPE_STREAM,
            });
        }
    }

    /// A connection is over and the guest knows.
    pub(super) fn remove(
        &mut self,
        id: ConnectionId,
        streams: &mut impl Streams,
    ) -> Option<Connection> {
        self.set_deadline(id, None);
        let connection = self.connections.remove(&id)?;
        if connection.granted.buf_alloc() == ROOM {
            self.rooms -= 1;
        }
        if connection.in_line {
            // At most a thousand short comparisons, and only while the guest is slow to take packets.
            self.line.retain(|waiting| *waiting != id);
        }
        if connection.state != State::Closing {
            streams.close(id);
        }
        Some(connection)
    }

    /// RST to whoever sent that packet.
    pub(super) fn reject(&mut self, header: &Header) {
        self.resets.push_back(Reset {
            id: id_of(header),
            src_cid: header.dst_cid,
            kind: header.kind,
        });
    }

    fn set_deadline(&mut self, id: ConnectionId, at: Option<Instant>) {
        if let Some(connection) = self.connections.get_mut(&id) {
            if let Some(old) = std::mem::replace(&mut connection.deadline, at) {
                self.deadlines.remove(&(old, id));
            }
            self.deadlines.extend(at.map(|at| (at, id)));
        }
    }

    /// The guest has accepted what the host's side asked for.
    pub(super) fn establish(&mut self, id: ConnectionId, streams: &mut impl Streams) {
        self.set_deadline(id, None);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.state = State::Established;
            streams.established(id);
        }
    }

    /// The stream has moved, so a connection that waits only for it may linger on.
    pub(super) fn prolong(&mut self, id: ConnectionId, now: Instant) {
        if self.state(id) == Some(State::Draining) {
            self.set_deadline(id, Some(now + LINGER));
        }
    }

    /// Draw the conclusions from whatever has happened to a connection: move it on, put it in line,
    /// have its stream watched. To be called last, after each event.
    pub(super) fn settle(&mut self, id: ConnectionId, streams: &mut impl Streams, now: Instant) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let guest_done = connection.guest_shutdown == shutdown::BOTH;
        match connection.state {
            State::Established | State::Draining if guest_done && connection.waiting.is_empty() => {
                return self.end(id, streams);
            }
            State::Closing if guest_done => return self.end(id, streams),
            State::Established if guest_done => {
                connection.state = State::Draining;
                connection.owed = Owed::default();
                self.set_deadline(id, Some(now + LINGER));
            }
            State::Established if connection.over() => {
                connection.state = State::Closing;
                connection.owed = Owed {
                    shutdown: shutdown::BOTH,
                    ..Owed::default()
                };
                connection.waiting.clear();
                streams.close(id);
                self.set_deadline(id, Some(now + LINGER));
            }
            _ => {}
        }
        self.tell_end(id, streams);
        self.ask_for_credit(id);
        self.stand_in_line(id);
        self.watch(id, streams);
    }

    /// Once, when the stream has taken the last byte.
    fn tell_end(&mut self, id: ConnectionId, streams: &mut impl Streams) {
        if let Some(connection) = self.connections.get_mut(&id)
            && connection.state == State::Established
            && connection.delivered()
            && !connection.host_deaf
            && !connection.end_told
        {
            connection.end_told = true;
            streams.end_writing(id);
        }
    }

    /// Once, where there are bytes for the guest and no credit: a guest need not say unasked that
    /// it has room again.
    fn ask_for_credit(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let credit = connection.allowed.bytes();
        if credit > 0 {
            connection.credit_asked = false;
        } else if connection.sends() && connection.readable && !connection.credit_asked {
            connection.credit_asked = true;
            connection.owed.credit_request = true;
        }
    }

    fn watch(&mut self, id: ConnectionId, streams: &mut impl Streams) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let interest = match connection.state {
            State::Established | State::Draining => connection.interest(),
            State::Requested | State::Closing => Interest::default(),
        };
        if connection.state != State::Closing && interest != connection.watched {
            connection.watched = interest;
            streams.watch(id, interest);
        }
    }
}

/// The name of the connection that a packet of the guest's belongs to.
pub(super) fn id_of(header: &Header) -> ConnectionId {
    ConnectionId {
        guest_port: header.src_port,
        host_port: header.dst_port,
    }
}

/// The packet that says so.
pub(super) fn reset_header(reset: &Reset, guest_cid: u64) -> Header {
    Header {
        src_cid: reset.src_cid,
        dst_cid: guest_cid,
        src_port: reset.id.host_port,
        dst_port: reset.id.guest_port,
        kind: reset.kind,
        op: op::RST,
        ..Header::default()
    }
}
