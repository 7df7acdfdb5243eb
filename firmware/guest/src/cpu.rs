//! What the processor does for ring 3: ports and halting by way of the stub's gate, and the time
//! stamp counter.

use core::arch::asm;

use crate::layout::{EXIT_PORT, RESET_PORT, RESET_PULSE};

/// Writes all of `bytes` to a port, one at a time.
pub fn out(port: u16, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    // SAFETY: the gate reads `bytes.len()` bytes from the start of `bytes`, upwards since the
    // direction flag is clear in Rust code, and returns with all else as it was. The devices behind
    // the ports this guest knows do not touch its memory.
    unsafe {
        asm!(
            "int3",
            in("dx") port,
            inout("rsi") bytes.as_ptr() => _,
            inout("rcx") bytes.len() => _,
            options(readonly, preserves_flags),
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
    // SAFETY: the gate returns with everything but RAX as it was. It touches none of this memory, but
    // other vCPUs do meanwhile: so no `nomem`.
    unsafe { asm!("int3", in("rcx") 0, out("rax") _) };
}

/// Ends this vCPU.
pub fn exit(code: u8) -> ! {
    out(EXIT_PORT, &[code]);
    halt()
}

/// Resets the machine.
pub fn reset() -> ! {
    out(RESET_PORT, &[RESET_PULSE]);
    halt()
}

/// Halts without end.
pub fn halt() -> ! {
    loop {
        wait_for_interrupt();
    }
}
