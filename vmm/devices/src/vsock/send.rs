//! What goes to the guest: one packet at a time, connections in turn.

use std::time::Instant;

use super::connection::State;
use super::packet::Header;
use super::spec::{HOST_CID, TYPE_STREAM, op, shutdown};
use super::streams::{ConnectionId, Read, Streams};
use super::table::{Table, reset_header};

impl Table {
    /// A stream is readable or writable, or both; so is a broken one.
    pub fn on_ready(
        &mut self,
        id: ConnectionId,
        readable: bool,
        writable: bool,
        streams: &mut impl Streams,
        now: Instant,
    ) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        if !matches!(connection.state, State::Established | State::Draining) {
            return;
        }
        if readable && connection.sends() {
            connection.readable = true;
        }
        if writable {
            self.flush(id, streams, now);
        }
        self.settle(id, streams, now);
    }

    /// The next packet for the guest, who has room for `payload`, at least one byte, behind the
    /// header: header and length of what was put there. Resets come first, see [`super::table`]. If
    /// there is none, [`has_packets`](Self::has_packets) says whether to ask again.
    pub fn next_packet(
        &mut self,
        payload: &mut [u8],
        streams: &mut impl Streams,
        now: Instant,
    ) -> Option<(Header, usize)> {
        if let Some(reset) = self.resets.pop_front() {
            self.counters.rx_packets += 1;
            self.counters.resets += 1;
            return Some((reset_header(&reset, self.guest_cid), 0));
        }
        // Once along the line; who finds nothing to send leaves it, unless that was its stream's end.
        for _ in 0..self.line.len() {
            let id = self.line.pop_front()?;
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.in_line = false;
            }
            let packet = self.packet_of(id, payload, streams);
            self.settle(id, streams, now);
            if let Some((header, bytes)) = packet {
                self.counters.rx_packets += 1;
                self.counters.rx_bytes += bytes as u64;
                return Some((header, bytes));
            }
        }
        None
    }

    /// A packet of this connection, which is to be settled afterwards.
    fn packet_of(
        &mut self,
        id: ConnectionId,
        payload: &mut [u8],
        streams: &mut impl Streams,
    ) -> Option<(Header, usize)> {
        let dst_cid = self.guest_cid;
        let connection = self.connections.get_mut(&id)?;
        let (op, flags, bytes) = if let Some((op, flags)) = connection.take_owed() {
            (op, flags, 0)
        } else {
            (op::RW, 0, self.read(id, payload, streams)?)
        };
        let connection = self.connections.get_mut(&id)?;
        let (buf_alloc, fwd_cnt) = connection.tell_credit();
        let header = Header {
            src_cid: HOST_CID,
            dst_cid,
            src_port: id.host_port,
            dst_port: id.guest_port,
            len: bytes as u32,
            kind: TYPE_STREAM,
            op,
            flags,
            buf_alloc,
            fwd_cnt,
        };
        Some((header, bytes))
    }

    /// Read from a stream what the guest has room and credit for; None if there is nothing.
    fn read(
        &mut self,
        id: ConnectionId,
        payload: &mut [u8],
        streams: &mut impl Streams,
    ) -> Option<usize> {
        let connection = self.connections.get_mut(&id)?;
        if !connection.readable || !connection.sends() {
            return None;
        }
        let most = payload.len().min(connection.allowed.bytes() as usize);
        if most == 0 {
            return None;
        }
        match streams.read(id, &mut payload[..most]) {
            Read::Bytes(bytes) if bytes > 0 => {
                let bytes = bytes.min(most);
                connection.allowed.send(bytes as u32);
                // Where less came than would have fitted, the next read would find nothing.
                connection.readable = bytes == most;
                return Some(bytes);
            }
            Read::Bytes(_) | Read::Nothing => {}
            Read::End => {
                connection.host_ended = true;
                connection.owed.shutdown |= shutdown::SEND;
            }
            Read::Gone => {
                connection.host_ended = true;
                connection.deafen();
            }
        }
        connection.readable = false;
        None
    }
}
