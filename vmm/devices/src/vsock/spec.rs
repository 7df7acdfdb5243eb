//! Numbers of VIRTIO 1.2, 5.10 (socket device), each with its section.

/// Device type (5.10.1).
pub(super) const DEVICE_ID: u32 = 19;

/// Queues (5.10.2).
pub(super) const RX_QUEUE: u16 = 0;
/// See [`RX_QUEUE`].
pub(super) const TX_QUEUE: u16 = 1;

/// The CID of the host (5.10.4).
pub(super) const HOST_CID: u64 = 2;

/// Packet types (5.10.6.2); the device does not offer the other one, SEQPACKET.
pub(super) const TYPE_STREAM: u16 = 1;

/// Operations (5.10.6).
pub(super) mod op {
    pub const REQUEST: u16 = 1;
    pub const RESPONSE: u16 = 2;
    pub const RST: u16 = 3;
    pub const SHUTDOWN: u16 = 4;
    pub const RW: u16 = 5;
    pub const CREDIT_UPDATE: u16 = 6;
    pub const CREDIT_REQUEST: u16 = 7;
}

/// Flags of a SHUTDOWN: what its sender will do no more (5.10.6.5).
pub(super) mod shutdown {
    pub const RECEIVE: u32 = 1;
    pub const SEND: u32 = 2;
    pub const BOTH: u32 = RECEIVE | SEND;
}
