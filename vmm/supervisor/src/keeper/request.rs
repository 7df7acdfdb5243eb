//! What the keeper is asked and told, and what it answers.

use actor::Reply;
use agent_protocol::{Answer, Ask};
use container_core::{Command, Credentials, GroupPath, MachineName, Refusal, TaskId};
use host::ExactCounter;
use management::Report;

use super::MachineId;
use crate::Launch;
use crate::agent::{self, AskError, NotNow, Token};
use crate::wire::{Said, SessionId};

/// What the keeper is asked.
pub enum Request {
    /// Take a machine in that has just been started.
    Launch(Box<Launch>),
    /// Change groups or tasks: all of it or nothing.
    Change {
        /// Who asks.
        by: Credentials,
        /// What.
        commands: Vec<Command>,
        /// Answers when it is in force, or why it is not.
        reply: Reply<Result<Done, ChangeError>>,
    },
    /// Find a task by `MACHINE/KIND` or by its tid.
    Find(String, Reply<Option<TaskId>>),
    /// Read a control file.
    Read {
        /// Who asks.
        by: Credentials,
        /// Of which group.
        group: GroupPath,
        /// Which file.
        file: String,
        /// The file's text.
        reply: Reply<Result<String, Refusal>>,
    },
    /// The whole state, counters sampled now.
    Report(Reply<Report>),
    /// Give a machine an order. It is posted: that it has been followed is told by an event.
    Order {
        /// Which.
        machine: MachineName,
        /// What it is to do.
        order: Order,
        /// A sentence where it cannot be given.
        reply: Reply<Result<(), String>>,
    },
    /// A guest's agent asks something of its view.
    Agent(Asker, Box<agent::Request>),
    /// Ask a machine's guest for something.
    AskAgent {
        /// Which.
        machine: MachineName,
        /// What.
        ask: Ask,
        /// What the guest says.
        reply: AgentAnswer,
    },
    /// From the wire and the runner.
    News(News),
    /// Kill what lives and end.
    End,
}

/// Which session of which machine asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The machine whose agent it is.
    pub machine: MachineId,
    /// The session.
    pub session: SessionId,
    /// The session's name for what it asks.
    pub token: Token,
}

/// Where a guest's answer goes.
pub type AgentAnswer = Reply<Result<Answer, AgentError>>;

/// Why a guest has not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgentError {
    /// There is no such machine.
    #[error("no machine {0} runs")]
    NoMachine(MachineName),
    /// Its spec gives it no agent.
    #[error("machine {0} has no agent: its spec does not say `agent`")]
    NoAgent(MachineName),
    /// It could not be asked.
    #[error(transparent)]
    NotNow(#[from] NotNow),
    /// It was asked.
    #[error(transparent)]
    Unanswered(#[from] AskError),
}

/// What a machine can be ordered to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// End its guest in good order.
    Stop,
    /// Die, unasked.
    Kill,
    /// Leave the guest and stay out.
    Pause,
    /// Enter it again.
    Resume,
}

/// What the other actors have to tell.
pub enum News {
    /// A machine said something well-formed.
    Said {
        /// Which.
        machine: MachineId,
        /// What.
        said: Said,
    },
    /// A machine broke the link's protocol, or does not read.
    Broken {
        /// Which.
        machine: MachineId,
        /// The rule.
        why: String,
    },
    /// A machine's end of the link is closed.
    LinkClosed {
        /// Which.
        machine: MachineId,
    },
    /// A machine has not answered for some seconds.
    Unresponsive {
        /// Which.
        machine: MachineId,
    },
    /// A machine's process is dead, and all it said has been passed on.
    Died {
        /// Which.
        machine: MachineId,
    },
    /// Exact counters, as far as they could be opened.
    Counters {
        /// By task.
        counters: Vec<(TaskId, ExactCounter)>,
        /// The TSC's rate.
        tsc_khz: Option<u32>,
    },
    /// A guest's agent has introduced itself.
    AgentReady {
        /// Whose.
        machine: MachineId,
        /// How it calls itself.
        agent: String,
    },
    /// A session of a guest's agent was ended for breaking a rule.
    AgentCutOff {
        /// Whose.
        machine: MachineId,
        /// The rule.
        why: String,
    },
    /// A release agent has ended.
    ReleaseAgentEnded {
        /// The group it was run for.
        group: GroupPath,
        /// How.
        outcome: String,
    },
}

/// A change that is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Host effects it took.
    pub effects: usize,
    /// From the plan's beginning to its commit, in nanoseconds, on the keeper's thread.
    pub took_ns: u64,
}

/// A change that was not made; everything is as it was, but for tasks named in `drifted`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// A rule of the framework.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The host would not do it; what had been done was undone.
    #[error("the host refused: {why} (EIO)")]
    Host {
        /// The host's sentence.
        why: String,
        /// Tasks whose former CPUs could not be restored either; retried every second.
        drifted: Vec<TaskId>,
    },
}

impl Request {
    /// Whether it changes nothing and may be answered while a change is under way.
    pub(super) fn is_read(&self) -> bool {
        match self {
            Request::Find(..)
            | Request::Read { .. }
            | Request::Report(_)
            | Request::AskAgent { .. }
            | Request::End => true,
            Request::Agent(_, request) => !matches!(**request, agent::Request::Change(_)),
            _ => false,
        }
    }
}
