//! Processes, held by pidfd: end them, see them end, read the witness of their CPU time, reap them.
//!
//! ```text
//!  running ──(last thread ends)──► zombie ──reap──► reaped
//!     │ pidfd becomes readable ───────┘               │
//!     │ wait_without_reaping = None   = Some(Exit)    │ everything answers Ended
//!     └ reap = StillRunning           cpu_time ┘
//! ```
//!
//! While a process is a zombie its number is not given to another, and its CPU clock stands still:
//! that is the moment to read the clock. One owner reaps; dropping a [`Process`] neither kills nor
//! reaps.
#![allow(unsafe_code)]

use std::fmt;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use container_core::Nanoseconds;
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, WaitId, WaitIdOptions, getrlimit, pidfd_open,
    pidfd_send_signal, setrlimit, waitid,
};

use crate::error::last_errno;
use crate::memory::PAGE_BYTES;
use crate::{HostError, clock, procfs};

/// A process, by pidfd and number.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    pidfd: OwnedFd,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It returned this value, 0 to 255.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl Exit {
    /// Whether it returned 0.
    pub fn is_success(self) -> bool {
        self == Exit::Code(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(out, "exit code {code}"),
            Exit::Signal(signal) => write!(out, "signal {signal}"),
        }
    }
}

/// What is left of a reaped process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// How it ended.
    pub exit: Exit,
    /// CPU time in user mode, guests' included. Split from the whole by the kernel's estimate.
    pub user: Nanoseconds,
    /// CPU time in the kernel, by the same estimate.
    pub system: Nanoseconds,
    /// The most memory it had resident at a time, in bytes.
    pub peak_resident_bytes: u64,
}

