//! A script's steps as bytes: an opcode, the vCPU it is for, its operand.
//!
//! One source file, compiled into the guest, which decodes, and into the crate that hands the guest
//! out, which encodes. Numbers are little-endian.

use crate::verb::Verb;

/// Longest text of a [`Step::Print`], in bytes.
pub const MAX_TEXT_BYTES: usize = 1000;

/// One thing for a vCPU to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// Compute, for so many microseconds.
    Burn(u64),
    /// Halt, for so many microseconds.
    Sleep(u64),
    /// Write a line to the serial port.
    Print(&'a [u8]),
    /// End this vCPU.
    Exit(u8),
    /// Wait until every vCPU that has not ended has come here too.
    Barrier,
    /// Compute without end.
    Forever,
    /// Halt without end.
    Halt,
    /// Touch memory that is not mapped.
    Fault,
    /// Pulse the reset line.
    Reset,
    /// Write to each page of so many bytes of memory, from the end of what the guest needs on.
    Touch(u64),
    /// Something with the vsock device.
    Vsock(Verb<'a>),
}

/// The vCPU that a step is for; every one if none.
pub type Target = Option<u8>;

const EVERY_VCPU: u8 = 0xff;

impl<'a> Step<'a> {
    /// Hands the bytes of this step to `out`, piece by piece. A text of more than
    /// [`MAX_TEXT_BYTES`] is cut.
    pub fn encode(&self, target: Target, mut out: impl FnMut(&[u8])) {
        out(&[self.opcode(), target.unwrap_or(EVERY_VCPU)]);
        match self {
            Self::Burn(number) | Self::Sleep(number) | Self::Touch(number) => {
                out(&number.to_le_bytes());
            }
            Self::Print(text) => {
                let text = &text[..text.len().min(MAX_TEXT_BYTES)];
                out(&(text.len() as u16).to_le_bytes());
                out(text);
            }
            Self::Exit(code) => out(&[*code]),
            Self::Vsock(verb) => verb.encode(out),
            Self::Barrier | Self::Forever | Self::Halt | Self::Fault | Self::Reset => {}
        }
    }

    /// The first step in `bytes`, whom it is for, and the bytes after it. Nothing if the bytes are
    /// at their end, or are no steps.
    pub fn decode(bytes: &'a [u8]) -> Option<(Target, Self, &'a [u8])> {
        let (&[opcode, target], bytes) = bytes.split_first_chunk()?;
        let (step, rest) = match opcode {
            1 => number(bytes).map(|(n, rest)| (Self::Burn(n), rest))?,
            2 => number(bytes).map(|(n, rest)| (Self::Sleep(n), rest))?,
            3 => {
                let (length, bytes) = bytes.split_first_chunk()?;
                let (text, rest) = bytes.split_at_checked(u16::from_le_bytes(*length).into())?;
                (Self::Print(text), rest)
            }
            4 => bytes
                .split_first()
                .map(|(&code, rest)| (Self::Exit(code), rest))?,
            5 => (Self::Barrier, bytes),
            6 => (Self::Forever, bytes),
            7 => (Self::Halt, bytes),
            8 => (Self::Fault, bytes),
            9 => (Self::Reset, bytes),
            10 => Verb::decode(bytes).map(|(verb, rest)| (Self::Vsock(verb), rest))?,
            11 => number(bytes).map(|(n, rest)| (Self::Touch(n), rest))?,
            _ => return None,
        };
        Some(((target != EVERY_VCPU).then_some(target), step, rest))
    }

    fn opcode(&self) -> u8 {
        match self {
            Self::Burn(_) => 1,
            Self::Sleep(_) => 2,
            Self::Print(_) => 3,
            Self::Exit(_) => 4,
            Self::Barrier => 5,
            Self::Forever => 6,
            Self::Halt => 7,
            Self::Fault => 8,
            Self::Reset => 9,
            Self::Vsock(_) => 10,
            Self::Touch(_) => 11,
        }
    }
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u64::from_le_bytes(*number), rest))
}
