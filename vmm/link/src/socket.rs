//! One end of a link.

use std::io::{self, IoSlice, IoSliceMut};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recv, recvmsg, sendmsg,
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
        self.transmit(message, &[])
    }

    /// Send one message, and a copy of `descriptor` with it.
    ///
    /// # Errors
    /// As [`Link::send`]; neither is sent.
    pub fn send_with(&self, message: &S, descriptor: BorrowedFd<'_>) -> Result<(), LinkError> {
        self.transmit(message, &[descriptor])
    }

    /// Receive one message; None on a non-blocking socket that has none now.
    ///
    /// # Errors
    /// [`LinkError::Closed`] at the peer's end of file, [`LinkError::Protocol`] for a packet that is no
    /// message or carries a descriptor.
    pub fn recv(&self) -> Result<Option<R>, LinkError> {
        match self.recv_with_descriptor()? {
            Some((_, Some(_))) => Err(LinkError::Protocol("an uninvited descriptor".into())),
            received => Ok(received.map(|(message, _)| message)),
        }
    }

    /// Receive one message with the descriptor that came along, if one did and this process had room for
    /// it. Nothing is known of it but that it is CLOEXEC; which messages may have one is the caller's to
    /// check.
    ///
    /// A peer that closes with messages of ours unread makes the kernel say ECONNRESET, once, ahead of what the
    /// peer had sent (unix_release_sock in net/unix/af_unix.c): these are its last words, and still come.
    ///
    /// # Errors
    /// As [`Link::recv`], and [`LinkError::Protocol`] for more descriptors than one.
    pub fn recv_with_descriptor(&self) -> Result<Option<(R, Option<OwnedFd>)>, LinkError> {
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
                Err(Errno::INTR | Errno::CONNRESET) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(errno) => return Err(LinkError::Io(errno.into())),
            }
        };
        // Owned from here on: whatever is wrong with the packet, they are closed.
        let mut descriptors: Vec<OwnedFd> = ancillary
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            })
            .flatten()
            .collect();
        // Of too many descriptors some arrive. That none does is this process's own lack of room.
        let too_many = received.flags.contains(ReturnFlags::CTRUNC) && !descriptors.is_empty();
        if received.flags.contains(ReturnFlags::TRUNC) || too_many {
            return Err(LinkError::Protocol("a packet did not fit".into()));
        }
        let descriptor = descriptors.pop();
        if !descriptors.is_empty() {
            let count = descriptors.len() + 1;
            return Err(LinkError::Protocol(format!(
                "{count} descriptors with a message"
            )));
        }
        if received.bytes == 0 {
            return Err(LinkError::Closed);
        }
        let message = decode(&frame[..received.bytes])?;
        Ok(Some((message, descriptor)))
    }

    fn transmit(&self, message: &S, descriptors: &[BorrowedFd<'_>]) -> Result<(), LinkError> {
        let frame = postcard::to_stdvec(message)
            .map_err(|error| LinkError::Protocol(format!("unencodable: {error}")))?;
        if frame.len() > MAX_FRAME {
            return Err(LinkError::TooLong(frame.len()));
        }
        let parts = [IoSlice::new(&frame)];
        loop {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            if !descriptors.is_empty() {
                // The space is made for the one there can be.
                ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
            }
            match sendmsg(&self.socket, &parts, &mut ancillary, SendFlags::NOSIGNAL) {
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
}

impl<S, R> Link<S, R> {
    /// Bytes of the packet that waits, which may be more than a frame; None on a non-blocking socket that
    /// has none now. The end of file has no bytes.
    fn length_of_next(&self) -> Result<Option<usize>, LinkError> {
        loop {
            let flags = RecvFlags::PEEK | RecvFlags::TRUNC;
            match recv(&self.socket, &mut [0u8; 1][..], flags) {
                Ok((_, length)) => return Ok(Some(length)),
                Err(Errno::INTR | Errno::CONNRESET) => {}
                Err(Errno::AGAIN) => return Ok(None),
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
    use std::os::unix::net::UnixStream;

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
    fn last_words_are_heard_though_the_peer_has_not_read_ours() {
        for heard_before in [false, true] {
            let (link, peer) = pair();
            let peer = Link::<ToSupervisor, ToMachine>::new(peer);
            link.send(&ToMachine::Ping(1)).unwrap();
            peer.send(&ToSupervisor::Pong(1)).unwrap();
            if heard_before {
                assert_eq!(link.recv().unwrap(), Some(ToSupervisor::Pong(1)));
            }
            link.send(&ToMachine::Ping(2)).unwrap();
            peer.send(&ToSupervisor::Pong(2)).unwrap();
            drop(peer);
            if !heard_before {
                assert_eq!(link.recv().unwrap(), Some(ToSupervisor::Pong(1)));
            }
            assert_eq!(link.recv().unwrap(), Some(ToSupervisor::Pong(2)));
            assert!(matches!(link.recv(), Err(LinkError::Closed)));
        }
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

    /// Send a message with so many copies of a descriptor.
    fn send_raw(peer: &OwnedFd, message: &ToSupervisor, count: usize) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2 * MAX_FDS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let fds = vec![peer.as_fd(); count];
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&fds)));
        let frame = postcard::to_stdvec(message).unwrap();
        let parts = [IoSlice::new(&frame)];
        sendmsg(peer, &parts, &mut ancillary, SendFlags::empty()).unwrap();
    }

    /// Whatever `link` still holds of a descriptor, the other end of `probe` is closed.
    fn assert_closed(probe: &OwnedFd) {
        let mut byte = [0; 1];
        assert_eq!(rustix::io::read(probe, &mut byte), Ok(0));
    }

    #[test]
    fn an_uninvited_descriptor_ends_the_link() {
        let (link, peer) = pair();
        send_raw(&peer, &ToSupervisor::Pong(1), 1);
        assert!(matches!(link.recv(), Err(LinkError::Protocol(_))));
    }

    #[test]
    fn an_invited_descriptor_arrives_closed_on_exec() {
        let (link, peer) = pair();
        let peer = Link::<ToSupervisor, ToMachine>::new(peer);
        let (theirs, ours) = UnixStream::pair().unwrap();
        let agent = ToSupervisor::Agent { source_port: 7 };
        peer.send_with(&agent, theirs.as_fd()).unwrap();
        peer.send(&ToSupervisor::Pong(1)).unwrap();
        drop(theirs);
        let (message, descriptor) = link.recv_with_descriptor().unwrap().unwrap();
        assert_eq!(message, agent);
        let descriptor = descriptor.unwrap();
        let flags = rustix::io::fcntl_getfd(&descriptor).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        rustix::io::write(&descriptor, b"x").unwrap();
        assert_eq!(rustix::io::read(&ours, &mut [0; 8][..]), Ok(1));
        let (message, descriptor) = link.recv_with_descriptor().unwrap().unwrap();
        assert_eq!(message, ToSupervisor::Pong(1));
        assert!(descriptor.is_none());
    }

    #[test]
    fn more_descriptors_than_one_end_the_link_and_none_stays_open() {
        for count in [2, MAX_FDS, MAX_FDS + 1] {
            let (link, peer) = pair();
            send_raw(&peer, &ToSupervisor::Pong(1), count);
            assert!(
                matches!(link.recv_with_descriptor(), Err(LinkError::Protocol(_))),
                "{count}"
            );
            // Each of them was a copy of the peer's end: the last one is ours to close.
            drop(peer);
            assert_closed(&link.socket);
        }
    }

    #[test]
    fn a_descriptor_with_garbage_is_closed() {
        let (link, peer) = pair();
        let message = ToSupervisor::Failed { why: "x".repeat(9) };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let fds = [peer.as_fd()];
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&fds)));
        let frame = postcard::to_stdvec(&message).unwrap();
        let parts = [IoSlice::new(&frame[..5])];
        sendmsg(&peer, &parts, &mut ancillary, SendFlags::empty()).unwrap();
        assert!(matches!(
            link.recv_with_descriptor(),
            Err(LinkError::Protocol(_))
        ));
        drop(peer);
        assert_closed(&link.socket);
    }
}
