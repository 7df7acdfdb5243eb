//! What goes over the management socket: JSON bodies of HTTP/1.1, one type a body.
//!
//! Groups are `HIERARCHY:/path`, tasks `MACHINE/vcpu0` or a host's thread id, CPU sets range lists. Unknown fields are
//! refused.

mod apply;
mod events;
mod groups;
mod machine;
mod plan;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use apply::{Amended, Applied, ApplyRequest, Replaced};
pub use events::{EventPage, Gap};
pub use groups::{AttachRequest, GroupView, Hierarchy};
pub use machine::{
    AgentAnswer, AgentRequest, Birth, MachinePlan, Question, StateRequest, WantedState,
};
pub use plan::{Command, CpuLimits, Effect, Plan, PlanRequest};

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
