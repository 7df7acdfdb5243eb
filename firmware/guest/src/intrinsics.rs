//! What compiled Rust calls by name and a hosted program finds in its C library.
//!
//! The bodies are string instructions, not loops: the compiler would turn a loop that copies into a
//! call of the very function it stands in.

use core::arch::asm;

/// The precompiled `core` names it; nothing unwinds here.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// The precompiled `alloc` calls it where a clean-up during unwinding ends; nothing unwinds here.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    crate::cpu::exit(crate::layout::PANIC_CODE)
}

/// # Safety
///
/// As C's `memcpy`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    // SAFETY: the caller vouches for both ranges; the direction flag is clear in Rust code.
    unsafe {
        asm!(
            "rep movsb",
            inout("rcx") length => _, inout("rdi") to => _, inout("rsi") from => _,
            options(nostack, preserves_flags),
        );
    }
    to
}

/// # Safety
///
/// As C's `memmove`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    if to.addr().wrapping_sub(from.addr()) >= length {
        // SAFETY: the start of `to` is not inside of `from`, so an upward copy reads no byte that
        // it has written; the caller vouches for the rest.
        return unsafe { memcpy(to, from, length) };
    }
    // SAFETY: the caller vouches for both ranges, neither of which is empty here; the direction
    // flag is put back as Rust code expects it.
    unsafe {
        asm!(
            "std", "rep movsb", "cld",
            inout("rcx") length => _,
            inout("rdi") to.add(length - 1) => _,
            inout("rsi") from.add(length - 1) => _,
            options(nostack),
        );
    }
    to
}

/// # Safety
///
/// As C's `memset`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: i32, length: usize) -> *mut u8 {
    // SAFETY: the caller vouches for the range; the direction flag is clear in Rust code.
    unsafe {
        asm!(
            "rep stosb",
            inout("rcx") length => _, inout("rdi") to => _, in("al") byte as u8,
            options(nostack, preserves_flags),
        );
    }
    to
}

/// # Safety
///
/// As C's `memcmp`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, length: usize) -> i32 {
    for at in 0..length {
        // SAFETY: the caller vouches for `length` bytes of both. Volatile keeps this a loop.
        let (x, y) = unsafe { (a.add(at).read_volatile(), b.add(at).read_volatile()) };
        if x != y {
            return i32::from(x) - i32::from(y);
        }
    }
    0
}

/// # Safety
///
/// As POSIX's `bcmp`.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, length: usize) -> i32 {
    // SAFETY: the obligations are the same.
    unsafe { memcmp(a, b, length) }
}
