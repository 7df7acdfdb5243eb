//! The bytes between a guest's agent and the supervisor.
//!
//! The machine made the socket and may keep a copy of either end, so whoever holds this end knows only
//! what he has checked: that it is a stream of the unix family. The two copies share a file
//! description, whose O_NONBLOCK the machine can clear at any time; each call here says for itself that
//! it must not wait. Descriptors that are sent along are discarded by the kernel, since none is asked
//! for.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::net::sockopt::{socket_acceptconn, socket_domain, socket_type};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, recv, send};

/// The supervisor's end of an agent's stream.
#[derive(Debug)]
pub struct AgentStream(OwnedFd);

impl AgentStream {
    /// Take a descriptor that came with [`ToSupervisor::Agent`](crate::ToSupervisor::Agent).
    ///
    /// # Errors
    /// It is not a stream socket of the unix family, or it listens. It is closed.
    pub fn from_fd(descriptor: OwnedFd) -> io::Result<Self> {
        let stream = socket_domain(&descriptor)? == AddressFamily::UNIX
            && socket_type(&descriptor)? == SocketType::STREAM
            && !socket_acceptconn(&descriptor)?;
        if stream {
            Ok(AgentStream(descriptor))
        } else {
            Err(Errno::PROTOTYPE.into())
        }
    }

    /// Read what is there, never waiting: None if nothing is now, `Some(0)` at the end. `buffer` has
    /// room for a byte at least.
    ///
    /// # Errors
    /// The stream is broken.
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match recv(&self.0, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((count, _)) => return Ok(Some(count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Write what there is room for, never waiting; 0 if there is none now.
    ///
    /// # Errors
    /// The stream is broken, or its other end is closed.
    pub fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match send(&self.0, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(count) => return Ok(count),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(0),
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl AsFd for AgentStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for AgentStream {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::MaybeUninit;
    use std::net::TcpListener;
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, sendmsg};

    #[test]
    fn only_a_unix_stream_is_taken() {
        let path = std::env::temp_dir().join(format!("agent-{}", std::process::id()));
        let others: [OwnedFd; 4] = [
            std::fs::File::open("/dev/null").unwrap().into(),
            UnixDatagram::unbound().unwrap().into(),
            TcpListener::bind("127.0.0.1:0").unwrap().into(),
            UnixListener::bind(&path).unwrap().into(),
        ];
        std::fs::remove_file(&path).unwrap();
        for other in others {
            assert!(AgentStream::from_fd(other).is_err());
        }
        assert!(AgentStream::from_fd(UnixStream::pair().unwrap().0.into()).is_ok());
    }

    #[test]
    fn no_call_waits_though_the_socket_would() {
        // Made to block, as a hostile machine would have it.
        let (ours, theirs) = UnixStream::pair().unwrap();
        let stream = AgentStream::from_fd(ours.into()).unwrap();
        let mut buffer = [0; 16];
        assert_eq!(stream.recv(&mut buffer).unwrap(), None);
        while stream.send(&[7; 4096]).unwrap() > 0 {}
        assert_eq!(stream.send(&[7]).unwrap(), 0);
        rustix::io::write(&theirs, b"hello").unwrap();
        assert_eq!(stream.recv(&mut buffer).unwrap(), Some(5));
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(stream.recv(&mut buffer).unwrap(), Some(0));
    }

    #[test]
    fn a_closed_other_end_is_an_error_and_no_signal() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let stream = AgentStream::from_fd(ours.into()).unwrap();
        drop(theirs);
        let error = stream.send(b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_descriptor_among_the_bytes_is_discarded() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let stream = AgentStream::from_fd(ours.into()).unwrap();
        let (smuggled, other) = UnixStream::pair().unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let fds = [smuggled.as_fd()];
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&fds)));
        let parts = [io::IoSlice::new(b"x")];
        sendmsg(&theirs, &parts, &mut ancillary, SendFlags::empty()).unwrap();
        drop(smuggled);
        assert_eq!(stream.recv(&mut [0; 8]).unwrap(), Some(1));
        assert_eq!(rustix::io::read(&other, &mut [0; 1][..]), Ok(0), "closed");
    }
}
