//! The tiny guest: runs a script on every vCPU it has.
//!
//! A stub in assembly holds the page tables, the descriptor tables and everything else that needs
//! ring 0; all Rust is in ring 3, where it runs at full speed even where KVM emulates ring 0. The
//! interrupt flag is off in ring 3 and is only ever on while a vCPU is halted in the stub's gate.
//!
//! It knows nothing the boot page does not tell it. The vsock verbs make it an agent of the host's
//! supervisor as well: only they use the allocator and set up a device.

#![no_std]
#![no_main]

extern crate alloc;

mod barrier;
mod change;
mod channel;
mod clock;
mod connection;
mod cpu;
mod failure;
mod halting;
mod heap;
mod intrinsics;
mod ioapic;
mod kept;
mod lapic;
// Parts of these files are for the VMM's side.
#[allow(dead_code)]
mod layout;
mod memory;
mod net;
mod registers;
mod run;
mod samples;
mod serial;
mod session;
#[allow(dead_code)]
mod step;
mod vcpu;
#[allow(dead_code)]
mod verb;
mod verbs;

use core::arch::global_asm;
use core::panic::PanicInfo;

use layout::{BOOT_PAGE, BootHeader};

#[global_allocator]
static MEMORY: memory::Heap = memory::Heap::new();

global_asm!(
    include_str!("stub.s"),
    image = const layout::IMAGE,
    slots = const layout::SLOTS,
    slot_bytes = const layout::SLOT_BYTES,
    stacks = const layout::STACKS,
    stack_bytes = const layout::STACK_BYTES,
    max_vcpus = const layout::MAX_VCPUS,
    fault_port = const layout::FAULT_PORT,
    options(att_syntax),
);

// The stub shifts by these.
const _: () = assert!(layout::SLOT_BYTES == 1 << 8 && layout::STACK_BYTES == 1 << 14);

/// Where the stub leaves ring 0: on the stack of vCPU `index`.
#[unsafe(no_mangle)]
extern "C" fn main(index: u32) -> ! {
    let (header, script) = boot_page();
    run::script(index, &header, script)
}

fn boot_page() -> (BootHeader, &'static [u8]) {
    let start = BOOT_PAGE as *const u8;
    // SAFETY: the VMM put the boot page there before the first vCPU ran, it lies outside of the
    // image and nothing ever writes to it; it is mapped, and bytes have no alignment.
    let header = unsafe { &*start.cast::<[u8; BootHeader::BYTES]>() };
    let Some(header) = BootHeader::decode(header) else {
        panic!("no boot page")
    };
    let length = header.script_bytes as usize;
    // SAFETY: as above; `decode` made sure that the length stays within the region.
    let script = unsafe { core::slice::from_raw_parts(start.add(BootHeader::BYTES), length) };
    (header, script)
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    serial::complain(info);
    cpu::exit(layout::PANIC_CODE)
}
