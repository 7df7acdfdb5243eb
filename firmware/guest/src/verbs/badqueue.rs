//! A malformed send queue, set up by hand: what the device makes of it.
//!
//! Offsets and bits are those of virtio 1.2, sections 4.2.2 and 2.1; the ring's layout is section 2.7.

use core::ptr::NonNull;
use core::sync::atomic::{Ordering, fence};

use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE};

use crate::channel::Channel;
use crate::failure::Failure;
use crate::halting;
use crate::memory::OneToOne;
use crate::registers::{self, STATUS, write};
use crate::verb::BadQueue;

const DRIVER_FEATURES: u64 = 0x20;
const DRIVER_FEATURES_SEL: u64 = 0x24;
const QUEUE_SEL: u64 = 0x30;
const QUEUE_NUM: u64 = 0x38;
const QUEUE_READY: u64 = 0x44;
const QUEUE_NOTIFY: u64 = 0x50;
const QUEUE_DESC: u64 = 0x80;
const QUEUE_DRIVER: u64 = 0x90;
const QUEUE_DEVICE: u64 = 0xa0;

const ACKNOWLEDGE_AND_DRIVER: u32 = 3;
const FEATURES_OK: u32 = 8;
const DRIVER_OK: u32 = 4;
const ALL_WELL: u32 = ACKNOWLEDGE_AND_DRIVER | FEATURES_OK | DRIVER_OK;

const QUEUES: u32 = 3;
const TX: u32 = 1;
const QUEUE_SIZE: u32 = 8;

/// Where the parts of a queue are in its page.
const AVAILABLE: usize = 128;
const USED: usize = 256;
const PACKET: usize = 1024;

const HEADER_BYTES: u32 = 44;
const NEXT: u16 = 1;

/// An address that no machine has: 3 GiB of memory is the most.
const OUTSIDE: u64 = 0xffff_ffff_0000;

/// How long the device may take to notice.
const PATIENCE_MICROSECONDS: u64 = 500_000;
const NAP_MICROSECONDS: u64 = 1_000;

/// Sets the queue up, tells the device, and prints the device's status once that has changed or half a
/// second has passed.
pub fn run(channel: &mut Channel, kind: BadQueue) -> Result<(), Failure> {
    let vcpu = channel.vcpu();
    channel.drop_net();
    if !registers::is_there() {
        return Err(Failure::NoDevice);
    }
    let (_, pages) = OneToOne::dma_alloc(QUEUES as usize, BufferDirection::Both);
    registers::reset(vcpu.clock);
    set_up(pages);
    fill(page(pages, TX), kind);
    write(QUEUE_NOTIFY, TX);
    let deadline = vcpu.clock.deadline(PATIENCE_MICROSECONDS);
    let changed = || registers::read(STATUS) != ALL_WELL;
    halting::wait_unannounced(vcpu.clock, deadline, NAP_MICROSECONDS, changed);
    let status = registers::read(STATUS);
    registers::reset(vcpu.clock);
    // SAFETY: allocated above for as many pages; the reset device has no more to do with them.
    unsafe { OneToOne::dma_dealloc(pages.addr().get() as u64, pages, QUEUES as usize) };
    let kind = kind.name();
    vcpu.print(format_args!("badqueue {kind}: status {status:#04x}"));
    Ok(())
}

fn page(pages: NonNull<u8>, queue: u32) -> NonNull<u8> {
    // SAFETY: there is a page for each queue, and `queue` is one.
    unsafe { pages.add(queue as usize * PAGE_SIZE) }
}

fn set_up(pages: NonNull<u8>) {
    write(STATUS, ACKNOWLEDGE_AND_DRIVER);
    // VIRTIO_F_VERSION_1, bit 32, and nothing else.
    write(DRIVER_FEATURES_SEL, 1);
    write(DRIVER_FEATURES, 1);
    write(DRIVER_FEATURES_SEL, 0);
    write(DRIVER_FEATURES, 0);
    write(STATUS, ACKNOWLEDGE_AND_DRIVER | FEATURES_OK);
    for queue in 0..QUEUES {
        let page = page(pages, queue).addr().get();
        write(QUEUE_SEL, queue);
        write(QUEUE_NUM, QUEUE_SIZE);
        for (register, offset) in [
            (QUEUE_DESC, 0),
            (QUEUE_DRIVER, AVAILABLE),
            (QUEUE_DEVICE, USED),
        ] {
            write(register, (page + offset) as u32);
            write(register + 4, 0);
        }
        write(QUEUE_READY, 1);
    }
    write(STATUS, ALL_WELL);
}

fn fill(page: NonNull<u8>, kind: BadQueue) {
    let packet = (page.addr().get() + PACKET) as u64;
    match kind {
        BadQueue::Loop => {
            describe(page, 0, packet, HEADER_BYTES, NEXT, 1);
            describe(page, 1, packet, HEADER_BYTES, NEXT, 0);
        }
        BadQueue::Outside => describe(page, 0, OUTSIDE, HEADER_BYTES, 0, 0),
        BadQueue::Empty => describe(page, 0, packet, 0, 0, 0),
        BadQueue::Jump => describe(page, 0, packet, HEADER_BYTES, 0, 0),
    }
    let available: u16 = if kind == BadQueue::Jump { 1000 } else { 1 };
    // SAFETY: the index of the available ring lies in the page and is aligned; the device only reads it.
    unsafe {
        page.add(AVAILABLE + 2)
            .cast::<u16>()
            .write_volatile(available);
    }
    fence(Ordering::SeqCst);
}

fn describe(page: NonNull<u8>, at: usize, address: u64, length: u32, flags: u16, next: u16) {
    // SAFETY: descriptors of 16 bytes, of which there are eight, begin the page; all fields are aligned,
    // and the device only reads them, once it is told.
    unsafe {
        let descriptor = page.add(16 * at);
        descriptor.cast::<u64>().write_volatile(address);
        descriptor.add(8).cast::<u32>().write_volatile(length);
        descriptor.add(12).cast::<u16>().write_volatile(flags);
        descriptor.add(14).cast::<u16>().write_volatile(next);
    }
}
