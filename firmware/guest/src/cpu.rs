//! What the processor does for ring 3: ports, the time stamp counter, the gate that halts.

use core::arch::asm;

use crate::layout::{EXIT_PORT, RESET_PORT, RESET_PULSE};

/// Writes a byte to a port.
pub fn out(port: u16, value: u8) {
    // SAFETY: the stub's I/O bitmap allows the port, and the devices behind the ports this guest
    // knows do not touch its memory.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack)) };
}

/// Writes all of `bytes` to a port, one at a time.
pub fn out_all(port: u16, bytes: &[u8]) {
    // SAFETY: reads `bytes.len()` bytes from the start of `bytes`, upwards since the direction flag
    // is clear in Rust code; the port is as harmless as in `out`.
    unsafe {
        asm!(
            "rep outsb",
            in("dx") port,
            inout("rsi") bytes.as_ptr() => _,
            inout("rcx") bytes.len() => _,
            options(readonly, nostack, preserves_flags),
        );
    }
}

/// The time stamp counter.
pub fn timestamp() -> u64 {
    // SAFETY: CR4.TSD is clear, so ring 3 may read the counter.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Halts until an interrupt comes. One that is pending already counts.
pub fn wait_for_interrupt() {
    // SAFETY: the stub's gate returns here with everything but RAX as it was. Ring-3 memory is not
    // its concern, but the interrupt is a point in time: so no `nomem`.
    unsafe { asm!("int3", out("rax") _) };
}

/// Ends this vCPU.
pub fn exit(code: u8) -> ! {
    out(EXIT_PORT, code);
    halt()
}

/// Resets the machine.
pub fn reset() -> ! {
    out(RESET_PORT, RESET_PULSE);
    halt()
}

/// Halts without end.
pub fn halt() -> ! {
    loop {
        wait_for_interrupt();
    }
}
