//! What the two sides say.
//!
//! Groups and tasks are named as the agent sees them: `placement:/` is the root of its view in the
//! hierarchy `placement`, `placement:/hot` a group below it; `vcpu0` is a task of its own machine.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::MAX_CHANGES;

/// From the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromAgent {
    /// The first message of all.
    Hello(Hello),
    /// Asks for something; exactly one [`ToAgent::Answer`] of the same id follows, in the order asked.
    Request {
        /// Chosen by the agent; not used again while it is open.
        id: u32,
        /// What.
        call: Call,
    },
    /// Answers a [`ToAgent::Request`].
    Answer {
        /// Of the request.
        id: u32,
        /// What the guest says.
        answer: Answer,
    },
}

/// From the supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToAgent {
    /// The first message of all: the session is open.
    Welcome(Welcome),
    /// Answers a [`FromAgent::Request`].
    Answer {
        /// Of the request.
        id: u32,
        /// What it asked for, or why not.
        outcome: Result<Reply, Refusal>,
    },
    /// Something happened in the view. Comes after a [`Call::Subscribe`], each number once, in order.
    Event {
        /// Its number.
        id: EventId,
        /// What.
        event: Event,
    },
    /// Events were lost to this agent. What follows has higher numbers.
    Gap {
        /// How many; absent where nobody can say, since the number it resumed after is none of this epoch.
        lost: Option<u64>,
        /// The number of the next event.
        next: EventId,
    },
    /// Asks the guest for something; exactly one [`FromAgent::Answer`] of the same id is expected.
    Request {
        /// Chosen by the supervisor.
        id: u32,
        /// What.
        ask: Ask,
    },
    /// The last message: why the session is being ended.
    Goodbye {
        /// One sentence: the rule that was broken.
        why: String,
    },
}

/// How an agent introduces itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`VERSION`](crate::VERSION) of the agent.
    pub version: u16,
    /// Its name and version, at most [`MAX_AGENT_NAME`](crate::MAX_AGENT_NAME) bytes.
    pub agent: String,
}

/// How the supervisor answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// [`VERSION`](crate::VERSION) of the supervisor.
    pub version: u16,
    /// Longest message either side may send, in bytes.
    pub max_frame: u32,
    /// Requests that the agent may have open at once.
    pub max_open: u16,
    /// What it sees, one root a hierarchy.
    pub roots: Vec<Root>,
}

/// The root of a view in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// The hierarchy: its root is `HIERARCHY:/`.
    pub hierarchy: String,
    /// The subsystems bound to it.
    pub subsystems: Vec<String>,
    /// What the agent may do there now.
    pub access: Access,
}

/// What an agent may do in a hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// Look.
    Read,
    /// Make groups below the root, move its own vCPUs between them, set their limits.
    Delegate,
}

/// What an agent can ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    /// Nothing, to see that somebody answers.
    Ping,
    /// The roots of the view, as they are now.
    Roots,
    /// The groups of a hierarchy, parents before children, a page of them.
    Tree {
        /// The hierarchy.
        hierarchy: String,
        /// The last group of the page before; none for the first page.
        after: Option<String>,
    },
    /// Read a control file.
    Get {
        /// Of this group.
        group: String,
        /// The file.
        file: String,
    },
    /// Change groups: all of it is in force, or none. At most
    /// [`MAX_CHANGES`](crate::MAX_CHANGES).
    Change(#[serde(deserialize_with = "changes")] Vec<Change>),
    /// Have events pushed: those after `since`, which may be past already, or those from now on.
    Subscribe {
        /// The last event that was seen.
        since: Option<EventId>,
    },
    /// Have none pushed any more.
    Unsubscribe,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Make a group.
    Mkdir {
        /// Its name.
        group: String,
    },
    /// Remove a group that has neither tasks nor children.
    Rmdir {
        /// Which.
        group: String,
    },
    /// Write a control file.
    Set {
        /// Of this group.
        group: String,
        /// The file.
        file: String,
        /// What.
        value: String,
    },
    /// Move a vCPU of this machine.
    Attach {
        /// Into this group.
        group: String,
        /// `vcpuN`.
        task: String,
    },
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// To [`Call::Ping`].
    Pong,
    /// To [`Call::Roots`].
    Roots(Vec<Root>),
    /// To [`Call::Tree`].
    Tree {
        /// A page of groups.
        groups: Vec<Group>,
        /// Whether others follow.
        more: bool,
    },
    /// To [`Call::Get`]: the file's text, each line ended.
    File(String),
    /// To [`Call::Change`]: it is in force. `effects` counts the threads that were pinned or read for it.
    Changed {
        /// Pins and readings.
        effects: u32,
    },
    /// To [`Call::Subscribe`]: the last number given out. Events follow.
    Subscribed {
        /// Of the view.
        last: EventId,
    },
    /// To [`Call::Unsubscribe`].
    Unsubscribed,
}

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The name of an errno, as `EBUSY`; never its number, which differs between systems.
    pub errno: String,
    /// The rule, a sentence with both operands.
    pub rule: String,
}

