//! virtio over MMIO: the register file a driver sets a device up by, and the rings they share.
//!
//! The device itself stands elsewhere ([`crate::Vsock`]); nothing here knows what its queues carry.

mod mmio;

pub use mmio::{MMIO_BYTES, MmioWrite, QUEUE_NOTIFY, Registers};
