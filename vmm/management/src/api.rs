//! What goes over the management socket: JSON bodies of HTTP/1.1, one type a body.
//!
//! Groups are `HIERARCHY:/path`, tasks `MACHINE/vcpu0` or a host's thread id, CPU sets range lists. Unknown fields are
//! refused.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::names::{
    AbsolutePath, GroupComponent, GroupName, HierarchyName, SubsystemName, TaskName,
};

/// One change, as `{"op": "mkdir", "group": "placement:/gold"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Mount a hierarchy and bind subsystems to it.
    Mount {
        /// Its name.
        #[schema(value_type = HierarchyName)]
        hierarchy: String,
        /// What its groups mean.
        #[serde(default)]
        #[schema(value_type = Vec<SubsystemName>)]
        subsystems: Vec<String>,
    },
    /// Unmount a hierarchy; one with child groups lives on.
    Umount {
        /// Its name.
        #[schema(value_type = HierarchyName)]
        hierarchy: String,
    },
    /// Give a hierarchy without child groups exactly these subsystems.
    Remount {
        /// Its name.
        #[schema(value_type = HierarchyName)]
        hierarchy: String,
        /// What its groups mean from here on; those that it loses are free again.
        #[serde(default)]
        #[schema(value_type = Vec<SubsystemName>)]
        subsystems: Vec<String>,
    },
    /// Make a group.
    Mkdir {
        /// Which.
        #[schema(value_type = GroupName)]
        group: String,
    },
    /// Remove a group that has neither tasks nor children.
    Rmdir {
        /// Which.
        #[schema(value_type = GroupName)]
        group: String,
    },
    /// Give a group another name within its parent.
    Rename {
        /// Which.
        #[schema(value_type = GroupName)]
        group: String,
        /// The name, not a path.
        #[schema(value_type = GroupComponent)]
        to: String,
    },
    /// Hand a group over, or change its permission bits.
    Chown {
        /// Which.
        #[schema(value_type = GroupName)]
        group: String,
        /// Its new owner.
        uid: u32,
        /// Its new owning group of users.
        gid: u32,
        /// Permission bits, at most 0o777 (511).
        #[schema(maximum = 511)]
        mode: u16,
    },
    /// Write a control file.
    Set {
        /// Of this group.
        #[schema(value_type = GroupName)]
        group: String,
        /// Which.
        file: String,
        /// What.
        value: String,
    },
    /// Move a task.
    Attach {
        /// Into this group.
        #[schema(value_type = GroupName)]
        group: String,
        /// `MACHINE/vcpu0`, or a thread id.
        #[schema(value_type = TaskName)]
        task: String,
    },
    /// Make a group `node_TID` below the task's own, and move it there.
    Clone {
        /// `MACHINE/vcpu0`, or a thread id.
        #[schema(value_type = TaskName)]
        task: String,
        /// In whose hierarchy.
        #[schema(value_type = SubsystemName)]
        subsystem: String,
    },
}

/// The body of a plan: commands that are in force together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    /// In the order in which they are checked.
    #[schema(max_items = 10_000)]
    pub commands: Vec<Command>,
    /// Refuse (409, ESTALE) unless the groups are still those of this generation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
}

/// What a plan does, or did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Plan {
    /// Of the groups: that it was made for in a dry run, that it made otherwise.
    pub generation: u64,
    /// On the host, in order.
    pub effects: Vec<Effect>,
    /// False in a dry run.
    pub committed: bool,
    /// From the plan's beginning to its commit, in nanoseconds; absent in a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ns: Option<u64>,
}

/// One thing that a plan does on the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    /// Confine a thread to CPUs.
    Pin {
        /// `MACHINE/vcpu0`.
        task: String,
        /// To these.
        cpus: String,
        /// From these; absent for one that has not been confined.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<String>,
    },
    /// Keep a vCPU out of its guest.
    Freeze {
        /// `MACHINE/vcpu0`.
        task: String,
    },
    /// Let a vCPU into its guest again.
    Thaw {
        /// `MACHINE/vcpu0`.
        task: String,
    },
    /// Read a thread's counter exactly, and bill it.
    Sample {
        /// `MACHINE/vcpu0`.
        task: String,
    },
    /// Make a group of the cpu hierarchy, limit it otherwise, or remove it.
    Limit {
        /// Which.
        group: String,
        /// What it may have; absent for one that is removed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limits: Option<CpuLimits>,
    },
    /// Have what a thread uses count in a group of the cpu hierarchy.
    Enroll {
        /// `MACHINE/vcpu0`.
        task: String,
        /// Which; absent for none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<String>,
    },
}

/// What a group may have of the CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CpuLimits {
    /// Weight among its siblings.
    pub shares: u64,
    /// CPU time in a period, microseconds; absent for no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota_us: Option<u64>,
    /// Length of a period, microseconds.
    pub period_us: u64,
}

/// Why not: the body of every error, of the type `application/problem+json` (RFC 9457).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `about:blank`: the status says what kind it is.
    #[serde(rename = "type")]
    #[schema(value_type = String)]
    pub kind: Box<str>,
    /// The status in words.
    #[schema(value_type = String)]
    pub title: Box<str>,
    /// The HTTP status.
    pub status: u16,
    /// The rule, a sentence with both operands.
    pub detail: String,
    /// The name of an errno(3), as `EBUSY`.
    pub errno: String,
    /// Which command of a plan was refused, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<usize>,
    /// What is not as it was: done before the refusal, and not to be taken back. A sentence each.
    #[serde(default, skip_serializing_if = "<[String]>::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub remains: Box<[String]>,
}

