//! virtio-vsock: stream connections between a guest and CID 2.

mod streams;

use std::sync::Arc;
use std::time::Instant;

use vm_memory::GuestMemoryMmap;
use vmm_sys_util::eventfd::EventFd;

use crate::virtio::Registers;
pub use streams::{ConnectionId, Interest, Read, Refused, Streams, Written};

/// Where the device's registers lie, in the MMIO hole.
pub const VSOCK_MMIO_ADDRESS: u64 = 0xd000_0000;
/// The device's interrupt line, edge-triggered.
pub const VSOCK_GSI: u32 = 5;
/// Number of queues: rx (0), tx (1), event (2), each of which the guest kicks.
pub const VSOCK_QUEUES: u16 = 3;

/// How a call left the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Turn {
    /// Nothing left to do.
    Done,
    /// The call's share of work is done and more is left: call [`Vsock::proceed`], after others had
    /// theirs.
    More,
}

/// What has passed since the device was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Packets taken from the guest.
    pub tx_packets: u64,
    /// Bytes of payload taken from the guest.
    pub tx_bytes: u64,
    /// Packets given to the guest.
    pub rx_packets: u64,
    /// Bytes of payload given to the guest.
    pub rx_bytes: u64,
    /// RST packets given to the guest.
    pub resets: u64,
}

/// The device; belongs to one owner.
#[derive(Debug)]
pub struct Vsock {
    registers: Arc<Registers>,
}

impl Vsock {
    /// The device of the guest whose CID is `cid`, over its `memory`. It raises its interrupt by
    /// writing to `interrupt`.
    pub fn new(_memory: GuestMemoryMmap<()>, _cid: u32, _interrupt: EventFd) -> Self {
        Vsock {
            registers: Arc::new(Registers::default()),
        }
    }

    /// The half that vCPU threads access.
    pub fn registers(&self) -> Arc<Registers> {
        Arc::clone(&self.registers)
    }

    /// The driver says that its set-up is done ([`crate::virtio::MmioWrite::Activate`]).
    pub fn activate(&mut self) {}

    /// The driver asks for a reset ([`crate::virtio::MmioWrite::Reset`]): every connection is closed.
    pub fn reset(&mut self, _streams: &mut impl Streams) {}

    /// The guest has rung for `queue`.
    pub fn on_kick(&mut self, _queue: u16, _streams: &mut impl Streams, _now: Instant) -> Turn {
        Turn::Done
    }

    /// A stream can be read or written, or is broken.
    pub fn on_ready(
        &mut self,
        _id: ConnectionId,
        _readable: bool,
        _writable: bool,
        _streams: &mut impl Streams,
        _now: Instant,
    ) -> Turn {
        Turn::Done
    }

    /// Go on after [`Turn::More`], or after [`request`](Self::request).
    pub fn proceed(&mut self, _streams: &mut impl Streams, _now: Instant) -> Turn {
        Turn::Done
    }

    /// The host's side asks for a connection from its port to the guest's. The caller then calls
    /// [`proceed`](Self::proceed), and hears [`Streams::established`] or [`Streams::close`], the latter after 2 s at
    /// the latest.
    ///
    /// # Errors
    /// The guest has no driver, those two ports are connected already, or the device is full.
    pub fn request(
        &mut self,
        _host_port: u32,
        _guest_port: u32,
        _now: Instant,
    ) -> Result<ConnectionId, Refused> {
        Err(Refused)
    }

    /// The host's client went away before the guest had answered; its stream is closed.
    pub fn abandon(
        &mut self,
        _id: ConnectionId,
        _streams: &mut impl Streams,
        _now: Instant,
    ) -> Turn {
        Turn::Done
    }

    /// When [`on_time`](Self::on_time) has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        None
    }

    /// Time has passed: close what has waited too long.
    pub fn on_time(&mut self, _now: Instant, _streams: &mut impl Streams) -> Turn {
        Turn::Done
    }

    /// What has passed so far.
    pub fn counters(&self) -> Counters {
        Counters::default()
    }
}
