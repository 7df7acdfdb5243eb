//! Where the serial port's output goes: a pipe that the supervisor reads.
//!
//! vCPU threads write to it themselves, without a hop to `io`. The law allows it: a transmitted byte
//! that changes no register is not state of the device any more, and the pipe is the kernel's, which
//! orders its writers. It is also the shortest path there is (one write(2), 1 to 2 µs, against about
//! 100 µs for asking `io`, measured on a machine where a wake-up crosses two hypervisors), and it bills
//! output to the vCPU that makes it.
//!
//! KVM hands over a string instruction one byte at a time, so the output of two vCPUs that print at
//! once is mixed byte by byte, as at a real serial port; guests take turns at it by a lock of theirs.
//!
//! The pipe is the only buffer. While it is full, the vCPU that wants to write stays outside of the
//! guest (see `vcpu`): a guest that prints faster than it is read is slowed down, nobody else is.
//! A reader that takes nothing for [`PATIENCE`] makes the console *stalled*: from then on output is
//! dropped at once, and counted, until the reader takes something again; the stream then says how much
//! is missing.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use crate::MachineError;

/// How long a vCPU waits for a reader that takes nothing.
pub(crate) const PATIENCE: Duration = Duration::from_millis(250);

/// One wait for the reader; a vCPU looks at its mailbox in between.
const SLICE: Duration = Duration::from_millis(10);

/// Strings up to this length enter a pipe whole or not at all (Linux: 4096).
const PIPE_BUF: usize = 4096;

/// The console. Clones write to the same one.
#[derive(Clone, Debug)]
pub(crate) struct Console(Arc<Sink>);

#[derive(Debug)]
struct Sink {
    pipe: OwnedFd,
    /// A byte has gone out.
    begun: AtomicBool,
    /// The reader took nothing for [`PATIENCE`].
    stalled: AtomicBool,
    /// Bytes dropped that the stream does not tell of yet.
    lost: AtomicU64,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    /// This many bytes went out, or were dropped; the others wait for the reader.
    pub taken: usize,
    /// CLOCK_MONOTONIC, in nanoseconds, right after the machine's first byte had gone out.
    pub first_at_ns: Option<u64>,
}

impl Console {
    /// # Errors
    /// The pipe cannot be made non-blocking.
    pub fn new(pipe: OwnedFd) -> Result<Self, MachineError> {
        rustix::io::ioctl_fionbio(&pipe, true)
            .map_err(MachineError::system("set the console to O_NONBLOCK"))?;
        Ok(Console(Arc::new(Sink {
            pipe,
            begun: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            lost: AtomicU64::new(0),
        })))
    }

    /// Write as much as fits now. On a stalled console what does not fit is dropped.
    pub fn write(&self, bytes: &[u8]) -> Written {
        let mut written = Written::default();
        if self.tell_losses() {
            for string in bytes.chunks(PIPE_BUF) {
                match self.write_string(string) {
                    Ok(0) | Err(Errno::AGAIN) => break,
                    Ok(count) => {
                        written.first_at_ns = written.first_at_ns.or_else(|| self.begin());
                        written.taken += count;
                    }
                    Err(_) => {
                        // Nobody will ever read it.
                        self.lose(bytes.len() - written.taken);
                        written.taken = bytes.len();
                        return written;
                    }
                }
            }
        }
        if written.taken > 0 {
            self.0.stalled.store(false, Ordering::Relaxed);
        } else if self.0.stalled.load(Ordering::Relaxed) {
            self.lose(bytes.len());
            written.taken = bytes.len();
        }
        written
    }

    /// Wait a little for room; whoever waits long looks at its mailbox in between.
    pub fn wait(&self) {
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: SLICE.subsec_nanos().into(),
        };
        let _ = poll(&mut [self.room()], Some(&timeout));
    }

    /// Give up on a reader that takes nothing, and on `bytes`.
    pub fn give_up(&self, bytes: usize) {
        self.0.stalled.store(true, Ordering::Relaxed);
        self.lose(bytes);
    }

    /// Count `bytes` as dropped.
    pub fn lose(&self, bytes: usize) {
        self.0.lost.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Have the stream tell what it lacks, waiting for the reader until `deadline` at most.
    pub fn finish(&self, deadline: Instant) {
        while !self.tell_losses() && Instant::now() < deadline {
            self.wait();
        }
    }

    /// True once the stream tells of all that was dropped.
    fn tell_losses(&self) -> bool {
        if self.0.lost.load(Ordering::Relaxed) == 0 {
            return true;
        }
        let lost = self.0.lost.swap(0, Ordering::Relaxed);
        let note = format!("\n[console: {lost} bytes lost]\n");
        let told = lost == 0 || self.write_string(note.as_bytes()) != Err(Errno::AGAIN);
        if !told {
            self.0.lost.fetch_add(lost, Ordering::Relaxed);
        }
        told
    }

    fn write_string(&self, string: &[u8]) -> Result<usize, Errno> {
        rustix::io::retry_on_intr(|| rustix::io::write(&self.0.pipe, string))
    }

    fn begin(&self) -> Option<u64> {
        if self.0.begun.load(Ordering::Relaxed) || self.0.begun.swap(true, Ordering::Relaxed) {
            return None;
        }
        let now = clock_gettime(ClockId::Monotonic);
        Some(now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs())
    }

    fn room(&self) -> PollFd<'_> {
        PollFd::from_borrowed_fd(self.0.pipe.as_fd(), PollFlags::OUT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, pipe_with};

    fn console() -> (Console, OwnedFd) {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        rustix::io::ioctl_fionbio(&reader, true).unwrap();
        (Console::new(writer).unwrap(), reader)
    }

    fn drain(reader: &OwnedFd) -> Vec<u8> {
        let mut all = Vec::new();
        let mut some = [0; 4096];
        while let Ok(count @ 1..) = rustix::io::read(reader, &mut some) {
            all.extend_from_slice(&some[..count]);
        }
        all
    }

    fn fill(console: &Console) -> usize {
        std::iter::repeat_with(|| console.write(&[b'.'; 4096]).taken)
            .take_while(|taken| *taken > 0)
            .sum()
    }

    #[test]
    fn only_the_first_byte_is_stamped() {
        let (console, reader) = console();
        assert!(console.write(b"a").first_at_ns.is_some());
        assert_eq!(console.write(b"b").first_at_ns, None);
        assert_eq!(drain(&reader), b"ab");
    }

    #[test]
    fn a_full_pipe_takes_nothing_and_loses_nothing() {
        let (console, reader) = console();
        let filled = fill(&console);
        assert_eq!(console.write(b"late").taken, 0);
        assert_eq!(drain(&reader).len(), filled);
        assert_eq!(console.write(b"late").taken, 4);
        assert_eq!(drain(&reader), b"late");
    }

    #[test]
    fn a_stalled_console_drops_at_once_and_the_stream_tells_how_much() {
        let (console, reader) = console();
        fill(&console);
        console.give_up(10);
        assert_eq!(console.write(&[b'x'; 32]).taken, 32);
        drain(&reader);
        assert_eq!(console.write(b"back").taken, 4);
        assert_eq!(drain(&reader), b"\n[console: 42 bytes lost]\nback");
        fill(&console);
        assert_eq!(console.write(b"held").taken, 0, "no longer stalled");
    }

    #[test]
    fn without_a_reader_output_is_dropped_and_nobody_waits() {
        let (console, reader) = console();
        drop(reader);
        assert_eq!(console.write(b"void").taken, 4);
        console.finish(Instant::now() + Duration::from_secs(60));
    }
}
