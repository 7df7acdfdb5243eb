//! The host's streams, which check that the device keeps the seam's rules.

use std::collections::{HashMap, VecDeque};

use crate::vsock::{ConnectionId, Interest, Read, Refused, Streams, Written};

/// The host's end of a connection.
#[derive(Debug, Default)]
pub struct End {
    pub to_guest: VecDeque<u8>,
    pub from_guest: Vec<u8>,
    /// How many bytes it takes before it is full.
    pub room: usize,
    /// It sends no more.
    pub ended: bool,
    /// It is closed.
    pub gone: bool,
    pub interest: Interest,
    pub established: bool,
    pub writing_ended: bool,
}

/// All ends.
#[derive(Debug, Default)]
pub struct Host {
    pub ends: HashMap<ConnectionId, End>,
    pub closed: Vec<(ConnectionId, End)>,
    pub refuses: bool,
    pub room: usize,
}

impl Host {
    pub fn end(&mut self, id: ConnectionId) -> &mut End {
        self.ends.get_mut(&id).expect("the stream is open")
    }

    /// The end of a closed stream.
    pub fn closed(&self, id: ConnectionId) -> &End {
        let closed = self.closed.iter().rev().find(|(closed, _)| *closed == id);
        &closed.expect("the stream is closed").1
    }
}

impl Streams for Host {
    fn connect(&mut self, id: ConnectionId) -> Result<(), Refused> {
        if self.refuses {
            return Err(Refused);
        }
        let end = End {
            room: self.room,
            ..End::default()
        };
        assert!(self.ends.insert(id, end).is_none(), "one stream a name");
        Ok(())
    }

    fn established(&mut self, id: ConnectionId) {
        let end = self.end(id);
        assert!(!end.established);
        end.established = true;
    }

    fn write(&mut self, id: ConnectionId, bytes: &[u8]) -> Written {
        let end = self.end(id);
        assert!(!end.writing_ended);
        if end.gone {
            return Written::Gone;
        }
        let taken = bytes.len().min(end.room);
        end.room -= taken;
        end.from_guest.extend(&bytes[..taken]);
        Written::Took(taken)
    }

    fn read(&mut self, id: ConnectionId, buffer: &mut [u8]) -> Read {
        let end = self.end(id);
        assert!(!buffer.is_empty());
        let bytes = buffer.len().min(end.to_guest.len());
        for (slot, byte) in buffer.iter_mut().zip(end.to_guest.drain(..bytes)) {
            *slot = byte;
        }
        match bytes {
            0 if end.gone => Read::Gone,
            0 if end.ended => Read::End,
            0 => Read::Nothing,
            _ => Read::Bytes(bytes),
        }
    }

    fn watch(&mut self, id: ConnectionId, interest: Interest) {
        let end = self.end(id);
        assert_ne!(end.interest, interest, "told what it knows");
        end.interest = interest;
    }

    fn end_writing(&mut self, id: ConnectionId) {
        let end = self.end(id);
        assert!(!end.writing_ended);
        end.writing_ended = true;
    }

    fn close(&mut self, id: ConnectionId) {
        let end = self.ends.remove(&id).expect("closed once");
        self.closed.push((id, end));
    }
}
