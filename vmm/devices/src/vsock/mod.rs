//! virtio-vsock (VIRTIO 1.2, 5.10): stream connections between a guest and CID 2.
//!
//! ```text
//!   vCPU threads                               owner (io)
//!   ────────────                               ──────────
//!   registers ──▶ Registers ◀──────────────── Vsock ──▶ interrupt eventfd
//!   kick ───────── ioeventfd ─── on_kick ──────▶ │
//!                                                ├── Ring tx ─▶ Table::on_packet ──▶ Streams
//!                                                └── Ring rx ◀─ Table::next_packet ◀─ Streams
//! ```
//!
//! [`Vsock`] carries packets between the rings and the protocol in `table`; [`Streams`] are the
//! host's ends of the connections, lent for a call. It has no thread, no clock, and no descriptor
//! but its interrupt's.
//!
//! *Work a call.* At most `CHAINS_A_TURN` chains each way and `BYTES_A_TURN` of payload pass in one
//! call; [`Turn`] says whether more is there. A guest whose rings overlap can have the device feed
//! itself: it then spends its own thread's time, a share a call.
//!
//! *A guest that offers no buffers.* Streams with something for it are not watched and wait in
//! line; the rx queue's next kick goes on with them. Nothing is read from a stream that has no
//! buffer to go to.
//!
//! *A broken ring* (see [`crate::virtio`]) stops the device: every connection is closed,
//! DEVICE_NEEDS_RESET is set, and until the driver resets it, nothing moves. A packet that makes no
//! sense in a ring that does costs its connection or nothing, see `table`. The event queue stays
//! unused: it tells of a guest moved to another host.

mod connection;
mod credit;
mod packet;
mod receive;
mod send;
mod spec;
mod streams;
mod table;

use std::sync::Arc;
use std::time::Instant;

use vm_memory::GuestMemoryMmap;
use vmm_sys_util::eventfd::EventFd;

use crate::virtio::{Broken, Chain, Interrupt, Registers, Ring, feature};
use packet::{HEADER_BYTES, Header};
use spec::{DEVICE_ID, RX_QUEUE, TX_QUEUE};
pub use streams::{ConnectionId, Interest, Read, Refused, Streams, Written};
use table::Table;

/// Where the device's registers lie, in the MMIO hole.
pub const VSOCK_MMIO_ADDRESS: u64 = 0xd000_0000;
/// The device's interrupt line, edge-triggered.
pub const VSOCK_GSI: u32 = 5;
/// Number of queues, each of which the guest may ring for: rx (0), tx (1), event (2).
pub const VSOCK_QUEUES: u16 = 3;

/// Chains taken from one queue in one call: one queue's worth.
const CHAINS_A_TURN: usize = 256;
/// Payload moved each way in one call, but for the packet that goes beyond: some 100 µs of copying.
const BYTES_A_TURN: usize = 1 << 20;
/// Largest payload of a packet: as in Linux (VIRTIO_VSOCK_MAX_PKT_BUF_SIZE).
const PAYLOAD_MAX: usize = 64 * 1024;

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
    memory: GuestMemoryMmap<()>,
    registers: Arc<Registers>,
    interrupt: Interrupt,
    /// None unless the driver has set the device up and not broken it.
    rings: Option<Rings>,
    table: Table,
    /// A packet's payload on its way between a stream and guest memory.
    payload: Box<[u8]>,
}

/// The queues of a device under way.
#[derive(Debug)]
struct Rings {
    rx: Ring,
    tx: Ring,
    /// The buffer for the next packet to the guest, if one was taken.
    rx_chain: Chain,
    rx_taken: bool,
    tx_chain: Chain,
    /// The guest offers no buffer, as far as is known. It will ring when it does.
    rx_empty: bool,
    /// The guest has rung and not all of its packets were taken.
    tx_offered: bool,
}

