//! Reading small files of the kernel's: one open, one read, no allocation that grows with the file.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, pread};

use crate::HostError;

/// Open a file under a directory for reading.
pub(crate) fn open(dir: impl AsFd, path: &str) -> Result<OwnedFd, Errno> {
    openat(dir, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// Open a directory as a place to look things up in.
pub(crate) fn open_directory(dir: impl AsFd, path: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(dir, path, flags, Mode::empty())
}

/// The first `N` bytes of a file under a directory, as text. The kernel's own files are ASCII, but
/// for the names that processes give themselves.
pub(crate) fn read_at<const N: usize>(dir: impl AsFd, path: &str) -> Result<String, Errno> {
    let file = open(dir, path)?;
    let mut buffer = [0u8; N];
    let length = pread(&file, &mut buffer, 0)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

/// As [`read_at`], by absolute path, blanks at both ends removed.
pub(crate) fn read(path: &str) -> Result<String, HostError> {
    let text =
        read_at::<4096>(CWD, path).map_err(|errno| HostError::system("open", path, errno))?;
    Ok(text.trim().to_owned())
}
