//! The I/O interrupt controller: where the vsock device's interrupt goes.
//!
//! Registers are those of the Intel 82093AA, reached through an index and a window.

use crate::cpu;
use crate::layout::VSOCK_GSI;

const SELECT: *mut u32 = 0xfec0_0000 as *mut u32;
const WINDOW: *mut u32 = 0xfec0_0010 as *mut u32;

/// The first of the redirection entries, two registers each.
const ENTRIES: u32 = 0x10;

/// Fixed delivery to one processor, active high, edge triggered, not masked, at the vector that the
/// stub answers.
const VECTOR: u32 = 0x21;

/// The mask register of the first 8259.
const PIC_MASK: u16 = 0x21;

/// Masks all lines of the old interrupt controller. KVM raises a line at both, and the first vCPU takes
/// what the old one has, at whatever vector that was left with: 5, an exception, for the device's.
pub fn silence_pic() {
    cpu::out(PIC_MASK, &[0xff]);
}

/// Sends the vsock device's interrupt to vCPU `index`, whose local controller must be on. (KVM gives
/// a vCPU's local controller the vCPU's number as its id.)
pub fn route_vsock_to(index: u32) {
    let entry = ENTRIES + 2 * VSOCK_GSI;
    write(entry + 1, index << 24);
    write(entry, VECTOR);
}

fn write(register: u32, value: u32) {
    // SAFETY: the page tables map the controller's page, uncached; both addresses are aligned, and its
    // registers are no memory that Rust knows of. Only the vCPU that holds the channel comes here.
    unsafe {
        SELECT.write_volatile(register);
        WINDOW.write_volatile(value);
    }
}
