//! What becomes of one machine, and what its guest is asked.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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

/// What making a machine would do: the answer to a dry run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MachinePlan {
    /// Which.
    pub machine: String,
    /// The tasks that it is born with, and where. Threads that KVM starts follow `control`.
    pub births: Vec<Birth>,
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
