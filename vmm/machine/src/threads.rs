//! The threads of this process: their names, their tids, and those that KVM added.

use std::ffi::CStr;
use std::io;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use link::{Thread, ThreadKind};

use crate::MachineError;

/// A vCPU or device thread needs a few pages of stack; only those touched cost anything.
const STACK_BYTES: usize = 128 * 1024;

/// A joined thread's entry in /proc goes within microseconds; past this time it is not waited for.
const GONE_BOUND: Duration = Duration::from_millis(20);

/// Set the name that `ps -L` shows, at most 15 bytes.
pub(crate) fn name_this_thread(name: &CStr) {
    // The name is for people; a kernel that refuses it changes nothing else.
    let _ = rustix::thread::set_name(name);
}

/// The calling thread's id.
pub(crate) fn this_tid() -> u32 {
    rustix::thread::gettid()
        .as_raw_nonzero()
        .get()
        .unsigned_abs()
}

/// Start a thread with a small stack.
pub(crate) fn spawn(
    name: String,
    body: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, MachineError> {
    std::thread::Builder::new()
        .name(name)
        .stack_size(STACK_BYTES)
        .spawn(body)
        .map_err(MachineError::system("start a thread"))
}

/// `ours`, and after them every other thread of the process as a helper of KVM's, lowest tid first.
///
/// # Errors
/// /proc cannot be read.
pub(crate) fn with_helpers(ours: Vec<Thread>) -> Result<Vec<Thread>, MachineError> {
    let mut others = Vec::new();
    let entries = std::fs::read_dir("/proc/self/task")
        .map_err(MachineError::system("read /proc/self/task"))?;
    for entry in entries {
        let entry = entry.map_err(MachineError::system("read /proc/self/task"))?;
        let tid = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok());
        others.extend(tid.filter(|tid| ours.iter().all(|thread| thread.tid != *tid)));
    }
    others.sort_unstable();
    let helpers = (0..).zip(others).map(|(ordinal, tid)| Thread {
        kind: ThreadKind::Kvm(ordinal),
        tid,
    });
    Ok(ours.into_iter().chain(helpers).collect())
}

/// Wait, for a bounded time, until a joined thread has left /proc: whoever then hears that it has ended
/// will not find it.
pub(crate) fn wait_gone(tid: u32) {
    let path = format!("/proc/self/task/{tid}");
    let deadline = Instant::now() + GONE_BOUND;
    while Instant::now() < deadline {
        match std::fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            _ => std::thread::sleep(Duration::from_micros(50)),
        }
    }
}
