//! Which events of the view an agent has been given: the number up to which it has all.
//!
//! ```text
//!             push of cursor + 1, and room
//!              ┌──────┐
//!              ▼      │      a later number, or no room
//!            level ───┴─────────────────────────────▶ behind
//!              ▲                                        │ room: Replay{after: cursor}
//!              └──── the backlog is written to its end ─┘
//! ```

/// Where an agent stands.
#[derive(Debug)]
pub(super) struct Subscription {
    /// Of its numbers.
    pub(super) epoch: u64,
    /// All up to this one are written or reported lost.
    pub(super) cursor: u64,
    /// Whether there are others, which have to be asked for.
    pub(super) behind: bool,
}

/// What an event is to an agent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It has it.
    Old,
    /// The next one.
    Next,
    /// There are this many before it.
    After(u64),
}

impl Subscription {
    /// An agent that has all up to a number.
    pub(super) fn new(epoch: u64, cursor: u64) -> Self {
        Subscription {
            epoch,
            cursor,
            behind: false,
        }
    }

    /// What the event of a number is to it.
    pub(super) fn place(&self, seq: u64) -> Place {
        match seq.checked_sub(self.cursor) {
            None | Some(0) => Place::Old,
            Some(1) => Place::Next,
            Some(ahead) => Place::After(ahead - 1),
        }
    }
}
