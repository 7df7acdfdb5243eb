//! A guest's driver, with the device between it and the host.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

use super::host::{End, Host};
use crate::virtio::driver::{self, DriverRing, Part};
use crate::virtio::{MmioWrite, feature};
use crate::vsock::packet::{HEADER_BYTES, Header};
use crate::vsock::spec::{HOST_CID, RX_QUEUE, TX_QUEUE, TYPE_STREAM, op};
use crate::vsock::{ConnectionId, Turn, Vsock};

pub const CID: u32 = 3;
pub const RX_BASE: u64 = 0x1_0000;
pub const TX_BASE: u64 = 0x2_0000;
const RX_BUFFERS: u64 = 0x10_0000;
const RX_SLOT: u64 = 0x1100;
const TX_BUFFERS: u64 = 0x40_0000;
const TX_SLOT: u64 = 0x1_0100;
const MEMORY: usize = 0x140_0000;

pub fn id(guest_port: u32, host_port: u32) -> ConnectionId {
    ConnectionId {
        guest_port,
        host_port,
    }
}

/// The device between a guest and a host.
pub struct World {
    pub vsock: Vsock,
    pub memory: GuestMemoryMmap<()>,
    pub rx: DriverRing,
    pub tx: DriverRing,
    pub host: Host,
    pub now: Instant,
    pub interrupt: EventFd,
    /// Does the guest offer buffers again that it took back?
    pub refills: bool,
    rx_slots: Vec<u64>,
    rx_heads: HashMap<u16, u64>,
    tx_slots: Vec<u64>,
    tx_heads: HashMap<u16, u64>,
    pub inbox: VecDeque<(Header, Vec<u8>)>,
}

impl World {
    /// A device under way, with `size` entries a queue and as many buffers offered.
    pub fn new(size: u16) -> Self {
        let mut world = World::blank(size, true);
        world.start(feature::VERSION_1 | feature::EVENT_IDX);
        world
    }

    /// A device that no driver has touched.
    pub fn blank(size: u16, event_idx: bool) -> Self {
        let memory = GuestMemoryMmap::from_ranges(&[(GuestAddress(0), MEMORY)]).unwrap();
        let interrupt = EventFd::new(EFD_NONBLOCK).unwrap();
        let slots = |base: u64, bytes: u64| (0..size.into()).map(|n| base + n * bytes).collect();
        World {
            vsock: Vsock::new(memory.clone(), CID, interrupt.try_clone().unwrap()),
            rx: DriverRing::new(&memory, RX_BASE, size, event_idx),
            tx: DriverRing::new(&memory, TX_BASE, size, event_idx),
            host: Host {
                room: usize::MAX,
                ..Host::default()
            },
            now: Instant::now(),
            interrupt,
            refills: true,
            rx_slots: slots(RX_BUFFERS, RX_SLOT),
            rx_heads: HashMap::new(),
            tx_slots: slots(TX_BUFFERS, TX_SLOT),
            tx_heads: HashMap::new(),
            inbox: VecDeque::new(),
            memory,
        }
    }

    /// Set the device up, and offer it all buffers.
    pub fn start(&mut self, features: u64) {
        let registers = self.vsock.registers();
        driver::negotiate(&registers, features);
        self.rx.set_up(&registers, 0);
        self.tx.set_up(&registers, 1);
        assert_eq!(driver::finish(&registers), MmioWrite::Activate);
        self.vsock.activate();
        assert!(registers.driver_ok());
        self.refill();
    }

    /// A driver starts anew, after the device was reset: its queues are empty.
    pub fn restart(&mut self) {
        let blank = World::blank(self.rx.size, true);
        for base in [RX_BASE, TX_BASE] {
            let zeros = [0; 0x3000];
            self.memory.write_slice(&zeros, GuestAddress(base)).unwrap();
        }
        self.rx = DriverRing::new(&self.memory, RX_BASE, self.rx.size, true);
        self.tx = DriverRing::new(&self.memory, TX_BASE, self.tx.size, true);
        self.rx_slots = blank.rx_slots;
        self.tx_slots = blank.tx_slots;
        self.rx_heads.clear();
        self.tx_heads.clear();
        self.start(feature::VERSION_1 | feature::EVENT_IDX);
    }

    /// Let the device go on until it says that it is done.
    pub fn run(&mut self, mut turn: Turn) {
        for _ in 0..1000 {
            match turn {
                Turn::Done => return,
                Turn::More => turn = self.vsock.proceed(&mut self.host, self.now),
            }
        }
        panic!("the device never says that it is done");
    }

    pub fn kick(&mut self, queue: u16) {
        let turn = self.vsock.on_kick(queue, &mut self.host, self.now);
        self.run(turn);
    }

    /// A packet of the guest's on that connection, with endless credit for the host.
    pub fn header(&self, id: ConnectionId, op: u16) -> Header {
        Header {
            src_cid: CID.into(),
            dst_cid: HOST_CID,
            src_port: id.guest_port,
            dst_port: id.host_port,
            kind: TYPE_STREAM,
            op,
            buf_alloc: 1 << 20,
            ..Header::default()
        }
    }

