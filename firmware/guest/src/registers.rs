//! The vsock device's registers, as the driver uses them: `virtio-drivers`' own, but for what would
//! cost exits or wait without bound.
//!
//! Every access is an exit of 25 to 38 µs. What is left of them: one write for a packet sent, unless
//! the device has said that it needs none; for a packet received mostly none (see `notify`). The
//! interrupt registers are never touched: the interrupt is an edge, and the used ring says what came.
//! Setting up takes about 60 accesses, a reset two.

use core::ptr::{NonNull, read_volatile, write_volatile};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use virtio_drivers::transport::mmio::MmioTransport;
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{PhysAddr, Result};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::clock::Clock;
use crate::failure::TIMED_OUT;
use crate::halting;
use crate::layout::{VSOCK_MMIO, VSOCK_MMIO_BYTES};

/// Offset of the register that says that there is a device.
pub const MAGIC: u64 = 0x0;
/// Offset of the status register.
pub const STATUS: u64 = 0x70;

/// What [`MAGIC`] reads as.
const MAGIC_VALUE: u32 = u32::from_le_bytes(*b"virt");

/// VIRTIO_F_INDIRECT_DESC: not taken, since a packet has two pieces at most, and a table of them would
/// be one more allocation for each.
const INDIRECT: u64 = 1 << 28;

/// How long the device may take for one packet, or for a reset.
const PATIENCE_MICROSECONDS: u64 = 10_000_000;
const NAP_MICROSECONDS: u64 = 500;

/// Buffers that the device has left when it is told of another one.
const FEW: u16 = 2;

/// Length of a queue: the driver's.
const QUEUE: u64 = 8;

const RX: u16 = 0;
const TX: u16 = 1;

/// Notifications sent since the machine began.
static KICKS: AtomicU64 = AtomicU64::new(0);

/// Notifications sent since the machine began.
pub fn kicks() -> u64 {
    KICKS.load(Relaxed)
}

/// Reads a register.
pub fn read(offset: u64) -> u32 {
    // SAFETY: the page tables map the page, uncached; offsets are those of registers, aligned. If there
    // is no device the VMM answers with something else.
    unsafe { read_volatile((VSOCK_MMIO + offset) as *const u32) }
}

/// Writes a register.
pub fn write(offset: u64, value: u32) {
    // SAFETY: as in `read`; registers are no memory that Rust knows of.
    unsafe { write_volatile((VSOCK_MMIO + offset) as *mut u32, value) };
}

/// Whether there is a device.
pub fn is_there() -> bool {
    read(MAGIC) == MAGIC_VALUE
}

/// Resets the device, and waits until it has no more to do with the guest's memory.
pub fn reset(clock: Clock) {
    write(STATUS, 0);
    let deadline = clock.deadline(PATIENCE_MICROSECONDS);
    if !halting::wait_unannounced(clock, deadline, NAP_MICROSECONDS, || read(STATUS) == 0) {
        stuck(clock, "does not reset");
    }
}

/// Gives up on a device that has memory of the guest's and does not return it: there is nothing safe
/// to be done with that memory, and no way out of the driver's own loops.
fn stuck(clock: Clock, what: &str) -> ! {
    let vcpu = halting::holder(clock);
    vcpu.print(format_args!("vsock: timed out: the device {what}"));
    vcpu.end(TIMED_OUT)
}

/// Where a queue is, for the words of it that matter here.
#[derive(Clone, Copy, Default)]
struct Rings {
    available: u64,
    used: u64,
}

impl Rings {
    /// Buffers that the device has, as far as it has said.
    fn outstanding(self) -> u16 {
        // SAFETY: both rings are the driver's, which lives as long as this; each word has one writer.
        let (available, used) = unsafe {
            (
                read_volatile((self.available + 2) as *const u16),
                read_volatile((self.used + 2) as *const u16),
            )
        };
        available.wrapping_sub(used)
    }

    /// Asks for no interrupt when a buffer of this queue is used, in both ways that there are.
    fn silence(self) {
        // SAFETY: the ring is the driver's, which does not use `flags`, and writes `used_event` only
        // when it takes a buffer back, which it is not doing now.
        unsafe {
            let next = read_volatile((self.available + 2) as *const u16);
            write_volatile(self.available as *mut u16, 1);
            let used_event = (self.available + 4 + 2 * QUEUE) as *mut u16;
            write_volatile(used_event, next.wrapping_sub(2));
        }
    }
}

