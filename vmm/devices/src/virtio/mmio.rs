//! The virtio-mmio register file.

/// Size of a device's register region.
pub const MMIO_BYTES: u64 = 0x1000;
/// Offset of QueueNotify: a 32-bit write of a queue's index rings the device.
pub const QUEUE_NOTIFY: u64 = 0x050;

/// What is left to do for a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MmioWrite {
    /// Nothing.
    Done,
    /// Have the device's owner activate it, and wait until it has.
    Activate,
    /// Have the device's owner reset it, and wait until it has.
    Reset,
    /// Tell the device's owner of this queue.
    Notify(u16),
}

/// The registers of one device, shared by vCPU threads and the device's owner.
#[derive(Debug, Default)]
pub struct Registers {}

impl Registers {
    /// A read of the register at `offset`. What is not there, or not read like this, reads as ones.
    pub fn read(&self, _offset: u64, data: &mut [u8]) {
        data.fill(0xff);
    }

    /// A write to the register at `offset`; ignored where there is none.
    pub fn write(&self, _offset: u64, _data: &[u8]) -> MmioWrite {
        MmioWrite::Done
    }
}
