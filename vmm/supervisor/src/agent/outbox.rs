//! What a session has written and its stream has not taken.

use std::time::{Duration, Instant};

use agent_protocol::FrameReader;

/// With this much waiting, no request is served and no event written until the agent has read: four of the
/// largest messages, or some thousands of usual ones.
const SOFT_CAP: usize = 256 * 1024;
/// Nothing is begun past [`SOFT_CAP`], but what was begun before is finished: one event, one answer of the
/// keeper, a goodbye, and questions of the host, which are short.
pub(super) const MAX_OUTPUT: usize = SOFT_CAP + 3 * FrameReader::MAX_HELD;
/// An agent that takes nothing of what waits for this long is cut off.
const STALL_LIMIT: Duration = Duration::from_secs(10);

/// Frames in a row.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    taken: usize,
    /// Since when something has waited without any of it being taken.
    waits_since: Option<Instant>,
}

impl Outbox {
    /// Add a frame.
    pub(super) fn push(&mut self, frame: &[u8], now: Instant) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(frame);
        debug_assert!(self.bytes.len() <= MAX_OUTPUT, "more than was to be begun");
        self.waits_since.get_or_insert(now);
    }

    /// Whether something may be begun that ends in output.
    pub(super) fn has_room(&self) -> bool {
        self.waiting().len() < SOFT_CAP
    }

    /// What waits.
    pub(super) fn waiting(&self) -> &[u8] {
        &self.bytes[self.taken..]
    }

    /// The stream has taken this many bytes of what waits.
    pub(super) fn took(&mut self, bytes: usize, now: Instant) {
        assert!(bytes <= self.waiting().len(), "taken what was not there");
        if bytes == 0 {
            return;
        }
        self.taken += bytes;
        self.waits_since = Some(now);
        if self.waiting().is_empty() {
            // A burst is over: its memory is not kept for the life of the session.
            *self = Outbox::default();
        }
    }

    /// When the agent is to be cut off.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waits_since.map(|since| since + STALL_LIMIT)
    }
}
