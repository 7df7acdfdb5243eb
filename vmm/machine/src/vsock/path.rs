//! The socket in the file system at which a host's clients find the guest.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use rustix::fs::{Mode, fchmod};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen,
    socket_with,
};

use crate::MachineError;

/// A path in a socket's address is at most this long (unix(7), `sun_path` less its NUL).
const MOST_BYTES: usize = 107;

/// What the longest port adds to it.
const LONGEST_PORT: &str = "_4294967295";

/// Clients whose connection the kernel keeps until it is taken.
const BACKLOG: i32 = 64;

/// Owner and group may connect, as users of the hybrid convention expect: connect(2) asks for the right to write.
const MODE: Mode = Mode::from_raw_mode(0o660);

/// A listening socket at a path, which goes with it.
#[derive(Debug)]
pub(super) struct Listening {
    socket: OwnedFd,
    path: String,
    /// Device and inode of the file made: what else stands at the path one day is not ours to remove.
    file: Option<(u64, u64)>,
}

impl Listening {
    /// Listen at `path`, for owner and group where the umask leaves them their rights (that of a machine process does).
    /// A socket that nobody listens at any more is replaced.
    ///
    /// # Errors
    /// [`MachineError::VsockPath`]: the path cannot be one, somebody listens there, or it is another
    /// kind of file. [`MachineError::VsockSocket`]: what the kernel refused.
    pub fn bind(path: &str) -> Result<Self, MachineError> {
        check(path).map_err(|why| MachineError::VsockPath {
            path: path.into(),
            why,
        })?;
        let failed = |error: Errno| MachineError::VsockSocket {
            path: path.into(),
            error: error.into(),
        };
        let address = SocketAddrUnix::new(path).map_err(failed)?;
        let socket = stream().map_err(failed)?;
        // The file is made with the mode of the socket, less the umask: at no time is it open to others.
        fchmod(&socket, MODE).map_err(failed)?;
        match bind(&socket, &address) {
            Err(Errno::ADDRINUSE) => {
                make_way(path, &address)?;
                bind(&socket, &address).map_err(failed)?;
            }
            bound => bound.map_err(failed)?,
        }
        let listening = Listening {
            file: identity(path),
            path: path.into(),
            socket,
        };
        listen(&listening.socket, BACKLOG).map_err(failed)?;
        Ok(listening)
    }

    /// The next client, if one waits.
    pub fn accept(&self) -> Result<OwnedFd, Errno> {
        accept_with(&self.socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)
    }
}

impl AsRawFd for Listening {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if self.file.is_some() && identity(&self.path) == self.file {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Connect to whoever listens for guests' connections to `port` beside `path`. Never waits: a full
/// backlog is an error.
pub(super) fn connect_beside(path: &str, port: u32) -> Result<OwnedFd, Errno> {
    let socket = stream()?;
    connect(&socket, &SocketAddrUnix::new(format!("{path}_{port}"))?)?;
    Ok(socket)
}

/// Can `path`, and every `path_PORT`, be a socket's?
pub(super) fn check(path: &str) -> Result<(), &'static str> {
    if path.is_empty() {
        Err("it is empty")
    } else if path.contains('\0') {
        Err("it has a NUL in it")
    } else if path.len() + LONGEST_PORT.len() > MOST_BYTES {
        Err("with _PORT after it, it is longer than 107 bytes")
    } else {
        Ok(())
    }
}

/// Remove the socket at `path` if nobody listens at it. Between the question and the removal somebody may
/// begin to: two machines must not be given one path, which is for whoever gives them out to see to.
fn make_way(path: &str, address: &SocketAddrUnix) -> Result<(), MachineError> {
    let failed = |error: io::Error| MachineError::VsockSocket {
        path: path.into(),
        error,
    };
    let taken = |why| MachineError::VsockPath {
        path: path.into(),
        why,
    };
    let file = fs::symlink_metadata(path).map_err(failed)?;
    if !file.file_type().is_socket() {
        return Err(taken("a file stands there that is no socket"));
    }
    let probe = stream().map_err(|error| failed(error.into()))?;
    match connect(&probe, address) {
        Err(Errno::CONNREFUSED) => fs::remove_file(path).map_err(failed),
        // Its backlog may be full, or it is a socket of another type: somebody's in any case.
        Ok(()) | Err(Errno::AGAIN | Errno::PROTOTYPE) => Err(taken("somebody listens there")),
        Err(errno) => Err(failed(errno.into())),
    }
}

fn stream() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

fn identity(path: &str) -> Option<(u64, u64)> {
    let file = fs::symlink_metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vsock::tests::Scratch;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn a_path_is_bound_for_owner_and_group_at_most_and_goes_with_its_machine() {
        let scratch = Scratch::new();
        let path = scratch.path("v.sock");
        let listening = Listening::bind(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & !0o660, 0, "{mode:o}");
        assert_eq!(mode & 0o600, 0o600, "{mode:o}");
        UnixStream::connect(&path).unwrap();
        drop(listening);
        assert!(fs::symlink_metadata(&path).is_err());
    }

    #[test]
    fn a_socket_left_behind_is_replaced() {
        let scratch = Scratch::new();
        let path = scratch.path("v.sock");
        drop(UnixListener::bind(&path).unwrap());
        let _listening = Listening::bind(&path).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_socket_in_use_and_a_file_that_is_none_stay() {
        let scratch = Scratch::new();
        let (live, file) = (scratch.path("live"), scratch.path("file"));
        let _listener = UnixListener::bind(&live).unwrap();
        fs::write(&file, "precious").unwrap();
        let link = scratch.path("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        for path in [&live, &file, &link] {
            let error = Listening::bind(path).unwrap_err();
            assert!(matches!(error, MachineError::VsockPath { .. }), "{error}");
        }
        UnixStream::connect(&live).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    }

    #[test]
    fn another_socket_at_the_path_is_not_removed_at_the_end() {
        let scratch = Scratch::new();
        let path = scratch.path("v.sock");
        let listening = Listening::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        drop(listening);
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_path_with_no_room_for_a_port_is_refused() {
        assert!(check(&"x".repeat(96)).is_ok());
        assert!(check(&"x".repeat(97)).is_err());
        assert!(check("").is_err());
        assert!(check("\0abstract").is_err());
    }
}
