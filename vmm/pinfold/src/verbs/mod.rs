//! What the verbs do that ask a supervisor: a request or a few, and their answers as text. No rule of the
//! framework is known here; the supervisor has them all.

mod agent;
mod apply;
mod events;
mod group;
mod hierarchy;
mod output;
mod pages;
mod progress;
mod vm;
mod words;

use management::client::{Client, ClientError};

use crate::cli::ServerArgs;
use crate::lock;

pub use agent::agent;
pub use apply::apply;
pub use events::events;
pub use group::group;
pub use hierarchy::hierarchy;
pub use pages::{completion, man};
pub use vm::vm;

/// The supervisor that the command line means.
pub fn client(server: &ServerArgs) -> Result<Client, ClientError> {
    let path = server.socket.clone().unwrap_or_else(lock::socket_path);
    Client::new(path)
}
