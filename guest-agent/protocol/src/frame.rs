//! Frames: messages in a stream of bytes.
//!
//! ```text
//!   ┌─────────────────────┬──────────────────┐
//!   │ length, u32, LE     │ message, postcard│   length ≤ MAX_FRAME
//!   └─────────────────────┴──────────────────┘
//!
//!   FrameReader:  length ──▶ body ──▶ length …     anything wrong ──▶ broken, for good
//! ```
//!
//! What a reader holds is bounded by one frame. What a message of it takes is bounded too: a string is copied
//! out of bytes that have arrived, and a list makes room for no more elements than it may have
//! (`message.rs`), whatever length it claims.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::MAX_FRAME;

/// Bytes of a frame's length.
const LENGTH: usize = 4;

/// Why a frame is none. A reader that has met one is broken: where the next frame begins is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The message has this many bytes, and may have [`MAX_FRAME`].
    TooLong(usize),
    /// The bytes are no message of the type expected.
    Undecodable,
    /// The message ended this many bytes before its frame.
    Trailing(usize),
    /// The value cannot be encoded. No message of this crate is such a one.
    Unencodable,
}

impl fmt::Display for FrameError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::TooLong(length) => {
                write!(out, "a message of {length} bytes is past {MAX_FRAME}")
            }
            FrameError::Undecodable => out.write_str("a frame holds no message"),
            FrameError::Trailing(rest) => {
                write!(out, "a message ends {rest} bytes before its frame")
            }
            FrameError::Unencodable => out.write_str("a message cannot be encoded"),
        }
    }
}

impl core::error::Error for FrameError {}

/// A message as the bytes of its frame.
///
/// # Errors
/// [`FrameError::TooLong`] for a message past [`MAX_FRAME`].
pub fn encode(message: &impl Serialize) -> Result<Vec<u8>, FrameError> {
    let mut frame =
        postcard::to_extend(message, vec![0; LENGTH]).map_err(|_| FrameError::Unencodable)?;
    let length = frame.len() - LENGTH;
    match u32::try_from(length) {
        Ok(wire) if length <= MAX_FRAME => frame[..LENGTH].copy_from_slice(&wire.to_le_bytes()),
        _ => return Err(FrameError::TooLong(length)),
    }
    Ok(frame)
}

/// Takes bytes as they come, gives whole messages.
#[derive(Debug, Default)]
pub struct FrameReader {
    /// Bytes not given out yet. A frame's beginning is at `read`; what is before has been given out.
    held: Vec<u8>,
    read: usize,
    broken: Option<FrameError>,
}

impl FrameReader {
    /// A reader holds no more bytes than this: one frame.
    pub const MAX_HELD: usize = LENGTH + MAX_FRAME;

    /// A reader at the beginning of a stream.
    pub fn new() -> Self {
        FrameReader::default()
    }

    /// How many bytes [`push`](Self::push) would take now. Never 0 when [`next_message`](Self::next_message) has said that it
    /// needs more.
    pub fn room(&self) -> usize {
        Self::MAX_HELD - (self.held.len() - self.read)
    }

    /// Take bytes of the stream: as many as there is room for. Returns how many; ask for messages before
    /// pushing the rest. A broken reader takes all and forgets them.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        if self.broken.is_some() {
            return bytes.len();
        }
        self.held.drain(..self.read);
        self.read = 0;
        let taken = bytes.len().min(self.room());
        let needed = self.held.len() + taken;
        if needed > self.held.capacity() {
            // Doubled, so that bytes coming one by one are not copied each time, but not past the bound.
            let grown = needed.max(2 * self.held.capacity()).min(Self::MAX_HELD);
            self.held.reserve_exact(grown - self.held.len());
        }
        self.held.extend_from_slice(&bytes[..taken]);
        taken
    }

    /// The next whole message; None when more bytes are needed.
    ///
    /// # Errors
    /// For a length past [`MAX_FRAME`], as soon as the length is there; for a body that is not exactly one
    /// message. The same error from then on.
    pub fn next_message<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        let next = self.decode();
        if let Err(error) = next {
            self.broken = Some(error);
            self.held = Vec::new();
            self.read = 0;
        }
        next
    }

    fn decode<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let held = &self.held[self.read..];
        let Some((length, rest)) = held.split_first_chunk::<LENGTH>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length) as usize;
        if length > MAX_FRAME {
            return Err(FrameError::TooLong(length));
        }
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        let (message, trailing) =
            postcard::take_from_bytes(body).map_err(|_| FrameError::Undecodable)?;
        if !trailing.is_empty() {
            return Err(FrameError::Trailing(trailing.len()));
        }
        self.read += LENGTH + length;
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests;
