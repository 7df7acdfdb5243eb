//! The virtio-mmio register file (VIRTIO 1.2, 4.2.2).
//!
//! Every register is an atomic word. vCPU threads answer reads and store writes by themselves; two
//! events are for the device's owner, and the vCPU that causes one waits for it:
//!
//! ```text
//!   status 0 ──ACKNOWLEDGE──DRIVER──▶ features ──FEATURES_OK──▶ queues ──DRIVER_OK──▶ live
//!      ▲        (writable: features)   kept if acceptable    (writable: queues)  │    (nothing but kicks)
//!      │                                                                      Activate
//!      └────────── owner clears everything ◀── Reset ◀── status written 0, at any time
//! ```
//!
//! Two vCPUs that race here may leave any mixture of what they wrote. The owner takes one copy of a
//! queue's words and trusts only what it has checked of that copy, so they harm their own device
//! and no more. No register is read-modify-written in a loop.

use std::sync::atomic::{AtomicU32, Ordering};

use super::QUEUE_SIZE_MAX;
use super::spec::{self, feature, interrupt, register, status};

/// Size of a device's register region.
pub const MMIO_BYTES: u64 = 0x1000;
/// Offset of QueueNotify: a 32-bit write of a queue's index there rings the device. Once DRIVER_OK is
/// set, an ioeventfd per queue can stand in its place.
pub const QUEUE_NOTIFY: u64 = register::QUEUE_NOTIFY;

/// What is left to do for a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MmioWrite {
    /// Nothing.
    Done,
    /// Have the device's owner activate it, and wait until it has.
    Activate,
    /// Have the device's owner reset it, and wait until it has.
    Reset,
    /// Tell the device's owner that this queue was rung for.
    Notify(u16),
}

/// The registers of one device.
#[derive(Debug)]
pub struct Registers {
    device_id: u32,
    offered: u64,
    /// Configuration space. It never changes, so its generation stays 0.
    config: Box<[u8]>,
    offered_half: AtomicU32,
    accepted_half: AtomicU32,
    accepted: Wide,
    selected_queue: AtomicU32,
    queues: Box<[QueueRegisters]>,
    status: AtomicU32,
    interrupt_status: AtomicU32,
}

/// A 64-bit value written by halves.
#[derive(Debug, Default)]
struct Wide {
    low: AtomicU32,
    high: AtomicU32,
}

impl Wide {
    fn get(&self) -> u64 {
        u64::from(get(&self.high)) << 32 | u64::from(get(&self.low))
    }

    fn clear(&self) {
        set(&self.low, 0);
        set(&self.high, 0);
    }
}

#[derive(Debug, Default)]
struct QueueRegisters {
    size: AtomicU32,
    ready: AtomicU32,
    descriptors: Wide,
    avail: Wide,
    used: Wide,
}

/// One queue as the driver has set it up; nothing of it is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueSetup {
    pub size: u32,
    pub ready: bool,
    pub descriptors: u64,
    pub avail: u64,
    pub used: u64,
}

fn get(word: &AtomicU32) -> u32 {
    word.load(Ordering::Acquire)
}

fn set(word: &AtomicU32, value: u32) {
    word.store(value, Ordering::Release);
}

impl Registers {
    /// The register file of a device of type `device_id` (VIRTIO 1.2, 5) with `queues` queues, that
    /// offers `features` and shows `config`.
    pub(crate) fn new(device_id: u32, features: u64, config: &[u8], queues: u16) -> Self {
        Registers {
            device_id,
            offered: features,
            config: config.into(),
            offered_half: AtomicU32::new(0),
            accepted_half: AtomicU32::new(0),
            accepted: Wide::default(),
            selected_queue: AtomicU32::new(0),
            queues: (0..queues).map(|_| QueueRegisters::default()).collect(),
            status: AtomicU32::new(0),
            interrupt_status: AtomicU32::new(0),
        }
    }

