//! Devices of a machine, as state machines: no thread, no descriptor but interrupt eventfds, no clock.
//!
//! A device has one owner, which alone changes it, and a register file made of atomics, from which
//! vCPU threads answer the reads that change nothing. [`Ports`] stands in front: given a vCPU's port
//! access it answers what can be answered on the spot and names what is left to do ([`PortWrite`],
//! [`PortRead`]); the machine carries that out. Everything here is driven by a guest, so nothing
//! panics, grows or loops on what a guest says: an access of a wrong size reads as ones or is ignored,
//! like an access to a port where nothing answers.

mod bus;
mod exit;
mod ports;
mod serial;
pub mod virtio;
pub mod vsock;

pub use bus::Bus;
pub use exit::{EXIT_PORT, FAULT_PORT, RESET_PORT};
pub use ports::{PortRead, PortWrite, Ports};
pub use serial::{Registers, SERIAL_GSI, SERIAL_PORT, Serial};
pub use vsock::{VSOCK_GSI, VSOCK_MMIO_ADDRESS, Vsock};

/// What a device map can be refused for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// Two devices want one port.
    #[error("ports {first:#x} to {last:#x} are partly taken")]
    Overlap {
        /// The lowest port asked for.
        first: u16,
        /// The highest port asked for.
        last: u16,
    },
}
