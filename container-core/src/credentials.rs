//! Who asks.

use crate::TaskId;

/// The asker's identity, from the connection it came over, never from its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The asker's user; 0 passes every check.
    pub uid: u32,
    /// The asker's group of users.
    pub gid: u32,
    /// The asker's own task, for `0` written to `tasks`.
    pub task: Option<TaskId>,
}

impl Credentials {
    /// The supervisor itself, a spec file, root.
    pub const ROOT: Credentials = Credentials {
        uid: 0,
        gid: 0,
        task: None,
    };
}