    /// A read of the register at `offset`. What is not there, or is not read in this size, reads as
    /// ones.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0xff);
        if let Some(at) = offset.checked_sub(register::CONFIG) {
            self.read_config(at, data);
        } else if let (Ok(word), Some(value)) =
            (<&mut [u8; 4]>::try_from(data), self.register(offset))
        {
            *word = value.to_le_bytes();
        }
    }

    /// A write to the register at `offset`; ignored where there is none, where it is not written in this
    /// size, and where the set-up has gone past it.
    pub fn write(&self, offset: u64, data: &[u8]) -> MmioWrite {
        let Ok(word) = <[u8; 4]>::try_from(data) else {
            return MmioWrite::Done;
        };
        let value = u32::from_le_bytes(word);
        match offset {
            register::STATUS => return self.write_status(value),
            register::QUEUE_NOTIFY => return self.notify(value),
            register::DEVICE_FEATURES_SEL => set(&self.offered_half, value),
            register::DRIVER_FEATURES_SEL => set(&self.accepted_half, value),
            register::DRIVER_FEATURES => self.write_features(value),
            register::QUEUE_SEL => set(&self.selected_queue, value),
            register::INTERRUPT_ACK => {
                self.interrupt_status.fetch_and(!value, Ordering::AcqRel);
            }
            _ => self.write_queue(offset, value),
        }
        MmioWrite::Done
    }

    fn read_config(&self, at: u64, data: &mut [u8]) {
        let size = data.len() as u64;
        let aligned = matches!(size, 1 | 2 | 4 | 8) && at.is_multiple_of(size);
        let field = usize::try_from(at)
            .ok()
            .and_then(|at| self.config.get(at..at.checked_add(data.len())?));
        if let (true, Some(field)) = (aligned, field) {
            data.copy_from_slice(field);
        }
    }

    fn register(&self, offset: u64) -> Option<u32> {
        let queue = self.queue_registers();
        Some(match offset {
            register::MAGIC => spec::MAGIC,
            register::VERSION => spec::VERSION,
            register::DEVICE_ID => self.device_id,
            register::VENDOR_ID => spec::VENDOR_ID,
            register::DEVICE_FEATURES => match get(&self.offered_half) {
                0 => self.offered as u32,
                1 => (self.offered >> 32) as u32,
                _ => 0,
            },
            // A queue that does not exist has size 0 (4.2.2.1).
            register::QUEUE_NUM_MAX => queue.map_or(0, |_| u32::from(QUEUE_SIZE_MAX)),
            register::QUEUE_READY => queue.map_or(0, |queue| get(&queue.ready)),
            register::INTERRUPT_STATUS => get(&self.interrupt_status),
            register::STATUS => get(&self.status),
            register::CONFIG_GENERATION => 0,
            // Among them the length of a shared memory region: ones say that there is none.
            _ => return None,
        })
    }

    fn write_status(&self, value: u32) -> MmioWrite {
        if value == 0 {
            return MmioWrite::Reset;
        }
        let mut bits = value & status::DRIVERS;
        if bits & status::FEATURES_OK != 0 && !self.features_acceptable() {
            bits &= !status::FEATURES_OK;
        }
        if (get(&self.status) | bits) & status::FEATURES_OK == 0 {
            bits &= !status::DRIVER_OK;
        }
        // A driver never clears a bit but by a reset (2.1.1), so bits are only added; and of two
        // vCPUs that add DRIVER_OK only one has added it.
        let before = self.status.fetch_or(bits, Ordering::AcqRel);
        if bits & !before & status::DRIVER_OK != 0 {
            return MmioWrite::Activate;
        }
        MmioWrite::Done
    }

    fn features_acceptable(&self) -> bool {
        let accepted = self.accepted.get();
        accepted & !self.offered == 0 && accepted & feature::VERSION_1 != 0
    }

    fn write_features(&self, value: u32) {
        if get(&self.status) & status::FEATURES_OK != 0 {
            return;
        }
        match get(&self.accepted_half) {
            0 => set(&self.accepted.low, value),
            1 => set(&self.accepted.high, value),
            _ => {}
        }
    }

    fn write_queue(&self, offset: u64, value: u32) {
        let Some(queue) = self.queue_registers() else {
            return;
        };
        if get(&self.status) & status::DRIVER_OK != 0 {
            return;
        }
        if offset == register::QUEUE_READY {
            return set(&queue.ready, value & 1);
        }
        if get(&queue.ready) != 0 {
            return;
        }
        match offset {
            register::QUEUE_NUM => set(&queue.size, value),
            register::QUEUE_DESC_LOW => set(&queue.descriptors.low, value),
            register::QUEUE_DESC_HIGH => set(&queue.descriptors.high, value),
            register::QUEUE_DRIVER_LOW => set(&queue.avail.low, value),
            register::QUEUE_DRIVER_HIGH => set(&queue.avail.high, value),
            register::QUEUE_DEVICE_LOW => set(&queue.used.low, value),
            register::QUEUE_DEVICE_HIGH => set(&queue.used.high, value),
            _ => {}
        }
    }

    fn notify(&self, value: u32) -> MmioWrite {
        match u16::try_from(value) {
            Ok(index) if usize::from(index) < self.queues.len() && self.driver_ok() => {
                MmioWrite::Notify(index)
            }
            _ => MmioWrite::Done,
        }
    }

    fn queue_registers(&self) -> Option<&QueueRegisters> {
        self.queues.get(get(&self.selected_queue) as usize)
    }
}

/// The owner's side.
impl Registers {
    /// Has the driver finished, and the device not failed since?
    pub(crate) fn driver_ok(&self) -> bool {
        let bits = status::DRIVER_OK | status::DEVICE_NEEDS_RESET;
        get(&self.status) & bits == status::DRIVER_OK
    }

    /// The features both sides agree on.
    pub(crate) fn features(&self) -> u64 {
        self.accepted.get() & self.offered
    }

    /// One copy of each queue's words.
    pub(crate) fn queue_setups(&self) -> impl Iterator<Item = QueueSetup> {
        self.queues.iter().map(|queue| QueueSetup {
            size: get(&queue.size),
            ready: get(&queue.ready) != 0,
            descriptors: queue.descriptors.get(),
            avail: queue.avail.get(),
            used: queue.used.get(),
        })
    }

    /// Back to the state after power-on. The status comes last: once it reads 0, all is reset.
    pub(crate) fn clear(&self) {
        for word in [
            &self.offered_half,
            &self.accepted_half,
            &self.selected_queue,
            &self.interrupt_status,
        ] {
            set(word, 0);
        }
        self.accepted.clear();
        for queue in &self.queues {
            set(&queue.ready, 0);
            set(&queue.size, 0);
            queue.descriptors.clear();
            queue.avail.clear();
            queue.used.clear();
        }
        set(&self.status, 0);
    }

    pub(super) fn note_used_buffer(&self) {
        self.interrupt_status
            .fetch_or(interrupt::USED_BUFFER, Ordering::AcqRel);
    }

    pub(super) fn note_needs_reset(&self) {
        self.status
            .fetch_or(status::DEVICE_NEEDS_RESET, Ordering::AcqRel);
        self.interrupt_status
            .fetch_or(interrupt::CONFIG_CHANGE, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests;
