//! One end of a link.

use std::io::{self, IoSliceMut};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags, recv, recvmsg,
    send,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// No message is longer, in bytes.
pub const MAX_FRAME: usize = 64 * 1024;

/// Room for this many descriptors in a packet, so that a peer that sends some is caught doing so.
const MAX_FDS: usize = 4;

/// Why a link is not used any more.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The peer has closed its end.
    #[error("the peer closed the link")]
    Closed,
    /// The peer broke the protocol.
    #[error("the peer broke the link's protocol: {0}")]
    Protocol(String),
    /// The message to be sent is longer than [`MAX_FRAME`].
    #[error("a message of {0} bytes does not fit a frame of {MAX_FRAME}")]
    TooLong(usize),
    /// The socket is full: the peer does not read.
    #[error("the peer does not read its messages")]
    Full,
    /// The kernel refused.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// One end: sends `S`, receives `R`.
#[derive(Debug)]
pub struct Link<S, R> {
    socket: OwnedFd,
    says: PhantomData<fn(S) -> R>,
}

impl<S: Serialize, R: DeserializeOwned> Link<S, R> {
    /// Take a connected SOCK_SEQPACKET socket. Whether it blocks is its maker's choice.
    pub fn new(socket: OwnedFd) -> Self {
        Link {
            socket,
            says: PhantomData,
        }
    }

    /// Send one message.
    ///
    /// # Errors
    /// [`LinkError::Full`] on a non-blocking socket whose peer does not read; the message is not sent.
    pub fn send(&self, message: &S) -> Result<(), LinkError> {
        let frame = postcard::to_stdvec(message)
            .map_err(|error| LinkError::Protocol(format!("unencodable: {error}")))?;
        if frame.len() > MAX_FRAME {
            return Err(LinkError::TooLong(frame.len()));
        }
        loop {
            match send(&self.socket, &frame, SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Err(LinkError::Full),
                Err(Errno::PIPE | Errno::CONNRESET | Errno::NOTCONN) => {
                    return Err(LinkError::Closed);
                }
                Err(errno) => return Err(LinkError::Io(errno.into())),
            }
        }
    }

    /// Receive one message; None on a non-blocking socket that has none now.
    ///
    /// # Errors
    /// [`LinkError::Closed`] at the peer's end of file, [`LinkError::Protocol`] for a packet that is no
    /// message.
    pub fn recv(&self) -> Result<Option<R>, LinkError> {
        // Room for the packet that waits and no more: most are a few bytes, and pages of a large buffer
        // cost more than asking.
        let Some(waits) = self.length_of_next()? else {
            return Ok(None);
        };
        let mut frame = vec![0u8; waits.clamp(1, MAX_FRAME)];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let mut parts = [IoSliceMut::new(&mut frame)];
            match recvmsg(
                &self.socket,
                &mut parts,
                &mut ancillary,
                RecvFlags::CMSG_CLOEXEC,
            ) {
                Ok(received) => break received,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::CONNRESET) => return Err(LinkError::Closed),
                Err(errno) => return Err(LinkError::Io(errno.into())),
            }
        };
        // Descriptors that came along are owned by the drained messages and closed with them.
        let fds: usize = ancillary
            .drain()
            .map(|message| match message {
                RecvAncillaryMessage::ScmRights(fds) => fds.count(),
                _ => 0,
            })
            .sum();
        if received
            .flags
            .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
        {
            return Err(LinkError::Protocol("a packet did not fit".into()));
        }
        if fds > 0 {
            return Err(LinkError::Protocol(format!("{fds} uninvited descriptors")));
        }
        if received.bytes == 0 {
            return Err(LinkError::Closed);
        }
        decode(&frame[..received.bytes]).map(Some)
    }
}

impl<S, R> Link<S, R> {
    /// Bytes of the packet that waits, which may be more than a frame; None on a non-blocking socket that
    /// has none now. The end of file has no bytes.
    fn length_of_next(&self) -> Result<Option<usize>, LinkError> {
        loop {
            let flags = RecvFlags::PEEK | RecvFlags::TRUNC;
            match recv(&self.socket, &mut [0u8; 1][..], flags) {
                Ok((_, length)) => return Ok(Some(length)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(Errno::CONNRESET) => return Err(LinkError::Closed),
                Err(errno) => return Err(LinkError::Io(errno.into())),
            }
        }
    }
}

/// A whole message and nothing after it.
fn decode<R: DeserializeOwned>(frame: &[u8]) -> Result<R, LinkError> {
    match postcard::take_from_bytes(frame) {
        Ok((message, [])) => Ok(message),
        Ok((_, rest)) => Err(LinkError::Protocol(format!(
            "{} bytes after a message",
            rest.len()
        ))),
        Err(error) => Err(LinkError::Protocol(format!("undecodable: {error}"))),
    }
}

impl<S, R> AsFd for Link<S, R> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl<S, R> AsRawFd for Link<S, R> {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ToMachine, ToSupervisor};
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    fn pair() -> (Link<ToMachine, ToSupervisor>, OwnedFd) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (a, b) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        (Link::new(a), b)
    }

    #[test]
    fn garbage_a_tail_and_an_empty_packet_end_the_link() {
        for bytes in [&[0xff; 40][..], &[0u8][..]] {
            let (link, peer) = pair();
            rustix::io::write(&peer, bytes).unwrap();
            assert!(
                matches!(link.recv(), Err(LinkError::Protocol(_))),
                "{bytes:?}"
            );
        }
        let (link, peer) = pair();
        let mut frame = postcard::to_stdvec(&ToSupervisor::Pong(3)).unwrap();
        frame.push(0);
        rustix::io::write(&peer, &frame).unwrap();
        assert!(matches!(link.recv(), Err(LinkError::Protocol(_))));
    }

    #[test]
    fn a_message_arrives_as_it_was_sent_and_then_the_end() {
        let (link, peer) = pair();
        let peer = Link::<ToSupervisor, ToMachine>::new(peer);
        assert!(link.recv().unwrap().is_none());
        peer.send(&ToSupervisor::Pong(7)).unwrap();
        assert_eq!(link.recv().unwrap(), Some(ToSupervisor::Pong(7)));
        link.send(&ToMachine::Go).unwrap();
        assert_eq!(peer.recv().unwrap(), Some(ToMachine::Go));
        drop(peer);
        assert!(matches!(link.recv(), Err(LinkError::Closed)));
    }

    #[test]
    fn a_frame_over_the_cap_is_refused_on_either_side() {
        let (link, peer) = pair();
        rustix::io::write(&peer, &vec![0u8; MAX_FRAME + 1]).unwrap();
        assert!(matches!(link.recv(), Err(LinkError::Protocol(_))));
        let sender = Link::<ToSupervisor, ToMachine>::new(peer);
        let why = "x".repeat(MAX_FRAME);
        assert!(matches!(
            sender.send(&ToSupervisor::Failed { why }),
            Err(LinkError::TooLong(_))
        ));
    }

    #[test]
    fn an_uninvited_descriptor_ends_the_link() {
        let (link, peer) = pair();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = rustix::net::SendAncillaryBuffer::new(&mut space);
        let fds = [peer.as_fd()];
        assert!(ancillary.push(rustix::net::SendAncillaryMessage::ScmRights(&fds)));
        let frame = postcard::to_stdvec(&ToSupervisor::Pong(1)).unwrap();
        let parts = [io::IoSlice::new(&frame)];
        rustix::net::sendmsg(&peer, &parts, &mut ancillary, SendFlags::empty()).unwrap();
        assert!(matches!(link.recv(), Err(LinkError::Protocol(_))));
    }
}
