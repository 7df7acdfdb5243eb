//! The kernel's running count of a thread's CPU time: a software task-clock event.
//!
//! Unlike the scheduler's own number, it is brought up to date when it is read: of a thread that runs
//! elsewhere by one interrupt on that CPU (some 10 µs), of a sleeping one from memory (0.5 µs). It stays
//! readable after the thread's death. What it counts and misses is said in [`crate::Counter`].
#![allow(unsafe_code)]

use std::os::fd::{FromRawFd, OwnedFd};

use container_core::{Nanoseconds, Tid};
use rustix::io::{Errno, read};

use crate::HostError;
use crate::error::last_errno;

/// The kernel counts of one thread, from the moment of opening, its children not included.
///
/// Whoever holds the descriptor can reset the count: it is opened by the process that bills and never
/// passed on. Opening takes 15 to 40 µs, the first one of a host up to 10 ms
/// ([`PerfKeepAlive`]): open on a helper thread and hand it over.
#[derive(Debug)]
pub struct ExactCounter {
    event: OwnedFd,
    tid: Tid,
}

impl ExactCounter {
    /// Start counting a thread.
    ///
    /// Opened by number: [`Counter::attach_exact`](crate::Counter::attach_exact) makes sure that the
    /// thread still lives, and so that it is the one that was meant.
    ///
    /// # Errors
    /// [`HostError::Ended`] where no such thread lives; EACCES where kernel.perf_event_paranoid is above
    /// 2 or the thread's process is not dumpable, and we are unprivileged; EMFILE.
    pub fn open(tid: Tid) -> Result<Self, HostError> {
        let pid = i32::try_from(tid.0)
            .ok()
            .filter(|pid| *pid > 0)
            .ok_or(Errno::SRCH);
        let event = pid
            .and_then(|pid| open_event(SoftwareEvent::TaskClock, pid))
            .map_err(|errno| HostError::of_thread("perf_event_open", tid, errno))?;
        Ok(ExactCounter { event, tid })
    }

    /// The thread it counts.
    pub fn tid(&self) -> Tid {
        self.tid
    }

    /// CPU time since the opening; the last count once the thread is dead.
    ///
    /// # Errors
    /// What read(2) returns; none is known for an event that could be opened.
    pub fn count(&self) -> Result<Nanoseconds, HostError> {
        let mut count = [0u8; 8];
        match read(&self.event, &mut count) {
            Ok(8) => Ok(Nanoseconds(u64::from_ne_bytes(count))),
            Ok(_) => Err(HostError::system("read", self.object(), Errno::IO)),
            Err(errno) => Err(HostError::system("read", self.object(), errno)),
        }
    }

    fn object(&self) -> String {
        format!("the task clock of thread {}", self.tid.0)
    }
}

/// Keeps the host's perf machinery switched on.
///
/// The first perf event of a host makes the kernel patch its scheduler and wait until every CPU has
/// seen it: 8 to 10 ms; and the last one closed lets it patch back. While this lives, every other
/// opening takes microseconds. Open it on a helper thread and keep it as long as tasks are billed.
#[derive(Debug)]
pub struct PerfKeepAlive {
    _event: OwnedFd,
}

impl PerfKeepAlive {
    /// Open a disabled event that counts nothing, on the calling thread.
    ///
    /// # Errors
    /// As [`ExactCounter::open`].
    pub fn open() -> Result<Self, HostError> {
        let event = open_event(SoftwareEvent::Dummy, 0)
            .map_err(|errno| HostError::system("perf_event_open", "the calling thread", errno))?;
        Ok(PerfKeepAlive { _event: event })
    }
}

/// `enum perf_sw_ids` in linux/perf_event.h.
#[derive(Clone, Copy, PartialEq)]
enum SoftwareEvent {
    TaskClock = 1,
    Dummy = 9,
}

/// `struct perf_event_attr` as of its first version, 64 bytes, which every kernel takes.
#[repr(C)]
#[derive(Default)]
struct PerfEventAttr {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    breakpoint_type: u32,
    breakpoint_address: u64,
}

/// `pid` 0 is the calling thread.
fn open_event(event: SoftwareEvent, pid: i32) -> Result<OwnedFd, Errno> {
    const PERF_TYPE_SOFTWARE: u32 = 1;
    const DISABLED: u64 = 1 << 0;
    /// The task clock counts time in the kernel all the same; without it the unprivileged are refused.
    const EXCLUDE_KERNEL: u64 = 1 << 5;
    const ANY_CPU: i32 = -1;
    const NO_GROUP: i32 = -1;
    const PERF_FLAG_FD_CLOEXEC: u64 = 1 << 3;
    const _: () = assert!(size_of::<PerfEventAttr>() == 64);
    let disabled = if event == SoftwareEvent::Dummy {
        DISABLED
    } else {
        0
    };
    let attr = PerfEventAttr {
        kind: PERF_TYPE_SOFTWARE,
        size: size_of::<PerfEventAttr>() as u32,
        config: event as u64,
        flags: EXCLUDE_KERNEL | disabled,
        ..PerfEventAttr::default()
    };
    // SAFETY: `attr` is readable for the `size` it states; the kernel writes nothing but `size`, and
    // only where it refuses it, which it does not for 64.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attr,
            pid,
            ANY_CPU,
            NO_GROUP,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    if fd < 0 {
        return Err(last_errno());
    }
    // SAFETY: the kernel has just given us this descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