/// A group as an agent sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// `HIERARCHY:/path`.
    pub path: String,
    /// The host CPUs in force, as a range list; absent where the hierarchy has no cpuset.
    pub cpus: Option<String>,
    /// Living tasks in this very group, of whatever machine.
    pub tasks: u32,
    /// Those of them that are this machine's.
    pub own: Vec<String>,
    /// Whether becoming empty makes an event.
    pub notify_on_release: bool,
}

/// The number of an event. A view has numbers of its own, without holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventId {
    /// Which life of the supervisor.
    pub epoch: u64,
    /// Counts from 1; 0 stands before the first.
    pub seq: u64,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A group with notify_on_release became empty.
    Released {
        /// Which.
        group: String,
    },
    /// A group was made.
    GroupCreated {
        /// Which.
        group: String,
    },
    /// A group was removed.
    GroupRemoved {
        /// Which.
        group: String,
    },
    /// A group has another name, and so have the groups below it.
    GroupRenamed {
        /// What it was.
        from: String,
        /// What it is.
        to: String,
    },
    /// A task of this machine moved; a group outside of the view is absent.
    TaskMoved {
        /// Which.
        task: String,
        /// Where it was.
        from: Option<String>,
        /// Where it is.
        to: Option<String>,
    },
    /// A control file took a value.
    FileWritten {
        /// Of this group.
        group: String,
        /// The file.
        file: String,
        /// What was written.
        value: String,
    },
    /// All vCPUs of a group that is freezing are out of their guests.
    GroupFrozen {
        /// Which.
        group: String,
    },
    /// A group that was freezing, or frozen, is not any more.
    GroupThawed {
        /// Which.
        group: String,
    },
}

/// What the supervisor can ask a guest for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// Nothing, to see that somebody answers.
    Ping,
    /// Who it is and how it fares.
    Info,
    /// To end in good order.
    Shutdown,
}

/// What a guest answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Ask::Ping`].
    Pong,
    /// To [`Ask::Info`].
    Info {
        /// Name and version of the agent.
        agent: String,
        /// vCPUs that the guest knows of.
        vcpus: u16,
        /// Nanoseconds since the agent started.
        uptime_ns: u64,
    },
    /// To [`Ask::Shutdown`]: it will.
    Ending,
    /// It will not.
    Declined {
        /// One sentence.
        why: String,
    },
}

/// Reads a list of changes and keeps one more than [`MAX_CHANGES`] of it: enough to see that there are too
/// many. Left to itself a list makes room for what it claims, up to a megabyte.
fn changes<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Change>, D::Error> {
    struct Changes;

    impl<'de> Visitor<'de> for Changes {
        type Value = Vec<Change>;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("a list of changes")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<Change>, A::Error> {
            let claimed = list.size_hint().unwrap_or(0);
            let mut kept = Vec::with_capacity(claimed.min(MAX_CHANGES));
            while let Some(change) = list.next_element()? {
                if kept.len() <= MAX_CHANGES {
                    kept.push(change);
                }
            }
            Ok(kept)
        }
    }

    from.deserialize_seq(Changes)
}
