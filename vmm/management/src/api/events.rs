//! Events, some at a time.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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
