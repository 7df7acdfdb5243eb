//! What a process holds of the host's memory.

use std::os::fd::OwnedFd;

use container_core::Bytes;
use rustix::fs::CWD;
use rustix::io::{Errno, pread};

use crate::{HostError, Process, procfs};

/// x86-64 has one base page size.
pub(crate) const PAGE_BYTES: u64 = 4096;

/// `/proc/PID/statm`, kept open. One descriptor; a reading takes some 3 µs, whatever the size
/// of the process.
///
/// The open file belongs to the process and not to its number.
#[derive(Debug)]
pub struct ProcessMemory {
    statm: OwnedFd,
    pid: u32,
}

impl ProcessMemory {
    /// Open the file of a process.
    ///
    /// # Errors
    /// [`HostError::Ended`] where the process is reaped already; EMFILE.
    pub fn open(process: &Process) -> Result<Self, HostError> {
        let pid = process.pid();
        let error = |errno| HostError::of_process("open", pid, errno);
        let statm = procfs::open(CWD, &format!("/proc/{pid}/statm")).map_err(error)?;
        // Opened by number: it is the right one if the process still has that number now.
        if !process.is_unreaped() {
            return Err(error(Errno::SRCH));
        }
        Ok(ProcessMemory { statm, pid })
    }

    /// Anonymous memory that is resident now, `RssAnon` of `/proc/PID/status`: of a machine the pages that its guest
    /// has touched, and the heap and stacks of its process. 0 of a zombie.
    ///
    /// # Errors
    /// [`HostError::Ended`] where the process is reaped.
    pub fn anonymous(&self) -> Result<Bytes, HostError> {
        let mut text = [0u8; 128];
        let length = pread(&self.statm, &mut text, 0)
            .map_err(|errno| HostError::of_process("pread", self.pid, errno))?;
        let text = String::from_utf8_lossy(&text[..length]);
        // size resident shared …, where what is shared is what has a file (proc(5)).
        let mut fields = text.split(' ').map(|field| field.parse::<u64>().ok());
        match (fields.nth(1).flatten(), fields.next().flatten()) {
            (Some(resident), Some(shared)) => {
                Ok(Bytes(resident.saturating_sub(shared) * PAGE_BYTES))
            }
            _ => {
                let path = format!("/proc/{}/statm", self.pid);
                Err(HostError::malformed(path, &text, "a list of page counts"))
            }
        }
    }
}
