//! virtio over MMIO: the register file by which a driver sets a device up, and the rings they share.
//!
//! [`Registers`] is shared by the vCPU threads, which access it, and by the device's owner; `Ring` and
//! `Interrupt` are the owner's alone. The device itself stands elsewhere ([`crate::Vsock`]): nothing
//! here knows what its queues carry. No legacy interface, no packed rings, no queue reset.

#[cfg(test)]
pub(crate) mod driver;
mod interrupt;
mod mmio;
mod queue;
mod spec;

pub(crate) use interrupt::Interrupt;
pub use mmio::{MMIO_BYTES, MmioWrite, QUEUE_NOTIFY, Registers};
pub(crate) use queue::{Broken, Chain, Ring};
pub(crate) use spec::feature;

/// Most entries of a queue, as QueueNumMax says.
pub const QUEUE_SIZE_MAX: u16 = 256;
