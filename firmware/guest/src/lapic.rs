//! The local interrupt controller's timer, one shot at a time.
//!
//! Register offsets are those of the Intel SDM, volume 3A, table 12-1. KVM's timer counts at 1 GHz
//! before its divider (`APIC_BUS_CYCLE_NS`), so a count is in nanoseconds with a divider of one.

const BASE: u64 = 0xfee0_0000;
const SPURIOUS: u64 = 0xf0;
const TIMER: u64 = 0x320;
const INITIAL_COUNT: u64 = 0x380;
const DIVIDE: u64 = 0x3e0;

/// Bit 8 turns the controller on; the rest is the vector of spurious interrupts.
const ON: u32 = 0x100 | 0x2f;

/// One shot, not masked, at the vector that the stub answers.
const ONE_SHOT: u32 = 0x20;

const DIVIDE_BY_ONE: u32 = 0b1011;

/// Longest single shot: what a count holds is 4.29 s.
pub const MAX_NANOSECONDS: u64 = 4_000_000_000;

/// Turns the controller on: until then it loses the interrupts sent to it.
pub fn turn_on() {
    write(SPURIOUS, ON);
}

/// Has the timer interrupt this vCPU once, in `nanoseconds`, at most [`MAX_NANOSECONDS`].
///
/// Sets everything each time: a sleep is rare, and a flag for "done already" would be one more
/// thing to hold for each vCPU.
pub fn arm(nanoseconds: u64) {
    turn_on();
    write(DIVIDE, DIVIDE_BY_ONE);
    write(TIMER, ONE_SHOT);
    write(INITIAL_COUNT, nanoseconds.clamp(1, MAX_NANOSECONDS) as u32);
}

fn write(register: u64, value: u32) {
    // SAFETY: the page tables map the controller's page, uncached; it is this vCPU's own, aligned,
    // and its registers are no memory that Rust knows of.
    unsafe { ((BASE + register) as *mut u32).write_volatile(value) };
}
