//! The supervisor, seen from a machine: met once, sent to with a bound on every wait.

use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use link::{Link, LinkError, Listener, MachineConfig, ToMachine, ToSupervisor, VERSION};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::MachineError;

/// A machine to which no supervisor comes gives up after this time.
const MEET_SECONDS: u64 = 10;

/// A supervisor that does not read its messages for this long counts as gone.
const SEND_BOUND: Duration = Duration::from_secs(1);

/// The link, and the listener it came from. The listener stays open, so that a later supervisor could
/// find the machine; nobody is accepted on it while this peer is served.
#[derive(Debug)]
pub(crate) struct Peer {
    link: Link<ToSupervisor, ToMachine>,
    _listener: Listener,
}

impl Peer {
    /// Wait for a supervisor, and for its order as long as its end is open: it may keep a process ready for a machine
    /// that is still to be asked for.
    ///
    /// # Errors
    /// [`MachineError::NoSupervisor`] where none comes in 10 s, or what is wrong with its first message. One of
    /// another version has been told so.
    pub fn meet(listener: Listener) -> Result<(Self, MachineConfig), MachineError> {
        let deadline = Instant::now() + Duration::from_secs(MEET_SECONDS);
        set_non_blocking(&listener)?;
        let link = loop {
            wait_until(listener.as_fd(), PollFlags::IN, Some(deadline))?;
            match listener.accept() {
                Ok(link) => break link,
                // Whoever came was not the supervisor, or has left again.
                Err(LinkError::Io(error))
                    if matches!(
                        error.kind(),
                        ErrorKind::WouldBlock | ErrorKind::ConnectionAborted
                    ) => {}
                Err(error) => return Err(error.into()),
            }
        };
        set_non_blocking(&link)?;
        let peer = Peer {
            link,
            _listener: listener,
        };
        let order = loop {
            wait_until(peer.as_fd(), PollFlags::IN, None)?;
            if let Some(order) = peer.recv()? {
                break order;
            }
        };
        match order {
            ToMachine::Create { version, machine } if version == VERSION => Ok((peer, machine)),
            ToMachine::Create { version, .. } => Err(peer.refuse(MachineError::Version {
                theirs: version,
                ours: VERSION,
            })),
            _ => Err(peer.refuse(MachineError::OutOfOrder)),
        }
    }

    /// The next message if one is here.
    ///
    /// # Errors
    /// The link is not used again.
    pub fn recv(&self) -> Result<Option<ToMachine>, LinkError> {
        self.link.recv()
    }

    /// Send, waiting at most one second for a supervisor that is slow to read.
    ///
    /// # Errors
    /// [`LinkError::Full`] when it has not read by then; the link is not used again.
    pub fn send(&self, message: &ToSupervisor) -> Result<(), LinkError> {
        self.patiently(|link| link.send(message))
    }

    /// The same, with a copy of `descriptor`.
    ///
    /// # Errors
    /// As [`Peer::send`].
    pub fn send_with(
        &self,
        message: &ToSupervisor,
        descriptor: BorrowedFd<'_>,
    ) -> Result<(), LinkError> {
        self.patiently(|link| link.send_with(message, descriptor))
    }

    fn patiently(
        &self,
        send: impl Fn(&Link<ToSupervisor, ToMachine>) -> Result<(), LinkError>,
    ) -> Result<(), LinkError> {
        let deadline = Instant::now() + SEND_BOUND;
        loop {
            match send(&self.link) {
                Err(LinkError::Full) => {}
                sent => return sent,
            }
            if wait_until(self.as_fd(), PollFlags::OUT, Some(deadline)).is_err() {
                return Err(LinkError::Full);
            }
        }
    }

    fn refuse(&self, error: MachineError) -> MachineError {
        let why = error.to_string();
        let _ = self.send(&ToSupervisor::Failed { why });
        error
    }
}

impl AsFd for Peer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.link.as_fd()
    }
}

fn set_non_blocking(socket: impl AsFd) -> Result<(), MachineError> {
    rustix::io::ioctl_fionbio(socket, true)
        .map_err(MachineError::system("set a socket to O_NONBLOCK"))
}

/// Wait for `flags` until `deadline`, which passed is an error; without one, for ever.
fn wait_until(
    fd: BorrowedFd<'_>,
    flags: PollFlags,
    deadline: Option<Instant>,
) -> Result<(), MachineError> {
    loop {
        let timeout = deadline.map(time_left);
        match poll(&mut [PollFd::from_borrowed_fd(fd, flags)], timeout.as_ref()) {
            Ok(0) => return Err(MachineError::NoSupervisor(MEET_SECONDS)),
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(MachineError::system("poll")(error)),
        }
    }
}

/// The time until `deadline`, zero once it has passed.
pub(crate) fn time_left(deadline: Instant) -> Timespec {
    let left = deadline.saturating_duration_since(Instant::now());
    Timespec {
        tv_sec: left.as_secs() as i64,
        tv_nsec: left.subsec_nanos().into(),
    }
}