/// The registers.
pub struct Registers {
    inner: MmioTransport<'static>,
    clock: Clock,
    rx: Rings,
    tx: Rings,
    introduced: bool,
}

impl Registers {
    /// The device's, or nothing if there is none, or none that this driver knows.
    pub fn new(clock: Clock) -> Option<Self> {
        if !is_there() {
            return None;
        }
        let header = NonNull::new(VSOCK_MMIO as *mut _)?;
        // SAFETY: the page tables map the page, which is a virtio-mmio device's and stays one. There is
        // one `Registers` at a time, in the channel.
        let inner = unsafe { MmioTransport::new(header, VSOCK_MMIO_BYTES as usize) }.ok()?;
        (inner.device_type() == DeviceType::Socket && !inner.requires_legacy_layout()).then_some(
            Self {
                inner,
                clock,
                rx: Rings::default(),
                tx: Rings::default(),
                introduced: false,
            },
        )
    }
}

impl Transport for Registers {
    fn device_type(&self) -> DeviceType {
        self.inner.device_type()
    }

    fn read_device_features(&mut self) -> u64 {
        self.inner.read_device_features() & !INDIRECT
    }

    fn write_driver_features(&mut self, features: u64) {
        self.inner.write_driver_features(features);
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        self.inner.max_queue_size(queue)
    }

    /// Receiving: the driver gives each buffer back as soon as it has looked at it, and would tell the
    /// device each time. But the device looks at the ring by itself when it has a packet, and waits
    /// for a notification only once it has found the ring empty; so it is told when it has few buffers,
    /// by which it has been told of the first ones after that.
    ///
    /// Sending: the driver spins without bound until the device has taken the packet. The wait is done
    /// here, where it can halt and can end. No interrupt is asked for, since the answer makes one.
    fn notify(&mut self, queue: u16) {
        if queue == RX && self.introduced && self.rx.outstanding() > FEW {
            return;
        }
        if queue == TX {
            self.tx.silence();
        }
        KICKS.fetch_add(1, Relaxed);
        self.inner.notify(queue);
        match queue {
            RX => self.introduced = true,
            TX => {
                let deadline = self.clock.deadline(PATIENCE_MICROSECONDS);
                let done = || self.tx.outstanding() == 0;
                if !halting::wait_unannounced(self.clock, deadline, NAP_MICROSECONDS, done) {
                    stuck(self.clock, "does not take what is sent");
                }
            }
            _ => {}
        }
    }

    fn get_status(&self) -> DeviceStatus {
        self.inner.get_status()
    }

    /// A reset takes time: a device that still worked on old rings would write into memory that has
    /// become something else.
    fn set_status(&mut self, status: DeviceStatus) {
        if status.is_empty() {
            reset(self.clock);
        } else {
            self.inner.set_status(status);
        }
    }

    fn set_guest_page_size(&mut self, size: u32) {
        self.inner.set_guest_page_size(size);
    }

    fn requires_legacy_layout(&self) -> bool {
        self.inner.requires_legacy_layout()
    }

    fn queue_set(
        &mut self,
        queue: u16,
        size: u32,
        descriptors: PhysAddr,
        available: PhysAddr,
        used: PhysAddr,
    ) {
        match queue {
            RX => self.rx = Rings { available, used },
            TX => {
                self.tx = Rings { available, used };
                self.tx.silence();
            }
            _ => {}
        }
        self.inner
            .queue_set(queue, size, descriptors, available, used);
    }

    /// The driver takes its queues back only when it ends, and then one reset does for all of them.
    fn queue_unset(&mut self, queue: u16) {
        if queue == RX {
            reset(self.clock);
        }
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        self.inner.queue_used(queue)
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        self.inner.ack_interrupt()
    }

    fn read_config_generation(&self) -> u32 {
        self.inner.read_config_generation()
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T> {
        self.inner.read_config_space(offset)
    }

    fn write_config_space<T: IntoBytes + Immutable>(
        &mut self,
        offset: usize,
        value: T,
    ) -> Result<()> {
        self.inner.write_config_space(offset, value)
    }
}