impl Process {
    /// Take hold of a process that runs already, by number. One that is not our child cannot be
    /// reaped by us, and its zombie is its parent's.
    ///
    /// # Errors
    /// [`HostError::Ended`] where there is none; EMFILE.
    pub fn open(pid: u32) -> Result<Self, HostError> {
        let error = |errno| HostError::of_process("pidfd_open", pid, errno);
        let number = i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .ok_or(Errno::SRCH);
        let pidfd = number
            .and_then(|number| pidfd_open(number, PidfdFlags::empty()))
            .map_err(error)?;
        Ok(Process { pid, pidfd })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Kill it (SIGKILL). One that is dead already is left alone, and that is no error.
    ///
    /// # Errors
    /// EPERM where the process is another user's.
    pub fn kill(&self) -> Result<(), HostError> {
        match self.signal(Signal::KILL) {
            Err(error) if error.is_ended() => Ok(()),
            outcome => outcome,
        }
    }

    /// Send it a signal.
    ///
    /// # Errors
    /// [`HostError::Ended`] where it is reaped (a zombie takes a signal without effect), EPERM.
    pub fn signal(&self, signal: Signal) -> Result<(), HostError> {
        pidfd_send_signal(&self.pidfd, signal)
            .map_err(|errno| HostError::of_process("pidfd_send_signal", self.pid, errno))
    }

    /// CPU time of all its threads, dead ones included, by the kernel's own ledger: the witness that
    /// bills are held against. Final once the process is dead; of a living one the running threads
    /// count up to their last tick.
    ///
    /// # Errors
    /// [`HostError::Ended`] where it is reaped.
    pub fn cpu_time(&self) -> Result<Nanoseconds, HostError> {
        let error = |errno| HostError::of_process("clock_gettime", self.pid, errno);
        let time = clock::process_cpu_time(self.pid).map_err(error)?;
        // Read by number: it was the right clock if the process still has that number now.
        if !self.is_unreaped() {
            return Err(error(Errno::SRCH));
        }
        Ok(time)
    }

    /// How it ended, leaving it a zombie; None with `nohang` where it has not.
    ///
    /// # Errors
    /// ECHILD where it is reaped, or not our child.
    pub fn wait_without_reaping(&self, nohang: bool) -> Result<Option<Exit>, HostError> {
        let mut options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        options.set(WaitIdOptions::NOHANG, nohang);
        let status = retry_on_intr(|| waitid(WaitId::PidFd(self.pidfd.as_fd()), options))
            .map_err(|errno| HostError::of_process("waitid", self.pid, errno))?;
        Ok(status.map(|status| match status.exit_status() {
            Some(code) => Exit::Code(code),
            None => Exit::Signal(status.terminating_signal().unwrap_or_default()),
        }))
    }

    /// Reap the zombie. Never waits.
    ///
    /// # Errors
    /// [`HostError::StillRunning`] where it is not dead; ECHILD where it is reaped, or not our child.
    pub fn reap(&self) -> Result<End, HostError> {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        let mut usage = MaybeUninit::<libc::rusage>::zeroed();
        let options = libc::WEXITED | libc::WNOHANG;
        // SAFETY: the kernel fills both structures, which are of its own layout and outlive the call.
        // The C library's wrapper would not pass the fifth argument on.
        let outcome = unsafe {
            let (id, pidfd) = (libc::P_PIDFD, self.pidfd.as_raw_fd());
            let (info, usage) = (info.as_mut_ptr(), usage.as_mut_ptr());
            libc::syscall(libc::SYS_waitid, id, pidfd, info, options, usage)
        };
        if outcome < 0 {
            return Err(HostError::of_process("waitid", self.pid, last_errno()));
        }
        // SAFETY: all zeroes are a valid value of either, and so is what the kernel wrote over them.
        let (info, usage) = unsafe { (info.assume_init(), usage.assume_init()) };
        // SAFETY: waitid sets the fields of the SIGCHLD variant, or leaves zeroes.
        let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
        if pid == 0 {
            return Err(HostError::StillRunning { pid: self.pid });
        }
        Ok(End {
            exit: if info.si_code == libc::CLD_EXITED {
                Exit::Code(status)
            } else {
                Exit::Signal(status)
            },
            user: nanoseconds(usage.ru_utime),
            system: nanoseconds(usage.ru_stime),
            // In KiB (getrusage(2)).
            peak_resident_bytes: usage.ru_maxrss as u64 * 1024,
        })
    }

    /// Memory it has resident now, in bytes; 0 of a zombie.
    ///
    /// # Errors
    /// [`HostError::Ended`] where it is reaped.
    pub fn resident_bytes(&self) -> Result<u64, HostError> {
        let path = format!("/proc/{}/statm", self.pid);
        let error = |errno| HostError::of_process("open", self.pid, errno);
        let text = procfs::read_at::<128>(rustix::fs::CWD, &path).map_err(error)?;
        if !self.is_unreaped() {
            return Err(error(Errno::SRCH));
        }
        let pages = text
            .split(' ')
            .nth(1)
            .and_then(|field| field.parse::<u64>().ok());
        pages
            .map(|pages| pages * PAGE_BYTES)
            .ok_or_else(|| HostError::malformed(path, &text, "a list of page counts"))
    }

    /// Whether it still has its number: running, or a zombie.
    pub(crate) fn is_unreaped(&self) -> bool {
        // SAFETY: no pointer but a null one, which the call allows; signal 0 only looks.
        let outcome = unsafe {
            let no_info = std::ptr::null::<libc::siginfo_t>();
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.pidfd.as_raw_fd(),
                0,
                no_info,
                0,
            )
        };
        // Another user's process refuses the signal, and so exists.
        outcome == 0 || std::io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
    }
}

/// The pidfd: readable once the process is dead.
impl AsFd for Process {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// Raise the limit of open descriptors to the highest we may set, and answer with it. A machine of
/// the supervisor needs some three a thread.
///
/// # Errors
/// What setrlimit(2) returns.
pub fn raise_descriptor_limit() -> Result<u64, HostError> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        setrlimit(
            Resource::Nofile,
            Rlimit {
                current: maximum,
                maximum,
            },
        )
        .map_err(|errno| HostError::system("setrlimit", "RLIMIT_NOFILE", errno))?;
    }
    Ok(maximum.unwrap_or(u64::MAX))
}

fn nanoseconds(time: libc::timeval) -> Nanoseconds {
    Nanoseconds(time.tv_sec as u64 * 1_000_000_000 + time.tv_usec as u64 * 1000)
}
