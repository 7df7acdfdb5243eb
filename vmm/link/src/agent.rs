//! The bytes between a guest's agent and the supervisor.
//!
//! ```text
//!   machine                                     supervisor
//!   AgentOffer ── Agent{source_port} + a socket ──▶ AgentStream::from_fd
//!     .take()  ◀── the stream's other end, over that socket ──┘
//! ```
//!
//! The machine asks, the supervisor makes the stream. It never reads from a socket that the machine made:
//! the machine may keep a copy of it, and whoever sleeps in a read of his copy (on a page that a
//! userfaultfd or a FUSE file never delivers) holds the socket's read lock, for which recv(2) waits even
//! with MSG_DONTWAIT. So the socket that comes with the message is checked to be a stream of the unix
//! family, used for one send, which takes no such lock, and closed. Of the stream itself this end is
//! held here alone.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::net::sockopt::{socket_domain, socket_type};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recv, recvmsg, send, sendmsg,
    socketpair,
};

/// What goes with the stream's other end; a descriptor cannot travel alone.
const HANDOVER: [u8; 1] = [0];

/// The machine's side, before the supervisor has answered.
#[derive(Debug)]
pub struct AgentOffer(OwnedFd);

impl AgentOffer {
    /// An offer, and what is to be sent with [`ToSupervisor::Agent`](crate::ToSupervisor::Agent).
    ///
    /// # Errors
    /// What socketpair(2) returns.
    pub fn new() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = stream_pair()?;
        Ok((AgentOffer(ours), theirs))
    }

    /// The stream, a non-blocking socket, once the supervisor has taken the offer; None until then.
    ///
    /// # Errors
    /// The supervisor has refused it or is gone.
    pub fn take(&self) -> io::Result<Option<OwnedFd>> {
        let mut byte = [0; HANDOVER.len()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        loop {
            let mut parts = [IoSliceMut::new(&mut byte)];
            match recvmsg(&self.0, &mut parts, &mut ancillary, flags) {
                Ok(_) => break,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            }
        }
        let mut descriptors = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        });
        match descriptors.next().and_then(|mut some| some.next()) {
            Some(stream) => Ok(Some(stream)),
            None => Err(Errno::CONNREFUSED.into()),
        }
    }
}

/// The supervisor's end of an agent's stream.
#[derive(Debug)]
pub struct AgentStream(OwnedFd);

impl AgentStream {
    /// Take an offer, the descriptor that came with
    /// [`ToSupervisor::Agent`](crate::ToSupervisor::Agent). To refuse one is to drop it.
    ///
    /// # Errors
    /// It is not a stream socket of the unix family, or its other end is closed or full.
    pub fn from_fd(offer: OwnedFd) -> io::Result<Self> {
        if socket_domain(&offer)? != AddressFamily::UNIX
            || socket_type(&offer)? != SocketType::STREAM
        {
            return Err(Errno::PROTOTYPE.into());
        }
        let (ours, theirs) = stream_pair()?;
        let theirs = [theirs.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        // The space is made for the one.
        ancillary.push(SendAncillaryMessage::ScmRights(&theirs));
        let parts = [IoSlice::new(&HANDOVER)];
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        sendmsg(&offer, &parts, &mut ancillary, flags)?;
        Ok(AgentStream(ours))
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

fn stream_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        flags,
        None,
    )?)
}

impl AsFd for AgentOffer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for AgentOffer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
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
    use std::net::TcpListener;
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    /// Both ends of a stream: the supervisor's, the machine's.
    fn agreed() -> (AgentStream, UnixStream) {
        let (offer, sent) = AgentOffer::new().unwrap();
        assert!(offer.take().unwrap().is_none());
        let stream = AgentStream::from_fd(sent).unwrap();
        (stream, offer.take().unwrap().unwrap().into())
    }

    #[test]
    fn only_a_connected_unix_stream_is_taken() {
        let path = std::env::temp_dir().join(format!("agent-{}", std::process::id()));
        let others: [OwnedFd; 5] = [
            std::fs::File::open("/dev/null").unwrap().into(),
            UnixDatagram::unbound().unwrap().into(),
            TcpListener::bind("127.0.0.1:0").unwrap().into(),
            UnixListener::bind(&path).unwrap().into(),
            UnixStream::pair().unwrap().0.into(),
        ];
        std::fs::remove_file(&path).unwrap();
        for other in others {
            assert!(AgentStream::from_fd(other).is_err());
        }
    }

    #[test]
    fn an_offer_dropped_is_refused() {
        let (offer, sent) = AgentOffer::new().unwrap();
        drop(sent);
        assert!(offer.take().is_err());
    }

    #[test]
    fn whatever_a_machine_does_to_its_socket_the_stream_is_another() {
        let (offer, sent) = AgentOffer::new().unwrap();
        let kept = sent.try_clone().unwrap();
        let stream = AgentStream::from_fd(sent).unwrap();
        rustix::io::ioctl_fionbio(&kept, false).unwrap();
        rustix::io::write(&offer.0, b"not on the stream").unwrap();
        assert_eq!(stream.recv(&mut [0; 8]).unwrap(), None);
    }

    #[test]
    fn bytes_go_both_ways_and_no_call_waits() {
        let (stream, theirs) = agreed();
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
        let (stream, theirs) = agreed();
        drop(theirs);
        let error = stream.send(b"x").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_descriptor_among_the_bytes_is_discarded() {
        let (stream, theirs) = agreed();
        let (smuggled, other) = UnixStream::pair().unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let fds = [smuggled.as_fd()];
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&fds)));
        let parts = [IoSlice::new(b"x")];
        sendmsg(&theirs, &parts, &mut ancillary, SendFlags::empty()).unwrap();
        drop(smuggled);
        assert_eq!(stream.recv(&mut [0; 8]).unwrap(), Some(1));
        assert_eq!(rustix::io::read(&other, &mut [0; 1][..]), Ok(0), "closed");
    }
}
