//! Where a machine waits for its supervisor.
//!
//! The supervisor makes the listener and hands it to the machine process; the machine takes one peer and
//! checks by SO_PEERCRED who it is. A listener bound to a path can be found by a restarted supervisor;
//! one without a path is for machines that end with theirs.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, listen, socket_with,
};

use crate::{Link, LinkError, ToMachine, ToSupervisor};

/// A bound, listening socket of a machine.
#[derive(Debug)]
pub struct Listener(OwnedFd);

impl Listener {
    /// Bind `path`, which must not exist yet and is at most 107 bytes long.
    ///
    /// # Errors
    /// What socket(2), bind(2) and listen(2) return.
    pub fn bind(path: &Path) -> io::Result<Self> {
        let socket = socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        bind(&socket, &SocketAddrUnix::new(path)?)?;
        listen(&socket, 1)?;
        Ok(Listener(socket))
    }

    /// A listener without a path, and the one link to it, connected already: for a supervisor whose machines
    /// end with it and are not to be found by another.
    ///
    /// The kernel chooses an abstract name. Others may connect to it, but our own link is first in the
    /// backlog, which holds one, and the machine accepts one peer.
    ///
    /// # Errors
    /// What socket(2), bind(2), listen(2) and connect(2) return.
    pub fn private() -> io::Result<(Self, Link<ToMachine, ToSupervisor>)> {
        let socket = socket_with(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        bind(&socket, &SocketAddrUnix::new_unnamed())?;
        listen(&socket, 0)?;
        let name = SocketAddrUnix::try_from(rustix::net::getsockname(&socket)?)?;
        Ok((Listener(socket), connect_to(&name)?))
    }

    /// Take a listener that came by inheritance.
    pub fn from_fd(socket: OwnedFd) -> Self {
        Listener(socket)
    }

    /// Wait for a supervisor: the peer must be root or have our own uid, others are closed unheard.
    ///
    /// # Errors
    /// What accept(2) returns.
    pub fn accept(&self) -> Result<Link<ToSupervisor, ToMachine>, LinkError> {
        let own = rustix::process::getuid();
        loop {
            let peer = accept_with(&self.0, SocketFlags::CLOEXEC).map_err(io::Error::from)?;
            let uid = socket_peercred(&peer).map_err(io::Error::from)?.uid;
            if uid.is_root() || uid == own {
                return Ok(Link::new(peer));
            }
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// The supervisor's end: connect to a machine's listener. The link does not block.
///
/// # Errors
/// What socket(2) and connect(2) return.
pub fn connect(path: &Path) -> io::Result<Link<ToMachine, ToSupervisor>> {
    connect_to(&SocketAddrUnix::new(path)?)
}

fn connect_to(name: &SocketAddrUnix) -> io::Result<Link<ToMachine, ToSupervisor>> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    rustix::net::connect(&socket, name)?;
    Ok(Link::new(socket))
}