impl Vsock {
    /// The device of the guest whose CID is `cid`, over its `memory`. It raises its interrupt by
    /// writing to `interrupt`, which should not block.
    pub fn new(memory: GuestMemoryMmap<()>, cid: u32, interrupt: EventFd) -> Self {
        let features = feature::VERSION_1 | feature::EVENT_IDX | feature::INDIRECT_DESC;
        // Its only field is guest_cid (5.10.4).
        let config = u64::from(cid).to_le_bytes();
        let registers = Registers::new(DEVICE_ID, features, &config, VSOCK_QUEUES);
        let registers = Arc::new(registers);
        Vsock {
            memory,
            interrupt: Interrupt::new(Arc::clone(&registers), interrupt),
            registers,
            rings: None,
            table: Table::new(cid),
            payload: vec![0; PAYLOAD_MAX].into(),
        }
    }

    /// The half that vCPU threads access.
    pub fn registers(&self) -> Arc<Registers> {
        Arc::clone(&self.registers)
    }

    /// The driver says that its set-up is done ([`MmioWrite::Activate`](crate::virtio::MmioWrite)).
    /// If it has made a mistake, the device asks it for a reset and stays as it is.
    pub fn activate(&mut self) {
        // Another vCPU may have reset the device meanwhile.
        if self.rings.is_some() || !self.registers.driver_ok() {
            return;
        }
        match self.set_up() {
            Ok(rings) => self.rings = Some(rings),
            Err(Broken) => self.interrupt.needs_reset(),
        }
    }

    fn set_up(&self) -> Result<Rings, Broken> {
        let event_idx = self.registers.features() & feature::EVENT_IDX != 0;
        let mut setups = self.registers.queue_setups();
        let mut ring = || Ring::new(setups.next().ok_or(Broken)?, event_idx, &self.memory);
        Ok(Rings {
            rx: ring()?,
            tx: ring()?,
            rx_chain: Chain::default(),
            rx_taken: false,
            tx_chain: Chain::default(),
            rx_empty: false,
            tx_offered: false,
        })
    }

    /// The driver asks for a reset ([`MmioWrite::Reset`](crate::virtio::MmioWrite)), or the machine
    /// does: every connection is closed.
    pub fn reset(&mut self, streams: &mut impl Streams) {
        self.rings = None;
        self.table.clear(streams);
        self.registers.clear();
    }

    /// The guest has rung for `queue`.
    pub fn on_kick(&mut self, queue: u16, streams: &mut impl Streams, now: Instant) -> Turn {
        if let Some(rings) = &mut self.rings {
            match queue {
                RX_QUEUE => rings.rx_empty = false,
                TX_QUEUE => rings.tx_offered = true,
                _ => {}
            }
        }
        self.proceed(streams, now)
    }

    /// A stream has become what it was watched for; or is broken, and counts as whatever it was
    /// watched for.
    pub fn on_ready(
        &mut self,
        id: ConnectionId,
        readable: bool,
        writable: bool,
        streams: &mut impl Streams,
        now: Instant,
    ) -> Turn {
        self.table.on_ready(id, readable, writable, streams, now);
        self.proceed(streams, now)
    }

    /// The host's side asks for a connection from its port to the guest's. The caller then calls
    /// [`proceed`](Self::proceed), and hears [`Streams::established`], or [`Streams::close`] within 2 s.
    ///
    /// # Errors
    /// The guest has no driver, those two ports are connected already, or the device is full.
    pub fn request(
        &mut self,
        host_port: u32,
        guest_port: u32,
        now: Instant,
    ) -> Result<ConnectionId, Refused> {
        let id = ConnectionId {
            guest_port,
            host_port,
        };
        if self.rings.is_none() {
            return Err(Refused);
        }
        self.table.request(id, now)?;
        Ok(id)
    }

    /// The host's client went away before the guest had answered: its stream is closed. Nothing
    /// happens to a connection that is established.
    pub fn abandon(&mut self, id: ConnectionId, streams: &mut impl Streams, now: Instant) -> Turn {
        self.table.abandon(id, streams);
        self.proceed(streams, now)
    }

