//! Lines for the serial port, each of them whole.

use core::fmt::{self, Display, Write};
use core::sync::atomic::{AtomicBool, Ordering};

use crate::clock::Clock;
use crate::cpu;
use crate::layout::SERIAL_PORT;
use crate::step::MAX_TEXT_BYTES;

/// Longest "vcpuN: " and the newline.
const FRAME_BYTES: usize = 16;

/// Held while a line goes out. KVM turns a string written to a port into an exit for each byte, so
/// the lines of two vCPUs would mix.
static SENDING: AtomicBool = AtomicBool::new(false);

/// A line in the making; what does not fit is dropped.
struct Line {
    bytes: [u8; MAX_TEXT_BYTES + FRAME_BYTES],
    length: usize,
}

impl Line {
    fn new() -> Self {
        Self {
            bytes: [0; _],
            length: 0,
        }
    }

    /// A line that begins with `vcpuN: `.
    fn of(index: u32) -> Self {
        let mut line = Self::new();
        line.push(b"vcpu");
        if index >= 10 {
            line.push(&[b'0' + (index / 10 % 10) as u8]);
        }
        line.push(&[b'0' + (index % 10) as u8]);
        line.push(b": ");
        line
    }

    /// Ends the line, for which there is always room: the rest is cut before it.
    fn end(&mut self) {
        self.length = self.length.min(self.bytes.len() - 1);
        self.push(b"\n");
    }

    fn push(&mut self, bytes: &[u8]) {
        for (slot, &byte) in self.bytes[self.length..].iter_mut().zip(bytes) {
            *slot = byte;
            self.length += 1;
        }
    }

    fn send(&self, clock: Clock) {
        clock.wait_for(|| !SENDING.swap(true, Ordering::Acquire));
        self.send_at_once();
        SENDING.store(false, Ordering::Release);
    }

    fn send_at_once(&self) {
        cpu::out(SERIAL_PORT, &self.bytes[..self.length]);
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        Ok(())
    }
}

/// Writes `vcpuN: TEXT` and a newline.
pub fn print(index: u32, text: &[u8], clock: Clock) {
    let mut line = Line::of(index);
    line.push(text);
    line.end();
    line.send(clock);
}

/// Writes `vcpuN: WHAT` and a newline.
pub fn print_args(index: u32, what: fmt::Arguments<'_>, clock: Clock) {
    let mut line = Line::of(index);
    // A `Line` never fails.
    let _ = line.write_fmt(what);
    line.end();
    line.send(clock);
}

/// Writes what a panic has to say. It waits for no line of another vCPU's, which might not end.
pub fn complain(what: &impl Display) {
    let mut line = Line::new();
    // A `Line` never fails; what does not fit is not worth a second panic.
    let _ = writeln!(line, "guest {what}");
    line.send_at_once();
}
