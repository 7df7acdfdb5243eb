//! Which CPUs a thread may run on, by thread id.
//!
//! These two trust the id they are given. Where the thread may have died, use
//! [`Thread::pin`](crate::Thread::pin), which re-checks it.

use container_core::{CpuSet, MAX_CPUS, Tid};
use rustix::io::Errno;
use rustix::process::Pid;
use rustix::thread::{CpuSet as Mask, sched_getaffinity, sched_setaffinity};

use crate::HostError;

// A CpuSet holds exactly what a mask of the kernel's interface holds, so none is cut short.
const _: () = assert!(MAX_CPUS == Mask::MAX_CPU);

/// Confine a thread to `cpus`.
///
/// The kernel intersects the set with the CPUs of the thread's cpuset cgroup and says nothing of
/// what it left out (sched_setaffinity(2)).
///
/// # Errors
/// [`HostError::Ended`] where no such thread lives; EINVAL where no CPU of the set is allowed to it,
/// EPERM where the thread is another user's.
pub fn set(tid: Tid, cpus: &CpuSet) -> Result<(), HostError> {
    set_mask(tid, cpus).map_err(|errno| HostError::of_thread("sched_setaffinity", tid, errno))
}

/// The CPUs a thread may run on now, those that are offline left out.
///
/// # Errors
/// [`HostError::Ended`] where no such thread lives.
pub fn get(tid: Tid) -> Result<CpuSet, HostError> {
    get_mask(tid).map_err(|errno| HostError::of_thread("sched_getaffinity", tid, errno))
}

/// As [`get`], for the calling thread.
pub(crate) fn own() -> Result<CpuSet, HostError> {
    let mask = sched_getaffinity(None)
        .map_err(|errno| HostError::system("sched_getaffinity", "the calling thread", errno))?;
    Ok(members(&mask))
}

pub(crate) fn set_mask(tid: Tid, cpus: &CpuSet) -> Result<(), Errno> {
    let mut mask = Mask::new();
    cpus.iter().for_each(|cpu| mask.set(cpu as usize));
    sched_setaffinity(Some(pid(tid)?), &mask)
}

pub(crate) fn get_mask(tid: Tid) -> Result<CpuSet, Errno> {
    sched_getaffinity(Some(pid(tid)?)).map(|mask| members(&mask))
}

/// Zero means "the caller" to the kernel: here it is no thread at all.
fn pid(tid: Tid) -> Result<Pid, Errno> {
    i32::try_from(tid.0)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or(Errno::SRCH)
}

fn members(mask: &Mask) -> CpuSet {
    // Most hosts have few CPUs: the rest of the mask is not looked at.
    let present = (0..MAX_CPUS).filter(|cpu| mask.is_set(*cpu));
    present
        .take(mask.count() as usize)
        .map(|cpu| cpu as u32)
        .collect()
}