    /// When [`on_time`](Self::on_time) has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        self.table.deadline()
    }

    /// Time has passed: close what has waited too long.
    pub fn on_time(&mut self, now: Instant, streams: &mut impl Streams) -> Turn {
        self.table.on_time(now, streams);
        self.proceed(streams, now)
    }

    /// What has passed so far.
    pub fn counters(&self) -> Counters {
        self.table.counters
    }

    /// Move what can be moved: after [`Turn::More`], or after [`request`](Self::request). Never harmful.
    pub fn proceed(&mut self, streams: &mut impl Streams, now: Instant) -> Turn {
        match self.exchange(streams, now) {
            Ok(turn) => turn,
            Err(Broken) => {
                self.rings = None;
                self.table.clear(streams);
                self.interrupt.needs_reset();
                Turn::Done
            }
        }
    }

    fn exchange(&mut self, streams: &mut impl Streams, now: Instant) -> Result<Turn, Broken> {
        self.take_packets(streams, now)?;
        self.give_packets(streams, now)?;
        let Some(rings) = &mut self.rings else {
            return Ok(Turn::Done);
        };
        // Both are asked: each forgets what it has given back.
        let rx = rings.rx.wants_interrupt(&self.memory)?;
        let tx = rings.tx.wants_interrupt(&self.memory)?;
        if rx || tx {
            self.interrupt.used_buffers();
        }
        let takes = rings.tx_offered && self.table.takes_packets();
        let gives = !rings.rx_empty && self.table.has_packets();
        Ok(if takes || gives {
            Turn::More
        } else {
            Turn::Done
        })
    }

    /// Take packets from the guest.
    fn take_packets(&mut self, streams: &mut impl Streams, now: Instant) -> Result<(), Broken> {
        let Some(rings) = &mut self.rings else {
            return Ok(());
        };
        if !rings.tx_offered {
            return Ok(());
        }
        rings.tx.no_kicks(&self.memory)?;
        let mut bytes = 0;
        for _ in 0..CHAINS_A_TURN {
            if !self.table.takes_packets() || bytes >= BYTES_A_TURN {
                return Ok(());
            }
            if !rings.tx.pop(&self.memory, &mut rings.tx_chain)? {
                rings.tx_offered = rings.tx.wait_for_kick(&self.memory)?;
                if !rings.tx_offered {
                    return Ok(());
                }
                continue;
            }
            let buffers = &rings.tx_chain.readable;
            let mut header = [0; HEADER_BYTES];
            // What is too short to say whose it is is dropped.
            if buffers.bytes() >= HEADER_BYTES {
                buffers.read(&self.memory, 0, &mut header)?;
                let header = Header::decode(&header);
                // A count that fits is right: buffers may be larger than what they carry.
                let len = header.len as usize;
                let fits = len <= PAYLOAD_MAX && len <= buffers.bytes() - HEADER_BYTES;
                let payload = if fits {
                    let payload = &mut self.payload[..len];
                    buffers.read(&self.memory, HEADER_BYTES, payload)?;
                    bytes += len;
                    Some(&*payload)
                } else {
                    None
                };
                self.table.on_packet(&header, payload, streams, now);
            }
            rings.tx.give_back(&self.memory, &rings.tx_chain, 0)?;
        }
        Ok(())
    }

    /// Give packets to the guest.
    fn give_packets(&mut self, streams: &mut impl Streams, now: Instant) -> Result<(), Broken> {
        let Some(rings) = &mut self.rings else {
            return Ok(());
        };
        if rings.rx_empty || !self.table.has_packets() {
            return Ok(());
        }
        rings.rx.no_kicks(&self.memory)?;
        let mut bytes = 0;
        for _ in 0..CHAINS_A_TURN {
            if rings.rx_empty || !self.table.has_packets() || bytes >= BYTES_A_TURN {
                break;
            }
            if !rings.rx_taken {
                if !rings.rx.pop(&self.memory, &mut rings.rx_chain)? {
                    rings.rx_empty = !rings.rx.wait_for_kick(&self.memory)?;
                    continue;
                }
                rings.rx_taken = true;
            }
            let buffers = &rings.rx_chain.writable;
            let room = buffers.bytes().saturating_sub(HEADER_BYTES);
            let mut written = 0;
            // A buffer without room for one byte behind a header is given back as it is.
            if room > 0 {
                let room = &mut self.payload[..room.min(PAYLOAD_MAX)];
                let Some((header, len)) = self.table.next_packet(room, streams, now) else {
                    break;
                };
                buffers.write(&self.memory, 0, &header.encode())?;
                buffers.write(&self.memory, HEADER_BYTES, &self.payload[..len])?;
                written = HEADER_BYTES + len;
                bytes += len;
            }
            rings.rx.give_back(&self.memory, &rings.rx_chain, written)?;
            rings.rx_taken = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
