//! The channel between a guest's agent and the supervisor: what is said on it, and its frames.
//!
//! The agent connects from a vsock source port below [`PRIVILEGED_PORTS`] to CID 2, port [`PORT`]. Either side sends
//! frames: a length of four bytes, little-endian, and that many bytes of one message in postcard's
//! encoding, at most [`MAX_FRAME`]. The agent's first frame is [`FromAgent::Hello`], the supervisor's
//! [`ToAgent::Welcome`] or [`ToAgent::Goodbye`].
//!
//! No I/O, no clock, no std: the same crate is in the supervisor and in guests. It knows no group and
//! believes nothing: a decoded message is well-formed, not right.

#![no_std]

extern crate alloc;

mod frame;
mod message;

pub use frame::{FrameError, FrameReader, encode};
pub use message::{
    Access, Answer, Ask, Call, Change, Event, EventId, FromAgent, Group, Hello, Refusal, Reply,
    Root, ToAgent, Welcome,
};

/// The port of CID 2 that the supervisor answers at.
pub const PORT: u32 = 1024;

/// An agent connects from a source port below this one: in a Linux guest only root can.
pub const PRIVILEGED_PORTS: u32 = 1024;

/// The version of this protocol; the two sides must agree on it.
pub const VERSION: u16 = 2;

/// Longest message, in bytes, the four of its length not counted.
pub const MAX_FRAME: usize = 64 * 1024;

/// Requests that an agent may have open at once; one more is not read before one has been answered.
pub const MAX_OPEN: u16 = 8;

/// Changes in one [`Call::Change`].
pub const MAX_CHANGES: usize = 32;

/// Longest name that an agent may give itself, in bytes.
pub const MAX_AGENT_NAME: usize = 64;
