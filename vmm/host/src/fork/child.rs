//! What every child does first, and how its parent hears that it cannot go on.

use std::os::fd::{IntoRawFd, OwnedFd, RawFd};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use crate::error::last_errno;
use crate::{HostError, Process};

/// Descriptors below this are stdin, stdout and stderr, which every child has.
pub(super) const FIRST_FREE: RawFd = 3;

/// What a child could not do.
pub(super) const UNSHARE: u8 = b'u';

/// See [`UNSHARE`].
pub(super) const EXECVE: u8 = b'e';

/// In the child: say on a pipe why it cannot go on.
pub(super) fn tell(writer: &OwnedFd, what: u8, errno: Errno) {
    let [a, b, c, d] = errno.raw_os_error().to_ne_bytes();
    let _ = rustix::io::write(writer, &[what, a, b, c, d]);
}

/// What a child said on a pipe; None where the pipe closed without a word.
pub(super) fn told(errors: &OwnedFd) -> Option<(u8, Errno)> {
    let mut word = [EXECVE, 0, 0, 0, 0];
    match retry_on_intr(|| rustix::io::read(errors, &mut word)) {
        Ok(0) => None,
        Ok(_) => {
            let [what, a, b, c, d] = word;
            let errno = Errno::from_raw_os_error(i32::from_ne_bytes([a, b, c, d]));
            Some((what, errno))
        }
        Err(errno) => Some((EXECVE, errno)),
    }
}

/// A child that could not go on ends by itself.
pub(super) fn bury(process: &Process, why: HostError) -> HostError {
    let _ = process.wait_without_reaping(false);
    let _ = process.reap();
    why
}

/// Our child, not reaped yet: the number is its own. Without a pidfd it is not let live.
pub(super) fn own_child(pid: libc::pid_t) -> Result<Process, HostError> {
    Process::open(pid as u32).inspect_err(|_| {
        // SAFETY: both calls take the number of our own unreaped child, and a null pointer is allowed.
        unsafe {
            libc::kill(pid, libc::SIGKILL);
            libc::waitpid(pid, std::ptr::null_mut(), 0);
        }
    })
}

/// In the child: die with the parent, and read nothing.
pub(super) fn enter_child(parent: Pid) -> Result<(), Errno> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // A parent that died before the call above sends nothing any more.
    if getppid() != Some(parent) {
        return Err(Errno::SRCH);
    }
    // Its own number, if it is above the standard ones, is closed with the others.
    let null = open(c"/dev/null", OFlags::RDWR, Mode::empty())?.into_raw_fd();
    duplicate_to(null, 0)
}

pub(super) fn close_range(first: RawFd, last: RawFd, flags: libc::c_uint) -> Result<(), Errno> {
    // SAFETY: called in a child only, whose copies of the closed descriptors' owners are never
    // dropped: it ends by _exit, by exec, or in the caller's code, which is told what it may close.
    let outcome = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    if outcome < 0 {
        return Err(last_errno());
    }
    Ok(())
}

/// dup2(2), without the close-on-exec flag.
pub(super) fn duplicate_to(fd: RawFd, number: RawFd) -> Result<(), Errno> {
    // SAFETY: called in a child only, where nobody owns what stood under `number` any more.
    if unsafe { libc::dup2(fd, number) } < 0 {
        return Err(last_errno());
    }
    Ok(())
}
