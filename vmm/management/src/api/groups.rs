//! Hierarchies and groups to look at, and where a task is to go.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
