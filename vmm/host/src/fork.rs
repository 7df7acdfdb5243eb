//! Starting processes: by fork, which is the quickest, and by running another program.
//!
//! What every child has in common: it dies with the thread that started it (PR_SET_PDEATHSIG, which
//! follows the *thread*: start children from one that lives as long as they are to), it reads
//! /dev/null, and of our descriptors it has only stdout, stderr and those it was given. Between fork
//! and the caller's code nothing allocates and nothing takes a lock.
//!
//! A forked child is a copy of this process with its one thread, so it may run any Rust code. It never
//! returns into its parent's frames: whatever `child` does, the process ends where it ends, with
//! nothing flushed and nothing dropped above it. Values that `child` owns may close only descriptors
//! that were kept.
#![allow(unsafe_code)]

mod child;
mod program;

use std::io::Write;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::getpid;
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::error::last_errno;
use crate::{HostError, Namespaces, Process};
use child::{FIRST_FREE, UNSHARE, bury, close_range, enter_child, own_child, tell, told};
pub use program::{spawn_process, spawn_process_in};

/// Exit code of a forked child that could not be set up; `child` has not run.
pub const SETUP_FAILED: u8 = 125;

/// Exit code of a child that panicked, as the Rust runtime has it.
const PANICKED: u8 = 101;

/// Fork, run `child` in the copy, and end it with the value it returns.
///
/// The child keeps `keep` under the same numbers. Signal dispositions and masks are inherited.
///
/// # Errors
/// [`HostError::ManyThreads`] where the calling process has more than one thread; EAGAIN, ENOMEM,
/// EMFILE.
pub fn fork_process(
    keep: &[BorrowedFd<'_>],
    child: impl FnOnce() -> u8,
) -> Result<Process, HostError> {
    fork_process_in(Namespaces::NONE, keep, child)
}

/// As [`fork_process`], the child in namespaces of its own. Returns once it is in them.
///
/// # Errors
/// Those of [`fork_process`], and of unshare(2): EPERM without the right to administer the system.
pub fn fork_process_in(
    namespaces: Namespaces,
    keep: &[BorrowedFd<'_>],
    child: impl FnOnce() -> u8,
) -> Result<Process, HostError> {
    require_one_thread()?;
    let refused = |errno| HostError::system("unshare", namespaces.to_string(), errno);
    let pipe = (!namespaces.is_empty()).then(|| pipe_with(PipeFlags::CLOEXEC));
    let (errors, writer) = pipe.transpose().map_err(refused)?.unzip();
    let mut kept: Vec<RawFd> = keep.iter().map(AsRawFd::as_raw_fd).collect();
    kept.sort_unstable();
    // Half a line in the buffer would be written by parent and child both.
    let _ = std::io::stdout().flush();
    let parent = getpid();
    // SAFETY: the child has no other thread to miss, and never leaves this call.
    let process = unsafe {
        fork(|| {
            if let Some(writer) = &writer
                && let Err(errno) = namespaces.enter()
            {
                tell(writer, UNSHARE, errno);
                return SETUP_FAILED;
            }
            // The pipe's end is among what is closed: the child stands where it is to stand.
            let ready = enter_child(parent).and_then(|()| close_all_but(&kept));
            match ready {
                Ok(()) => catch_unwind(AssertUnwindSafe(child)).unwrap_or(PANICKED),
                Err(_) => SETUP_FAILED,
            }
        })
    }?;
    drop(writer);
    match errors.and_then(|errors| told(&errors)) {
        None => Ok(process),
        Some((_, errno)) => Err(bury(&process, refused(errno))),
    }
}

/// A thread asks the kernel to be alone: it refuses in company, and does nothing where it is true
/// (unshare(2), CLONE_THREAD).
fn require_one_thread() -> Result<(), HostError> {
    let alone = UnshareFlags::from_bits_retain(libc::CLONE_THREAD as u32);
    // SAFETY: CLONE_FILES is not among the flags, so no descriptor table is parted.
    match unsafe { unshare_unsafe(alone) } {
        Ok(()) => Ok(()),
        Err(Errno::INVAL) => Err(HostError::ManyThreads),
        Err(errno) => Err(HostError::system("unshare", "this process", errno)),
    }
}

/// Fork, run `child` in the copy, and end it there with the value returned.
///
/// # Safety
/// `child` runs in a copy of the process that has the calling thread only: where there are others, it
/// may do no more than what signal-safety(7) lists.
unsafe fn fork(child: impl FnOnce() -> u8) -> Result<Process, HostError> {
    // SAFETY: passed on to the caller.
    match unsafe { libc::fork() } {
        -1 => Err(HostError::system("fork", "this process", last_errno())),
        0 => {
            let code = child();
            // SAFETY: ends the process without running what its parent wanted run at its own end.
            unsafe { libc::_exit(code.into()) }
        }
        pid => own_child(pid),
    }
}

/// In the child: close every descriptor from 3 on that is not in the sorted list.
fn close_all_but(kept: &[RawFd]) -> Result<(), Errno> {
    let mut first = FIRST_FREE;
    for fd in kept.iter().copied().filter(|fd| *fd >= FIRST_FREE) {
        if first < fd {
            close_range(first, fd - 1, 0)?;
        }
        first = fd + 1;
    }
    close_range(first, RawFd::MAX, 0)
}