/// A hierarchy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Hierarchy {
    /// Its name.
    pub name: String,
    /// What its groups mean.
    pub subsystems: Vec<String>,
    /// Number of groups, the root included.
    pub groups: usize,
    /// False for one that lives on for its groups.
    pub mounted: bool,
}

/// What a machine is to do: the body of `PUT /v1/machines/NAME/state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StateRequest {
    /// Where it is to go.
    pub state: WantedState,
    /// With `stopped`: kill it, unasked.
    #[serde(default)]
    pub force: bool,
}

/// A state that a machine can be told to go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WantedState {
    /// Its vCPUs are in the guest. One that has ended is started anew.
    Running,
    /// Its vCPUs are out of the guest.
    Paused,
    /// Its guest has ended.
    Stopped,
}

/// The body of an apply: a whole spec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    /// The spec file's text (TOML).
    #[schema(example = "[hierarchy.placement]\nsubsystems = ['cpuset']\n")]
    pub spec: String,
    /// Its path from the root on: messages name it, and paths in the spec stand relative to it.
    #[schema(value_type = AbsolutePath)]
    pub file: String,
}

/// What applying a spec does, or did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Applied {
    /// The changes that it took, in order; none where everything is as the spec says.
    pub commands: Vec<Command>,
    /// What they do on the host.
    pub plan: Plan,
    /// Machines that it ends: the spec does not have them, or has them otherwise than they were made.
    pub stopped: Vec<String>,
    /// Machines that it forgets, since the spec does not have them.
    pub removed: Vec<String>,
    /// Machines that it makes anew, and why.
    pub replaced: Vec<Replaced>,
    /// Machines that it makes and starts, those that it makes anew included.
    pub started: Vec<String>,
    /// The tasks that they are born with, and where.
    pub births: Vec<Birth>,
    /// What changes of machines that stay as they are otherwise.
    pub amended: Vec<Amended>,
}

/// A machine that is made anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Replaced {
    /// Which.
    pub machine: String,
    /// What of it the spec has otherwise, a sentence with both operands.
    pub why: String,
}

/// What changes of a machine that need not end for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Amended {
    /// Which.
    pub machine: String,
    /// When it is started anew from now on: `no`, `on-failure`, `always`; absent where that stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<String>,
    /// Whether its tasks go elsewhere at its next start, though no command moves them.
    pub groups: bool,
}

/// A task that a machine is to be born with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Birth {
    /// `MACHINE/vcpu0`.
    pub task: String,
    /// Its groups; in a hierarchy of which none is here, it is in the root.
    pub groups: Vec<String>,
    /// The CPUs that it is confined to; absent where nothing confines it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<String>,
}

/// What making a machine would do: the answer to a dry run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MachinePlan {
    /// Which.
    pub machine: String,
    /// The tasks that it is born with, and where. Threads that KVM starts follow `control`.
    pub births: Vec<Birth>,
}

/// A group, what is known of it, and what can be read of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GroupView {
    /// The group.
    pub group: crate::Group,
    /// The names of its control files.
    pub files: Vec<String>,
    /// The groups below it, depth first; none but with `recursive`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub below: Vec<crate::Group>,
}

/// Where a task is to go: the body of `PUT /v1/tasks/ID/groups/HIERARCHY`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AttachRequest {
    /// A group of that hierarchy: `HIERARCHY:/path`, or `/path`.
    #[schema(
        pattern = "^([A-Za-z0-9._-]{1,64}:)?(/|(/(?!\\.{1,2}(/|$))[^/\\n\\x00]+)+)$",
        example = "/gold"
    )]
    pub group: String,
}

/// Some events, and where to go on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventPage {
    /// What is lost between the number that was asked for and the first of `events`, if anything is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<Gap>,
    /// Oldest first.
    pub events: Vec<crate::Event>,
    /// Whether others follow.
    pub more: bool,
    /// The number to go on after, as `since`.
    pub last: String,
}

/// Events that are no longer kept: the data of an event `gap` of the stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Gap {
    /// How many; null where the number that was asked for is of another life of the supervisor, and nobody knows.
    pub lost: Option<u64>,
}

/// A question to a machine's guest: the body of `POST /v1/machines/NAME/agent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AgentRequest {
    /// What.
    pub ask: Question,
}

/// What a guest can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Whether anybody answers.
    Ping,
    /// Who it is and how it fares.
    Info,
    /// To end in good order.
    Shutdown,
}

/// What a guest answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum AgentAnswer {
    /// To a ping.
    Pong,
    /// Who it is.
    Info {
        /// Name and version of the agent.
        agent: String,
        /// vCPUs that the guest knows of.
        vcpus: u16,
        /// Nanoseconds since the agent started.
        uptime_ns: u64,
    },
    /// It will end.
    Ending,
    /// It will not.
    Declined {
        /// One sentence.
        why: String,
    },
}

/// Who serves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// `pinfold`.
    pub name: String,
    /// Of the program.
    pub version: String,
    /// Of the routes and bodies: `v1`.
    pub api: String,
}
