//! The management API: HTTP/1.1 and JSON over a unix socket, on one thread, the caller's.
//!
//! ```text
//!   clients ══unix socket══▶ connection (patience) ─▶ router ─▶ handler ──Request, never waits──▶ keeper
//!                                                                 ▲  ◀───────── reply ─────────────┘
//!   keeper, wire ── Notice ──▶ feed ──────── events, consoles ────┘
//! ```
//!
//! A handler owns nothing and decides nothing: it understands a request, asks the keeper, and shows the answer. Rights
//! come from the connection (SO_PEERCRED), never from a request. The thread waits for nobody but its clients,
//! for each of them on its own and not for long ([`patience`]); the keeper's mailbox it finds full is the
//! client's to try again (503).
//!
//! It parses no spec: that is given by the binary ([`Specs`]).

mod ask;
mod events;
mod extract;
mod feed;
mod listing;
mod metrics;
mod openapi;
mod patience;
mod poll;
mod problem;
mod router;
mod routes;
mod serve;
mod unread;
mod words;

use std::io;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use actor::Address;
use container_core::{Command, Framework, MachineName};
use management::api::{ApplyRequest, Problem};

pub use feed::{Feed, feed};

use crate::NewMachine;
use crate::keeper::{Amendment, Request};

/// What specs mean: given by the binary, which has the language.
pub trait Specs: Send + Sync {
    /// A machine by the body of a request, the table `[vm.NAME]` in JSON.
    ///
    /// # Errors
    /// The rule that the body breaks, and where.
    fn machine(
        &self,
        name: &str,
        body: &serde_json::Value,
        known: &Known,
    ) -> Result<NewMachine, Problem>;

    /// What it takes to make everything as a spec says.
    ///
    /// # Errors
    /// The rule that the spec breaks, with its file and line.
    fn apply(&self, request: &ApplyRequest, known: &Known) -> Result<Wanted, Problem>;
}

/// What there is, for a spec to be understood against, as of one moment.
pub struct Known {
    /// A copy of the groups, to try things on. What is found is good for its generation.
    pub framework: Framework,
    /// The machines, the ended ones that are kept included.
    pub machines: Vec<KnownMachine>,
}

/// A machine that there is.
#[derive(Clone, Debug)]
pub struct KnownMachine {
    /// What it was asked to be.
    pub asked: NewMachine,
    /// False once it has ended.
    pub alive: bool,
}

/// What it takes to make everything as a spec says.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// One plan.
    pub commands: Vec<Command>,
    /// From what these lead to back to what there was; None where there is no way back.
    pub back: Option<Vec<Command>>,
    /// Machines to make, after the plan is in force.
    pub start: Vec<NewMachine>,
    /// Machines to make anew, in place of those that there are.
    pub replace: Vec<Replacement>,
    /// Machines to end, where they live, and to forget.
    pub gone: Vec<MachineName>,
    /// Changes of machines that stay.
    pub amend: Vec<Amendment>,
    /// Whether those of `gone` and `replace` have to have ended before the commands and the births.
    pub ends_first: bool,
}

/// A machine in place of one that is there.
#[derive(Clone, Debug)]
pub struct Replacement {
    /// What is to be.
    pub machine: NewMachine,
    /// What is otherwise, a sentence with both operands.
    pub why: String,
}

/// Serve the API at this listener, on the calling thread's runtime, until `told` has come; returns that. Connections that
/// are open then are closed.
///
/// # Errors
/// What the kernel says to a listener more in its epoll.
pub async fn serve<T>(
    listener: UnixListener,
    keeper: Address<Request>,
    events: Feed,
    specs: Arc<dyn Specs>,
    owner_uid: u32,
    told: impl Future<Output = T>,
) -> io::Result<T> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let app = ask::App::new(keeper, specs, owner_uid, feed::serve(events));
    let router = router::router(Arc::new(app));
    Ok(serve::serve(listener, router, owner_uid, told).await)
}

#[cfg(test)]
mod tests;
