//! Agent sessions: what the supervisor says to the agent of one guest, and hears from it.
//!
//! ```text
//!   stream ──bytes──▶ Session ──Act──▶ wire ──Request──▶ keeper
//!     ▲                 │  ▲                               │
//!     └──── output ─────┘  └──────── Outcome, pushes ──────┘
//! ```
//!
//! A [`Session`] is a state machine: no I/O, no clock, no framework. The wire owns it, moves its bytes and
//! carries out its [`Act`]s; the keeper answers its [`Request`]s, for the machine that the wire says the
//! stream belongs to. Nothing that an agent says names its machine: identity comes from the connection.
//!
//! An agent is an adversary. What it can make the supervisor hold is bounded by the constants here, whatever
//! it sends, and whether or not it reads.

mod ask;
mod outbox;
mod rate;
mod session;
mod subscription;
mod translate;

use agent_protocol::Answer;
use container_core::{
    HierarchyName, Refusal, ViewCommand, ViewEvent, ViewGroup, ViewPath, ViewRoot,
};

pub use ask::{AskError, NotNow};
pub use session::Session;

use crate::EventId;

/// Names a request to the keeper; a session uses none twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// What the wire is to do for a session, in the order given.
#[derive(Clone, Debug, PartialEq)]
pub enum Act {
    /// Ask the keeper, and bring its answer to [`Session::on_answer`]. At most one is open at a time.
    Ask(Token, Request),
    /// The handshake is done; the host may [`ask`](Session::ask) from now on.
    Opened {
        /// How the agent calls itself.
        agent: String,
    },
    /// What became of something that the host asked the guest for.
    AskDone {
        /// Of the [`ask`](Session::ask).
        token: u64,
        /// What the guest says, its text made harmless.
        result: Result<Answer, AskError>,
    },
    /// The session is over: the last act of all. The wire tells the keeper that it is, writes what the
    /// stream takes of the output at once, and closes the stream.
    End {
        /// The rule or the reason, one sentence.
        why: String,
        /// Whether the agent broke a rule.
        fault: bool,
    },
}

/// What a session asks the keeper for, on behalf of its machine.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// The roots of the view, for the welcome of a session that has just begun.
    Greet,
    /// The roots of the view, asked for by the agent.
    Roots,
    /// A page of the groups of a hierarchy, parents before children.
    Tree {
        /// The hierarchy.
        hierarchy: HierarchyName,
        /// The last group of the page before.
        after: Option<ViewPath>,
    },
    /// Read a control file.
    Read {
        /// Of this group.
        group: ViewPath,
        /// The file.
        file: String,
    },
    /// Change groups: all of it or nothing.
    Change(Vec<ViewCommand>),
    /// Push events to this session from now on, and give it those after `since` that are kept.
    Subscribe {
        /// The last event that the agent saw.
        since: Option<EventId>,
    },
    /// Give the events of this epoch after a number: pushes were skipped, or the agent read too slowly.
    Replay {
        /// The number.
        after: u64,
    },
    /// Push no more events to this session.
    Unsubscribe,
}

/// What the keeper answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// To [`Request::Greet`] and [`Request::Roots`].
    Roots(Vec<ViewRoot>),
    /// To [`Request::Tree`].
    Tree {
        /// A page: not more than the keeper cares to list at once.
        groups: Vec<ViewGroup>,
        /// Whether others follow.
        more: bool,
    },
    /// To [`Request::Read`].
    File(String),
    /// To [`Request::Change`].
    Changed {
        /// Host effects that it took.
        effects: u32,
    },
    /// To [`Request::Subscribe`].
    Subscribed {
        /// The last number given out in the view.
        last: EventId,
        /// What followed `since`; empty where there was none.
        backlog: Backlog,
    },
    /// To [`Request::Replay`].
    Replayed(Backlog),
    /// To [`Request::Unsubscribe`].
    Unsubscribed,
}

/// Events that are past.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Backlog {
    /// How many between the number asked after and the first of `events` are lost; None where the number is
    /// of another epoch, or of the future, and nobody can say.
    pub lost: Option<u64>,
    /// A page of what is kept, oldest first, numbers without a hole.
    pub events: Vec<(u64, ViewEvent)>,
    /// Whether others follow that are past already.
    pub more: bool,
}

/// How a request fares.
pub type Outcome = Result<Reply, Refusal>;
