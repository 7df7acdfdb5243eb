//! One vsock connection, as the guest sees it.
//!
//! ```text
//!  connect ──▶ Asked ──response──▶ Open ──peer's shutdown──▶ HalfClosed
//!                │                  │                            │
//!                └──────reset───────┴───────────reset────────────┴──▶ Gone
//! ```
//!
//! This sends nothing: that is `net`'s.

use alloc::collections::VecDeque;

use virtio_drivers::device::socket::{
    ConnectionInfo, SocketError, VMADDR_CID_HOST, VsockAddr, VsockEvent,
};

/// What a connection holds of bytes that nobody has taken: what the host may send without hearing
/// from the guest.
pub const BUFFER_BYTES: usize = 128 * 1024;

/// A connection between a port of the guest and one of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow {
    /// The guest's port.
    pub local: u32,
    /// The port of CID 2.
    pub remote: u32,
}

impl Flow {
    /// The connection that a packet from the host belongs to.
    pub fn of(event: &VsockEvent) -> Self {
        Self {
            local: event.destination.port,
            remote: event.source.port,
        }
    }
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Asked for.
    Asked,
    /// There.
    Open,
    /// The host will send no more.
    HalfClosed,
    /// Refused, or over.
    Gone,
}

/// What is known of a connection.
pub struct Connection {
    /// Its ports.
    pub flow: Flow,
    /// What the driver puts into its packets.
    pub info: ConnectionInfo,
    /// How far it has come.
    pub phase: Phase,
    /// Bytes that have come and that nobody has taken.
    pub received: VecDeque<u8>,
    /// Bytes taken since the host was last told, by any packet, how many there were.
    pub untold: usize,
    /// What was sent, and what the host has told of its side: the driver keeps all three to itself.
    pub sent: u32,
    allocated: u32,
    forwarded: u32,
}

impl Connection {
    /// One in that phase.
    pub fn new(flow: Flow, phase: Phase) -> Self {
        let peer = VsockAddr {
            cid: VMADDR_CID_HOST,
            port: flow.remote,
        };
        let mut info = ConnectionInfo::new(peer, flow.local);
        info.buf_alloc = BUFFER_BYTES as u32;
        Self {
            flow,
            info,
            phase,
            received: VecDeque::new(),
            untold: 0,
            sent: 0,
            allocated: 0,
            forwarded: 0,
        }
    }

    /// Bytes that the host has room for.
    pub fn credit(&self) -> usize {
        let under_way = self.sent.wrapping_sub(self.forwarded);
        self.allocated.saturating_sub(under_way) as usize
    }

    /// Notes what a packet's header says of credit.
    pub fn update(&mut self, event: &VsockEvent) {
        self.info.update_for_event(event);
        self.allocated = event.buffer_status.buffer_allocation;
        self.forwarded = event.buffer_status.forward_count;
    }
}

/// Puts a packet's bytes, and what its header says of credit, where they belong.
pub fn deliver(
    connections: &mut [Connection],
    event: &VsockEvent,
    body: &[u8],
) -> virtio_drivers::Result<()> {
    let flow = Flow::of(event);
    let Some(connection) = connections.iter_mut().find(|found| found.flow == flow) else {
        return Ok(());
    };
    connection.update(event);
    if connection.received.len() + body.len() > BUFFER_BYTES {
        return Err(SocketError::OutputBufferTooShort(body.len()).into());
    }
    connection.received.extend(body);
    Ok(())
}
