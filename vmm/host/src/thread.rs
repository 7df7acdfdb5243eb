//! Threads of other processes, held so that a reused thread id is never taken for the dead one.

use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use container_core::{CpuSet, Tid};
use rustix::fs::{AtFlags, CWD, RawDir, openat, statat};
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, pread};

use crate::{CounterReading, HostError, PinError, Process, affinity, counter, procfs};

/// No more threads of one process are listed: a machine of 256 vCPUs has not 300.
pub const MAX_THREADS: usize = 4096;

/// `/proc/PID/task`, kept open.
///
/// The open directory belongs to the process and not to its number: once the process is reaped
/// nothing is found in it any more, whoever has the number then.
#[derive(Debug)]
pub struct TaskDirectory {
    directory: OwnedFd,
    pid: u32,
}

impl TaskDirectory {
    /// Open the directory of a process.
    ///
    /// # Errors
    /// [`HostError::Ended`] where the process is reaped already; EMFILE.
    pub fn open(process: &Process) -> Result<Self, HostError> {
        let pid = process.pid();
        let directory = procfs::open_directory(CWD, &format!("/proc/{pid}/task"))
            .map_err(|errno| HostError::of_process("open", pid, errno))?;
        // Opened by number: it is the right one if the process still has that number now.
        if !process.is_unreaped() {
            return Err(HostError::of_process("open", pid, Errno::SRCH));
        }
        Ok(TaskDirectory { directory, pid })
    }

    /// The threads that live now, and the main thread until the process is reaped; ascending.
    ///
    /// # Errors
    /// [`HostError::Ended`] where the process is reaped, [`HostError::TooMany`] past [`MAX_THREADS`].
    pub fn tids(&self) -> Result<Vec<Tid>, HostError> {
        let error = |errno| HostError::of_process("getdents64", self.pid, errno);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let listing = openat(&self.directory, ".", flags, Mode::empty()).map_err(error)?;
        let mut buffer = [MaybeUninit::<u8>::uninit(); 4096];
        let mut entries = RawDir::new(&listing, &mut buffer);
        let mut tids = Vec::new();
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(error)?;
            let number = entry
                .file_name()
                .to_str()
                .ok()
                .and_then(|name| name.parse().ok());
            if let Some(number) = number {
                if tids.len() == MAX_THREADS {
                    let object = format!("/proc/{}/task", self.pid);
                    return Err(HostError::TooMany {
                        object,
                        bound: MAX_THREADS,
                    });
                }
                tids.push(Tid(number));
            }
        }
        tids.sort_unstable();
        Ok(tids)
    }

    /// Whether a thread of this process has this id now.
    ///
    /// # Errors
    /// What fstatat(2) returns, but for the errnos that mean no.
    pub fn contains(&self, tid: Tid) -> Result<bool, HostError> {
        match statat(
            &self.directory,
            tid.0.to_string(),
            AtFlags::SYMLINK_NOFOLLOW,
        ) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT | Errno::SRCH) => Ok(false),
            Err(errno) => Err(HostError::of_thread("fstatat", tid, errno)),
        }
    }

    /// Device and inode of the namespace that each thread is in, by the kind's name under `/proc/PID/ns`.
    ///
    /// # Errors
    /// EACCES without the right to trace the process; [`HostError::Ended`] where a thread has ended.
    pub(crate) fn namespaces(&self, kind: &str) -> Result<Vec<(u64, u64)>, HostError> {
        let of_thread = |tid: Tid| {
            let path = format!("{}/ns/{kind}", tid.0);
            let about = statat(&self.directory, &*path, AtFlags::empty())
                .map_err(|errno| HostError::of_thread("fstatat", tid, errno))?;
            Ok((about.st_dev, about.st_ino))
        };
        self.tids()?.into_iter().map(of_thread).collect()
    }

    /// Take hold of a thread of this process.
    ///
    /// # Errors
    /// [`HostError::Ended`] where no thread of this process has this id; EMFILE.
    pub fn open_thread(&self, tid: Tid) -> Result<Thread, HostError> {
        let error = |errno| HostError::of_thread("open", tid, errno);
        let directory =
            procfs::open_directory(&self.directory, &tid.0.to_string()).map_err(error)?;
        let schedstat = procfs::open(&directory, "schedstat").map_err(error)?;
        Ok(Thread {
            tid,
            directory,
            schedstat: Arc::new(schedstat),
        })
    }
}

/// Where a thread was found, and how it has spent its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Whereabouts {
    /// The CPU that it runs on, or ran on last.
    pub cpu: u32,
    /// Its time in user mode since its birth, guest mode included, in ticks of USER_HZ.
    pub user_ticks: u64,
    /// Its time in the kernel since its birth, in the same.
    pub system_ticks: u64,
}

impl Whereabouts {
    /// From the text of proc_pid_stat(5).
    fn parse(stat: &str) -> Option<Whereabouts> {
        // The name before it may have any character, parentheses included; the third field follows the last.
        let (_, rest) = stat.rsplit_once(") ")?;
        let field = |number: usize| rest.split(' ').nth(number - 3)?.trim().parse::<u64>().ok();
        Some(Whereabouts {
            cpu: u32::try_from(field(39)?).ok()?,
            user_ticks: field(14)?,
            system_ticks: field(15)?,
        })
    }
}

/// One thread: its directory in /proc and its schedstat file, both kept open. Two descriptors.
#[derive(Debug)]
pub struct Thread {
    tid: Tid,
    directory: OwnedFd,
    schedstat: Arc<OwnedFd>,
}

