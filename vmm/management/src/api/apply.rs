//! A whole spec: what applying it does, or did.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Birth, Command, Plan};
use crate::names::AbsolutePath;

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
