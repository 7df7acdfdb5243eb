//! Who owns the host: one `serve`, or any number of private runs, but not both.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// The lock, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct HostLock {
    _file: File,
}

/// Why the lock could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// A supervisor of the whole host is there.
    #[error("a `pinfold serve` owns this host ({}): a private run beside it is refused", .0.display())]
    Served(PathBuf),
    /// So that there cannot be another.
    #[error("another `pinfold serve`, or a private run, is on this host ({}): one supervisor serves a host", .0.display())]
    Taken(PathBuf),
    /// The lock file.
    #[error("the lock file {}: {source}", .path.display())]
    File {
        /// Where it was to be.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

impl HostLock {
    /// For a private run: refused where a `serve` has the host.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn shared() -> Result<Self, LockError> {
        HostLock::take(FlockOperation::NonBlockingLockShared, LockError::Served)
    }

    /// For a `serve`: refused where another has the host, or a private run is on it.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn exclusive() -> Result<Self, LockError> {
        HostLock::take(FlockOperation::NonBlockingLockExclusive, LockError::Taken)
    }

    fn take(how: FlockOperation, refusal: fn(PathBuf) -> LockError) -> Result<Self, LockError> {
        let path = path();
        let refused = |source| LockError::File {
            path: path.clone(),
            source,
        };
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(refused)?;
        match flock(&file, how) {
            Ok(()) => Ok(HostLock { _file: file }),
            Err(Errno::AGAIN) => Err(refusal(path)),
            Err(errno) => Err(refused(errno.into())),
        }
    }
}

/// Where a supervisor keeps what outlives it: /var/lib/pinfold for root, else beside the socket.
pub fn state_directory() -> PathBuf {
    match rustix::process::geteuid().is_root() {
        true => "/var/lib/pinfold".into(),
        false => runtime_directory().join("pinfold"),
    }
}

/// Where short-lived state goes: `$XDG_RUNTIME_DIR`, else /run for root, else the temporary directory.
fn runtime_directory() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(directory) if !directory.is_empty() => directory.into(),
        _ if rustix::process::geteuid().is_root() => "/run".into(),
        _ => std::env::temp_dir(),
    }
}

/// Where a run or a supervisor is looked for: `$XDG_RUNTIME_DIR`, else /run. Never in the temporary directory, where
/// anybody could listen.
pub fn socket_path() -> PathBuf {
    let directory = std::env::var_os("XDG_RUNTIME_DIR").filter(|directory| !directory.is_empty());
    let directory = directory.map_or_else(|| PathBuf::from("/run"), PathBuf::from);
    directory.join("pinfold.sock")
}

/// Where the lock file is.
pub fn path() -> PathBuf {
    runtime_directory().join("pinfold.lock")
}
