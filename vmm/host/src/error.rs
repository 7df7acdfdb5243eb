//! Why the host's kernel did not do what was asked.

use container_core::{CpuSet, Tid};
use rustix::io::Errno;

/// What went wrong, with what it struck.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A system call failed.
    #[error("{call} on {object}: {errno}")]
    System {
        /// The call, by its name in section 2 of the manual.
        call: &'static str,
        /// What it was made on.
        object: String,
        /// What it returned.
        errno: Errno,
    },
    /// The thread or process is gone, which is an exit and not a failure.
    #[error("{object} has ended")]
    Ended {
        /// Which one.
        object: String,
    },
    /// A file of the kernel's does not hold what it is documented to hold.
    #[error("{file} holds {text:?}, which is not {expected}")]
    Malformed {
        /// The file.
        file: String,
        /// Its text, or the part that struck.
        text: String,
        /// What was looked for.
        expected: &'static str,
    },
    /// The host is not such that it could be done; what is missing and what helps.
    #[error("{what}: {remedy}")]
    Unfit {
        /// What is missing.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A file system of the kernel's is not mounted.
    #[error("{what} is not mounted")]
    NotMounted {
        /// Which.
        what: &'static str,
    },
    /// No cpu controller of the kernel's can be written to.
    #[error("the kernel's cpu controller cannot be had; cgroup-v1: {one}; cgroup-v2: {two}")]
    NoCpuController {
        /// Why not version 1.
        one: Box<HostError>,
        /// Why not version 2.
        two: Box<HostError>,
    },
    /// Only a process of one thread may fork: locks held by others would stay held in the child.
    #[error("this process has more than one thread, so it may not fork")]
    ManyThreads,
    /// The process cannot be reaped before it is dead.
    #[error("process {pid} still runs")]
    StillRunning {
        /// The process.
        pid: u32,
    },
    /// A listing is longer than what is read of it.
    #[error("{object} has more than {bound} entries")]
    TooMany {
        /// What was listed.
        object: String,
        /// How many are read at most.
        bound: usize,
    },
}

/// What the last system call of this thread returned.
pub(crate) fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

impl HostError {
    pub(crate) fn system(call: &'static str, object: impl Into<String>, errno: Errno) -> Self {
        HostError::System {
            call,
            object: object.into(),
            errno,
        }
    }

    pub(crate) fn unfit(what: String, remedy: &'static str) -> Self {
        HostError::Unfit { what, remedy }
    }

    pub(crate) fn no_cpu_controller(one: HostError, two: HostError) -> Self {
        HostError::NoCpuController {
            one: Box::new(one),
            two: Box::new(two),
        }
    }

    pub(crate) fn malformed(file: impl Into<String>, text: &str, expected: &'static str) -> Self {
        HostError::Malformed {
            file: file.into(),
            text: text.into(),
            expected,
        }
    }

    /// As [`HostError::system`], with the errnos that mean "gone" told apart.
    pub(crate) fn of_thread(call: &'static str, tid: Tid, errno: Errno) -> Self {
        match errno {
            Errno::SRCH | Errno::NOENT => HostError::Ended {
                object: format!("thread {}", tid.0),
            },
            _ => HostError::system(call, format!("thread {}", tid.0), errno),
        }
    }

    /// As [`HostError::of_thread`], for a process.
    pub(crate) fn of_process(call: &'static str, pid: u32, errno: Errno) -> Self {
        match errno {
            Errno::SRCH | Errno::NOENT => HostError::Ended {
                object: format!("process {pid}"),
            },
            _ => HostError::system(call, format!("process {pid}"), errno),
        }
    }

    /// Whether it only says that the thread or process is gone.
    pub fn is_ended(&self) -> bool {
        matches!(self, HostError::Ended { .. })
    }

    /// The kernel's errno, where one was returned.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            HostError::System { errno, .. } => Some(*errno),
            _ => None,
        }
    }
}

/// Why a thread is not confined as asked. The sets are boxed so that a pin that works stays small.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// The thread is dead. The exit is on its way by the pidfd; a plan goes on without it.
    #[error("thread {} has ended", .tid.0)]
    Ended {
        /// The thread.
        tid: Tid,
    },
    /// The kernel refused the mask, EINVAL where none of the CPUs is allowed to the thread.
    #[error("thread {} cannot be confined to CPUs {wanted}: {errno}", .tid.0)]
    Refused {
        /// The thread.
        tid: Tid,
        /// What was asked for.
        wanted: Box<CpuSet>,
        /// What sched_setaffinity(2), or reading the mask back, returned.
        errno: Errno,
    },
    /// The kernel took the mask and silently left out CPUs that are offline or outside the thread's
    /// cgroup-v1 or cgroup-v2 cpuset. The narrower mask is in force.
    #[error("thread {} was to be confined to CPUs {wanted} and is on {observed}", .tid.0)]
    Partial {
        /// The thread.
        tid: Tid,
        /// What was asked for.
        wanted: Box<CpuSet>,
        /// What is in force.
        observed: Box<CpuSet>,
    },
}
