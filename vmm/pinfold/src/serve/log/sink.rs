//! Where lines go, and how they get there without a wait.
//!
//! Standard error is others' too: a terminal of the shell's, a pipe that a sibling writes into. O_NONBLOCK belongs to
//! the open file and not to the descriptor, so to set it would be to set it for them. A pipe or a terminal is therefore
//! opened once more, by its name in /proc, for an open file of our own. What cannot be (a socket, another user's
//! terminal) is written as it is: after poll(2) has said that there is room, and at most a pipe's atomic write at once.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, fstat};
use rustix::io::Errno;
use tokio::net::UnixDatagram;

use super::form::Form;

/// PIPE_BUF of limits.h: a pipe takes so much at once or nothing, and has room for it if it has any.
const ATOMIC_BYTES: usize = 4096;

/// Where the journal's native protocol is spoken (systemd-journald.service(8)).
const JOURNAL: &str = "/run/systemd/journal/socket";
/// Device and inode of the stream to the journal that a service's standard error is (systemd.exec(5)).
const JOURNAL_STREAM: &str = "JOURNAL_STREAM";

/// A reader that had no room is asked again after this time. A pipe holds 64 KiB, so it is not starved meanwhile.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// Where lines go.
#[derive(Debug)]
pub enum Sink {
    /// Standard error.
    Stderr(OwnedFd),
    /// The journal.
    Journal(UnixDatagram),
}

/// The journal where standard error leads there, else standard error.
///
/// # Errors
/// What fstat(2) or dup(2) return.
pub fn open() -> io::Result<(Form, Sink)> {
    if is_journal()?
        && let Ok(journal) = journal()
    {
        return Ok((Form::Journal, Sink::Journal(journal)));
    }
    let form = if io::stderr().is_terminal() {
        Form::Words
    } else {
        Form::Json
    };
    Ok((form, Sink::Stderr(own_stderr()?)))
}

fn is_journal() -> io::Result<bool> {
    let about = fstat(io::stderr())?;
    let here = format!("{}:{}", about.st_dev, about.st_ino);
    Ok(std::env::var(JOURNAL_STREAM).is_ok_and(|stream| stream == here))
}

fn journal() -> io::Result<UnixDatagram> {
    let socket = StdDatagram::unbound()?;
    socket.connect(JOURNAL)?;
    socket.set_nonblocking(true)?;
    UnixDatagram::from_std(socket)
}

/// Standard error by an open file of our own, or by a copy of its descriptor.
fn own_stderr() -> io::Result<OwnedFd> {
    let kind = FileType::from_raw_mode(fstat(io::stderr())?.st_mode);
    if matches!(kind, FileType::Fifo | FileType::CharacterDevice) {
        let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        if let Ok(own) = rustix::fs::open("/proc/self/fd/2", flags, Mode::empty()) {
            return Ok(own);
        }
    }
    io::stderr().as_fd().try_clone_to_owned()
}

impl Sink {
    /// Write the first of these bytes, once there is room for some; returns how many.
    ///
    /// # Errors
    /// The reader is gone.
    pub async fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Sink::Stderr(fd) => loop {
                match write_now(fd, bytes) {
                    Err(Errno::AGAIN) => tokio::time::sleep(ASK_AGAIN).await,
                    written => return Ok(written?),
                }
            },
            Sink::Journal(socket) => socket.send(bytes).await,
        }
    }
}

fn write_now(fd: &OwnedFd, bytes: &[u8]) -> Result<usize, Errno> {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    if poll(&mut [PollFd::new(fd, PollFlags::OUT)], Some(&now))? == 0 {
        return Err(Errno::AGAIN);
    }
    rustix::io::write(fd, &bytes[..bytes.len().min(ATOMIC_BYTES)])
}
