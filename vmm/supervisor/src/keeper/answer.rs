//! What the keeper answers.

use actor::Reply;
use agent_protocol::Answer;
use container_core::{
    CpuLimits, CpuSet, GroupPath, GroupsGeneration, MachineName, Refusal, TaskId, TaskName,
};

use super::MachineId;
use crate::EventId;
use crate::agent::{AskError, NotNow, Token};
use crate::wire::SessionId;

/// What a plan does, or has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Of the groups: that a dry run was made for, that a change has led to.
    pub generation: GroupsGeneration,
    /// On the host, in order.
    pub effects: Vec<PlannedEffect>,
    /// Whether it is in force; false of a dry run.
    pub committed: bool,
    /// From the plan's beginning to its commit, in nanoseconds, on the keeper's thread; None of a dry run.
    pub took_ns: Option<u64>,
}

/// What a rehearsal has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rehearsed {
    /// Of the groups that it was made for.
    pub generation: GroupsGeneration,
    /// What the commands do on the host.
    pub effects: Vec<PlannedEffect>,
    /// The tasks that are born, and where.
    pub births: Vec<PlannedBirth>,
}

/// A task that is to be born.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedBirth {
    /// Its name.
    pub task: TaskName,
    /// Its groups, as they were asked for; in a hierarchy where none was, it is in the root.
    pub groups: Vec<GroupPath>,
    /// What it is confined to; None where nothing confines it.
    pub cpus: Option<CpuSet>,
}

/// One thing that a plan does on the host.
#[allow(
    clippy::large_enum_variant,
    reason = "a Sample as large as a Pin costs nothing that counts"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlannedEffect {
    /// Confine a thread to CPUs.
    Pin {
        /// Whose.
        task: TaskName,
        /// To these.
        cpus: CpuSet,
        /// From these; None for one that has not been confined.
        before: Option<CpuSet>,
    },
    /// Keep a vCPU out of its guest.
    Freeze {
        /// Which.
        task: TaskName,
    },
    /// Let a vCPU into its guest again.
    Thaw {
        /// Which.
        task: TaskName,
    },
    /// Read a thread's counter exactly, and bill it.
    Sample {
        /// Whose.
        task: TaskName,
    },
    /// Make a group of the cpu hierarchy, limit it otherwise, or remove it.
    Limit {
        /// Which.
        group: GroupPath,
        /// What it may have; None for one that is removed.
        limits: Option<CpuLimits>,
    },
    /// Have what a task uses count in a group of the cpu hierarchy.
    Enroll {
        /// Whose.
        task: TaskName,
        /// Which; None for none.
        group: Option<GroupPath>,
    },
}

/// Events, and where they stand.
#[derive(Clone, Debug, PartialEq)]
pub struct EventPage {
    /// How many between the number that was asked for and the first of `events` are lost; None where that
    /// number is of another life of a supervisor, or of the future, and nobody can say.
    pub lost: Option<u64>,
    /// Oldest first.
    pub events: Vec<management::Event>,
    /// Whether others follow.
    pub more: bool,
    /// From where to go on: the number of the last of `events`, or where there is none, of the newest event.
    pub last: EventId,
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
    /// The asker may not.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is no such machine.
    #[error("no machine {0} runs")]
    NoMachine(MachineName),
    /// It is starting, or has ended.
    #[error("machine {0} is {1}: only one that runs has a guest to ask")]
    NotRunning(MachineName, &'static str),
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