    /// Send a packet, in pieces of `piece` bytes; false if the queue has no room.
    pub fn post(&mut self, header: &Header, payload: &[u8], piece: usize) -> bool {
        self.reclaim();
        let mut bytes = header.encode().to_vec();
        bytes.extend(payload);
        let pieces = bytes.len().div_ceil(piece);
        if self.tx.free() < pieces || self.tx_slots.is_empty() {
            return false;
        }
        let slot = self.tx_slots.pop().unwrap();
        self.memory.write_slice(&bytes, GuestAddress(slot)).unwrap();
        let parts: Vec<Part> = (0..pieces)
            .map(|n| {
                let at = n * piece;
                let len = piece.min(bytes.len() - at);
                (slot + at as u64, len as u32, false)
            })
            .collect();
        let head = self.tx.offer(&parts);
        self.tx_heads.insert(head, slot);
        true
    }

    /// Send a packet and ring for it.
    pub fn send(&mut self, header: &Header, payload: &[u8]) {
        let header = Header {
            len: payload.len() as u32,
            ..*header
        };
        let piece = HEADER_BYTES.max((payload.len() + HEADER_BYTES).div_ceil(8));
        assert!(self.post(&header, payload, piece), "tx queue is full");
        self.ring();
    }

    pub fn send_op(&mut self, id: ConnectionId, op: u16, flags: u32) {
        let header = Header {
            flags,
            ..self.header(id, op)
        };
        self.send(&header, &[]);
    }

    /// Ring for packets, if the device wants that.
    pub fn ring(&mut self) {
        if self.tx.kick_wanted() {
            self.kick(TX_QUEUE);
        }
    }

    pub fn reclaim(&mut self) {
        while let Some((head, written)) = self.tx.take_used() {
            assert_eq!(written, 0);
            self.tx_slots.push(self.tx_heads.remove(&head).unwrap());
        }
    }

    /// Offer all buffers there are; true if there were any.
    pub fn refill(&mut self) -> bool {
        let before = self.rx.free();
        while self.rx.free() > 0
            && let Some(slot) = self.rx_slots.pop()
        {
            let head = self.rx.offer(&[(slot, RX_SLOT as u32, true)]);
            self.rx_heads.insert(head, slot);
        }
        if self.rx.kick_wanted() {
            self.kick(RX_QUEUE);
        }
        self.rx.free() != before
    }

    /// Take in what the device has written.
    pub fn receive(&mut self) -> bool {
        let mut any = false;
        while let Some((head, written)) = self.rx.take_used() {
            let slot = self.rx_heads.remove(&head).unwrap();
            self.rx_slots.push(slot);
            let mut bytes = vec![0; written as usize];
            self.memory
                .read_slice(&mut bytes, GuestAddress(slot))
                .unwrap();
            let (header, payload) = bytes.split_first_chunk().expect("a header at least");
            let header = Header::decode(header);
            assert_eq!(header.len as usize, payload.len());
            assert_eq!(header.dst_cid, u64::from(CID));
            self.inbox.push_back((header, payload.to_vec()));
            any = true;
        }
        (self.refills && self.refill()) || any
    }

    /// Tell the device of streams that are what it watches them for.
    pub fn poll(&mut self) -> bool {
        let due: Vec<_> = self
            .host
            .ends
            .iter()
            .map(|(id, end)| {
                let readable = end.gone || end.ended || !end.to_guest.is_empty();
                let writable = end.gone || end.room > 0;
                let readable = end.interest.readable && readable;
                (*id, readable, end.interest.writable && writable)
            })
            .filter(|(_, readable, writable)| *readable || *writable)
            .collect();
        for &(id, readable, writable) in &due {
            let (host, now) = (&mut self.host, self.now);
            let turn = self.vsock.on_ready(id, readable, writable, host, now);
            self.run(turn);
        }
        !due.is_empty()
    }

    /// Until nothing happens any more. The device must come to rest, whatever it is told.
    pub fn settle(&mut self) {
        for _ in 0..10_000 {
            let polled = self.poll();
            if !self.receive() && !polled {
                return;
            }
        }
        panic!("the device spins");
    }

    /// Let time pass.
    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        if self.vsock.deadline().is_some_and(|at| at <= self.now) {
            let turn = self.vsock.on_time(self.now, &mut self.host);
            self.run(turn);
        }
        assert!(self.vsock.deadline().is_none_or(|at| at > self.now));
        self.settle();
    }

    /// What the guest has received since this was last asked: operations and flags.
    pub fn heard(&mut self) -> Vec<(u16, u32)> {
        self.settle();
        let packets = self.inbox.drain(..);
        packets
            .map(|(header, _)| (header.op, header.flags))
            .collect()
    }

    /// The bytes the guest has received since this was last asked.
    pub fn bytes_heard(&mut self) -> Vec<u8> {
        self.settle();
        self.inbox
            .drain(..)
            .flat_map(|(_, payload)| payload)
            .collect()
    }

    /// A connection made by the guest.
    pub fn connect(&mut self, guest_port: u32) -> ConnectionId {
        let id = id(guest_port, 1024);
        self.send_op(id, op::REQUEST, 0);
        assert_eq!(self.heard(), [(op::RESPONSE, 0)]);
        id
    }

    /// A connection made by the host, not answered yet.
    pub fn request(&mut self, guest_port: u32) -> ConnectionId {
        let id = self.vsock.request(5000, guest_port, self.now).unwrap();
        let end = End {
            room: self.host.room,
            ..End::default()
        };
        self.host.ends.insert(id, end);
        let turn = self.vsock.proceed(&mut self.host, self.now);
        self.run(turn);
        id
    }
}
