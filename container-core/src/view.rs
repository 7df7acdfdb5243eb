//! Views: what one machine's guest may see and do of the groups.
//!
//! ```text
//!   host                                       guest of web, whose groups are placement:/gold/web
//!   placement:/                                                     and billing:/
//!   ├── gold
//!   │   ├── web        ◄── root of the view ──  placement:/
//!   │   │   ├── hot                             ├── placement:/hot
//!   │   │   └── cold                            └── placement:/cold
//!   │   └── db         not in it
//!   └── silver         not in it
//! ```
//!
//! A guest is an adversary that is given a window. What it says is a [`ViewCommand`] with
//! [`ViewPath`]s, a type that no host function takes. A path is walked down from the *root group* of
//! the view, never up, and becomes a host's path only once the group is found. The root is the group
//! itself, by its id: the host may rename it, or anything above it, and the guest sees no difference.
//! When the host removes it, the view has lost that hierarchy for good (ENODEV).
//!
//! **One write path.** [`view_plan`](Framework::view_plan) holds each command against the rules of
//! views and lets it happen as an ordinary [`Command`](crate::Command), in the trial that every plan
//! is; what comes out is an ordinary [`Plan`](crate::Plan) of the same generation, carried out and
//! committed by the host. Its commands have the host's paths and are not the guest's to read. They run
//! with the supervisor's own rights, since a guest's right is the delegation, not a uid: so nothing but
//! the checks in `commands` stands between a guest and a group, and a test shows that no plan of a
//! view changes anything outside of it. Views have no part in the generation: a plan stays good when
//! another view is opened before its commit.
//!
//! **Access** is what the view was opened with, and `Delegate` holds only in a hierarchy where no task
//! and no view of another machine is below the root. It is looked at in every plan, so it comes and
//! goes with the neighbours; the guest is told that it shares the group, not with whom.
//!
//! **What is outside has no name, no number and no echo.** Three things see to it:
//! - Files are on a list ([`ControlFile::shown_to_guests`](crate::subsystem::ControlFile)); those that
//!   tell of other groups, css_sets or threads are, to a guest, not there. `tasks` has its own by kind.
//! - A refusal of the framework is retold part by part (`translation`), in the guest's names, or, where
//!   a name or number in it is not the guest's, as one fixed sentence with the same errno.
//! - Values whose range is the host's (CPUs, memory nodes) are held against the root's first, so that
//!   the host's own are no oracle: beyond the root's, all numbers are refused alike.
//!
//! **Events** are decided when they happen, under the group as it was then, and kept until the next
//! commit ([`views_of`](Framework::views_of)). Within one batch a path can name two groups in turn, and
//! two equal events can be of different groups; asking afterwards by path would mix them up. Finding
//! the views of a group costs its depth, however many views there are. A root that is renamed is `/`
//! as before, so that is no event.
//!
//! **Bounds.** What a guest can make is bounded here (groups, depth, sizes, commands); how often it
//! may ask is for whoever owns the connection to bound. A group that the host made with a path too
//! long for a [`ViewPath`] is left out, with all below it: it could not be named.
//!
//! Not here: sessions, numbering of events, the wire, and who gets which view.

mod access;
mod commands;
mod events;
mod path;
mod reading;
mod registry;
mod translation;
mod types;

#[cfg(test)]
mod tests;

pub use path::ViewPath;
pub use types::{ViewAccess, ViewCommand, ViewEvent, ViewGroup, ViewId, ViewRoot};

pub(crate) use events::Sighting;
pub(crate) use registry::Views;

/// Most commands in one plan of a view: a batch is tried under the eyes of everyone else, so it is
/// to be short, and a guest can send another.
pub const MAX_VIEW_COMMANDS: usize = 32;

/// Most groups in one answer of [`Framework::view_tree`](crate::Framework::view_tree).
pub const MAX_VIEW_PAGE: usize = 256;

/// Most groups below a root before its guest can make no more: one for each vCPU of a large machine;
/// and a hierarchy holds 256 guests that all go to it.
pub const MAX_VIEW_GROUPS: u32 = 256;

/// Deepest group that a guest can make below a root: charging, events and listings cost the depth.
pub const MAX_VIEW_DEPTH: usize = 8;

/// Most bytes of a value that a guest writes: a page, as in the kernel.
pub const MAX_VIEW_VALUE: usize = 4096;

/// Most views open at once: four sessions for each of 4,096 machines.
pub const MAX_VIEWS: usize = 16_384;
