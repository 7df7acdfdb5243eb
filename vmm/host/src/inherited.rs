//! Descriptors that a process was started with.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers that have been taken.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// Take a descriptor that this process was started with, by its number, 3 to 63. Each can be taken once. It is not
/// passed on to programs that this one starts.
///
/// To be called before anything has opened a descriptor, which could have got the number of one that was not handed
/// over.
///
/// # Errors
/// EBADF where there is none of that number, or it has been taken.
pub fn take_inherited(number: i32) -> io::Result<OwnedFd> {
    let none = || io::Error::from(rustix::io::Errno::BADF);
    let bit = u32::try_from(number)
        .ok()
        .filter(|number| (3..64).contains(number))
        .ok_or_else(none)?;
    if TAKEN.fetch_or(1 << bit, Ordering::Relaxed) & 1 << bit != 0 {
        return Err(none());
    }
    // SAFETY: the descriptor is only asked for its flags, which the kernel refuses (EBADF) where there is none.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_setfd(borrowed, rustix::io::FdFlags::CLOEXEC)?;
    // SAFETY: it is open, by the call above; nobody else owns it, since it was opened before this program began and
    // each number is given out once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
