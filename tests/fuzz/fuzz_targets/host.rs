//! The host's streams and time, as the fuzzer's bytes have them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use devices::Vsock;
use devices::virtio::{MmioWrite, Registers};
use devices::vsock::{ConnectionId, Interest, Read, Refused, Streams, Turn, Written};

/// Bytes to decide by; zeros once they are used up.
pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    pub fn word(&mut self) -> u32 {
        (0..4).fold(0, |word, _| word << 8 | u32::from(self.byte()))
    }

    pub fn take(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// Streams that do whatever `mood` says, and check that the device keeps the seam's rules.
#[derive(Default)]
pub struct Host {
    pub open: BTreeMap<ConnectionId, Interest>,
    /// Streams that will not be written any more.
    ended: BTreeSet<ConnectionId>,
    mood: u8,
}

impl Host {
    /// Behave by that from now on.
    pub fn set_mood(&mut self, mood: u8) {
        self.mood = mood;
    }
}

impl Streams for Host {
    fn connect(&mut self, id: ConnectionId) -> Result<(), Refused> {
        if self.mood & 1 != 0 {
            return Err(Refused);
        }
        assert!(self.open.insert(id, Interest::default()).is_none());
        Ok(())
    }

    fn established(&mut self, id: ConnectionId) {
        assert!(self.open.contains_key(&id));
    }

    fn write(&mut self, id: ConnectionId, bytes: &[u8]) -> Written {
        assert!(self.open.contains_key(&id) && !self.ended.contains(&id));
        match self.mood >> 1 & 3 {
            0 => Written::Took(bytes.len()),
            1 => Written::Took(bytes.len() / 2),
            2 => Written::Took(0),
            _ => Written::Gone,
        }
    }

    fn read(&mut self, id: ConnectionId, buffer: &mut [u8]) -> Read {
        assert!(self.open.contains_key(&id) && !buffer.is_empty());
        match self.mood >> 3 & 7 {
            0..=2 => Read::Nothing,
            3 => Read::Bytes(1),
            4 => Read::Bytes(buffer.len().div_ceil(2)),
            // A stream that never ran dry would keep a device busy, with reason: now and then it does.
            5 => {
                self.mood ^= 0b10_1000;
                Read::Bytes(buffer.len())
            }
            6 => Read::End,
            _ => Read::Gone,
        }
    }

    fn watch(&mut self, id: ConnectionId, interest: Interest) {
        let old = self.open.insert(id, interest);
        assert!(old.is_some_and(|old| old != interest));
    }

    fn end_writing(&mut self, id: ConnectionId) {
        assert!(self.open.contains_key(&id) && self.ended.insert(id));
    }

    fn close(&mut self, id: ConnectionId) {
        assert!(self.open.remove(&id).is_some());
        self.ended.remove(&id);
    }
}

/// A device, its host and the time.
pub struct Bench {
    pub vsock: Vsock,
    pub host: Host,
    pub now: Instant,
    /// The device went on for longer than it has reason to, as long as what it writes in guest memory is not
    /// a queue of its own.
    pub restless: bool,
}

impl Bench {
    pub fn new(vsock: Vsock) -> Self {
        Bench {
            vsock,
            host: Host::default(),
            now: Instant::now(),
            restless: false,
        }
    }

    /// A driver's write to a register, carried out as a machine does.
    pub fn write_register(&mut self, registers: &Registers, offset: u64, data: &[u8]) {
        match registers.write(offset, data) {
            MmioWrite::Done => {}
            MmioWrite::Activate => self.vsock.activate(),
            MmioWrite::Reset => self.vsock.reset(&mut self.host),
            MmioWrite::Notify(queue) => self.kick(queue),
        }
    }

    pub fn kick(&mut self, queue: u16) {
        let turn = self.vsock.on_kick(queue, &mut self.host, self.now);
        self.finish(turn);
    }

    /// Tell of every stream that is watched.
    pub fn poll(&mut self) {
        for (id, interest) in self.host.open.clone() {
            if self.host.open.contains_key(&id) && interest != Interest::default() {
                let (readable, writable) = (interest.readable, interest.writable);
                let (host, now) = (&mut self.host, self.now);
                let turn = self.vsock.on_ready(id, readable, writable, host, now);
                self.finish(turn);
            }
        }
    }

    pub fn ask(&mut self, host_port: u32, guest_port: u32) {
        if let Ok(id) = self.vsock.request(host_port, guest_port, self.now) {
            assert!(self.host.open.insert(id, Interest::default()).is_none());
        }
        let turn = self.vsock.proceed(&mut self.host, self.now);
        self.finish(turn);
    }

    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        let turn = self.vsock.on_time(self.now, &mut self.host);
        self.finish(turn);
        assert!(self.vsock.deadline().is_none_or(|at| at > self.now));
    }

    fn finish(&mut self, mut turn: Turn) {
        for _ in 0..1000 {
            if turn == Turn::Done {
                return;
            }
            turn = self.vsock.proceed(&mut self.host, self.now);
        }
        self.restless = true;
    }
}
