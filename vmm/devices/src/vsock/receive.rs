//! What the guest's packets do.

use std::time::Instant;

use super::connection::{Owed, State};
use super::packet::Header;
use super::spec::{HOST_CID, TYPE_STREAM, op, shutdown};
use super::streams::{ConnectionId, Streams, Written};
use super::table::{Table, id_of};

/// A rule of the protocol is broken: the connection ends with an RST.
struct Violation;

impl Table {
    /// A packet from the guest; `payload` is None if it is not as long as the header says, or
    /// longer than any packet may be. To be called only while
    /// [`takes_packets`](Self::takes_packets).
    pub fn on_packet(
        &mut self,
        header: &Header,
        payload: Option<&[u8]>,
        streams: &mut impl Streams,
        now: Instant,
    ) {
        self.counters.tx_packets += 1;
        // A guest speaks for itself only (VIRTIO 1.2, 5.10.6.4.1).
        if header.src_cid != self.guest_cid {
            return;
        }
        let id = id_of(header);
        let addressed = header.dst_cid == HOST_CID && header.kind == TYPE_STREAM;
        if header.op == op::RST {
            // Never answered, or two devices could go on for ever.
            if addressed {
                self.on_reset(id, streams);
            }
            return;
        }
        if !addressed {
            return self.reject(header);
        }
        match self.connections.get(&id) {
            // The name is in use: by a stream that has not taken the last byte yet, or by a request
            // that the guest cannot have seen.
            Some(connection) if connection.guest_gone || connection.owed.request => {
                return self.reject(header);
            }
            Some(_) => {}
            None => return self.on_stranger(id, header, payload, streams, now),
        }
        match self.on_known(id, header, payload, streams, now) {
            Ok(()) => self.settle(id, streams, now),
            Err(Violation) => self.end(id, streams),
        }
    }

    /// A packet that belongs to no connection.
    fn on_stranger(
        &mut self,
        id: ConnectionId,
        header: &Header,
        payload: Option<&[u8]>,
        streams: &mut impl Streams,
        now: Instant,
    ) {
        let asks = header.op == op::REQUEST && payload.is_some() && self.has_room();
        if !asks || streams.connect(id).is_err() {
            return self.reject(header);
        }
        let owed = Owed {
            response: true,
            ..Owed::default()
        };
        if self.insert(id, State::Established, owed).is_err() {
            streams.close(id);
            return self.reject(header);
        }
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.allowed.update(header.buf_alloc, header.fwd_cnt);
        }
        self.settle(id, streams, now);
    }

    /// A packet of a connection, which is to be settled afterwards.
    fn on_known(
        &mut self,
        id: ConnectionId,
        header: &Header,
        payload: Option<&[u8]>,
        streams: &mut impl Streams,
        now: Instant,
    ) -> Result<(), Violation> {
        let payload = payload.ok_or(Violation)?;
        let connection = self.connections.get_mut(&id).ok_or(Violation)?;
        connection.allowed.update(header.buf_alloc, header.fwd_cnt);
        match (connection.state, header.op) {
            (State::Requested, op::RESPONSE) => self.establish(id, streams),
            (State::Requested, _) => return Err(Violation),
            (State::Established, op::RW) => self.on_bytes(id, payload, streams, now)?,
            // The stream is gone; the guest may not know yet.
            (State::Closing, op::RW) => {}
            (State::Established, op::CREDIT_REQUEST) => connection.owed.credit_update = true,
            (_, op::CREDIT_REQUEST | op::CREDIT_UPDATE) => {}
            (_, op::SHUTDOWN) => connection.guest_shutdown |= header.flags & shutdown::BOTH,
            _ => return Err(Violation),
        }
        Ok(())
    }

    /// Bytes for the stream.
    fn on_bytes(
        &mut self,
        id: ConnectionId,
        payload: &[u8],
        streams: &mut impl Streams,
        now: Instant,
    ) -> Result<(), Violation> {
        let connection = self.connections.get_mut(&id).ok_or(Violation)?;
        if connection.guest_shutdown & shutdown::SEND != 0 {
            return Err(Violation);
        }
        let bytes = u32::try_from(payload.len()).map_err(|_| Violation)?;
        connection.granted.receive(bytes).map_err(|_| Violation)?;
        self.counters.tx_bytes += u64::from(bytes);
        if connection.host_deaf {
            connection.forward(payload.len());
        } else if !connection.waiting.is_empty() {
            // In order; the stream is watched for room.
            connection.waiting.extend(payload);
        } else {
            // At once, past the buffer, as far as the stream has room.
            let written = match payload {
                [] => Written::Took(0),
                _ => streams.write(id, payload),
            };
            connection.waiting.extend(match written {
                Written::Took(taken) => &payload[taken.min(payload.len())..],
                Written::Gone => payload,
            });
            self.on_written(id, written, payload.len(), now);
        }
        Ok(())
    }

    /// What a stream has done with the `offered` bytes written to it. The bytes left are in the buffer.
    fn on_written(&mut self, id: ConnectionId, written: Written, offered: usize, now: Instant) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        match written {
            Written::Took(0) => {}
            Written::Took(taken) => {
                connection.forward(taken.min(offered));
                self.prolong(id, now);
            }
            Written::Gone => {
                connection.deafen();
                // What the host has sent before may still be read.
                connection.owed.shutdown |= shutdown::RECEIVE;
            }
        }
    }

    /// Write to a stream what waits for it. To be settled afterwards.
    pub(super) fn flush(&mut self, id: ConnectionId, streams: &mut impl Streams, now: Instant) {
        // A ring buffer lies in memory in at most two parts.
        for _ in 0..2 {
            let Some(connection) = self.connections.get_mut(&id) else {
                return;
            };
            let (part, _) = connection.waiting.as_slices();
            if part.is_empty() {
                break;
            }
            let offered = part.len();
            let written = streams.write(id, part);
            let all = matches!(written, Written::Took(taken) if taken >= offered);
            if let Written::Took(taken) = written {
                connection.waiting.drain(..taken.min(offered));
            }
            self.on_written(id, written, offered, now);
            if !all {
                break;
            }
        }
        // An idle connection holds no memory.
        if let Some(connection) = self.connections.get_mut(&id)
            && connection.waiting.is_empty()
        {
            connection.waiting = Default::default();
        }
    }

    /// The guest ends a connection at once. What it had sent before it said in due form that it
    /// would send no more is still delivered.
    fn on_reset(&mut self, id: ConnectionId, streams: &mut impl Streams) {
        if self.state(id) == Some(State::Draining) {
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.guest_gone = true;
            }
            return;
        }
        self.remove(id, streams);
    }
}