impl Thread {
    /// The thread's id: a label.
    pub fn tid(&self) -> Tid {
        self.tid
    }

    /// Whether the thread can still run. A main thread that has ended before the others, or whose process
    /// is dead and not reaped, cannot.
    pub fn is_alive(&self) -> bool {
        let stat = procfs::read_at::<512>(&self.directory, "stat").unwrap_or_default();
        // The name before it may have any character, parentheses included; the state follows the last.
        let state = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.chars().next());
        state.is_some_and(|state| !matches!(state, 'Z' | 'X' | 'x'))
    }

    /// Confine the thread to `cpus`, and answer with what is in force.
    ///
    /// The mask is set by number, so the thread is looked up in its own directory before and after.
    /// A thread that is still there afterwards has had its number all the time, and what was set and
    /// read back was its mask. One that died long ago is never touched; one that dies between the two
    /// calls, a microsecond, could in theory leave its number to a newcomer of another process, which
    /// then has our mask: the kernel knows no way to name a thread in sched_setaffinity(2) but by
    /// number, and hands numbers out in a circle.
    ///
    /// # Errors
    /// See [`PinError`]. After [`PinError::Partial`] the narrower mask is in force.
    pub fn pin(&self, cpus: &CpuSet) -> Result<CpuSet, PinError> {
        self.pin_and_read(cpus).map(|(observed, _)| observed)
    }

    /// As [`Thread::pin`], and what schedstat said in the look after: where the mask has changed, the
    /// scheduler has just summed the thread's time up.
    ///
    /// # Errors
    /// See [`PinError`].
    pub fn pin_and_read(&self, cpus: &CpuSet) -> Result<(CpuSet, CounterReading), PinError> {
        let tid = self.tid;
        let refused = |errno| match errno {
            Errno::SRCH => PinError::Ended { tid },
            errno => PinError::Refused {
                tid,
                wanted: Box::new(*cpus),
                errno,
            },
        };
        self.must_exist().map_err(refused)?;
        affinity::set_mask(tid, cpus).map_err(refused)?;
        let observed = affinity::get_mask(tid).map_err(refused)?;
        let written = self.read_schedstat().map_err(refused)?;
        if observed != *cpus {
            let (wanted, observed) = (Box::new(*cpus), Box::new(observed));
            return Err(PinError::Partial {
                tid,
                wanted,
                observed,
            });
        }
        Ok((observed, written))
    }

    /// The CPUs the thread may run on now, those that are offline left out.
    ///
    /// # Errors
    /// [`HostError::Ended`] where the thread is dead.
    pub fn observed_cpus(&self) -> Result<CpuSet, HostError> {
        let observed = affinity::get(self.tid)?;
        self.must_exist()
            .map_err(|errno| HostError::of_thread("pread", self.tid, errno))?;
        Ok(observed)
    }

    /// The thread's name, at most 15 bytes. Whoever runs the thread chooses it.
    ///
    /// # Errors
    /// [`HostError::Ended`] where the thread is dead.
    pub fn comm(&self) -> Result<String, HostError> {
        procfs::read_at::<64>(&self.directory, "comm")
            .map(|name| name.trim_end_matches('\n').to_owned())
            .map_err(|errno| HostError::of_thread("open", self.tid, errno))
    }

    /// What schedstat says of the thread now: a microsecond, no interrupt, and of a running thread up to a tick behind.
    ///
    /// # Errors
    /// [`HostError::Ended`] where the thread is dead.
    pub fn schedstat_now(&self) -> Result<CounterReading, HostError> {
        self.read_schedstat()
            .map_err(|errno| HostError::of_thread("pread", self.tid, errno))
    }

    /// Where the thread is. Costs an open and a read, some microseconds: the file is not kept open, since a
    /// descriptor more for each thread is dear and a look each second is not.
    ///
    /// # Errors
    /// [`HostError::Ended`] where the thread is dead; EIO for a file of another form.
    pub fn whereabouts(&self) -> Result<Whereabouts, HostError> {
        let error = |errno| HostError::of_thread("pread", self.tid, errno);
        let stat = procfs::read_at::<1024>(&self.directory, "stat").map_err(error)?;
        Whereabouts::parse(&stat).ok_or_else(|| error(Errno::IO))
    }

    pub(crate) fn schedstat(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.schedstat)
    }

    /// ESRCH once the thread is gone: its files belong to it, not to its number.
    fn read_schedstat(&self) -> Result<CounterReading, Errno> {
        let mut text = [0u8; 80];
        let length = pread(&*self.schedstat, &mut text, 0)?;
        counter::parse(&text[..length]).ok_or(Errno::IO)
    }

    pub(crate) fn must_exist(&self) -> Result<(), Errno> {
        let mut byte = [0u8; 1];
        pread(&*self.schedstat, &mut byte, 0).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_found_whatever_it_calls_itself() {
        let numbers: Vec<String> = (4..=52).map(|number| number.to_string()).collect();
        let stat = format!("7 (a) b) (S 1) R {}\n", numbers.join(" "));
        let found = Whereabouts::parse(&stat);
        let expected = Whereabouts {
            cpu: 39,
            user_ticks: 14,
            system_ticks: 15,
        };
        assert_eq!(found, Some(expected));
        for cut in ["", "7 (a) R 1 2 3", "7 (a", "7 (a) "] {
            assert_eq!(Whereabouts::parse(cut), None, "{cut:?}");
        }
    }
}
