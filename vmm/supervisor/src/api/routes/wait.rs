//! Waiting for machines: each is looked at again after every event about it.

use container_core::MachineName;
use management::Machine;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use crate::api::ask::Client;
use crate::api::feed::Told;
use crate::api::problem::Refused;
use crate::keeper::Request;

/// A machine once it is as wanted, or as it is then. None for one that is not known, or not yet.
///
/// What is told has been followed since before whatever is waited for was set off, so that nothing falls between.
///
/// # Errors
/// As [`Client::ask`].
pub async fn until(
    app: &Client,
    name: &MachineName,
    told: &mut Receiver<Told>,
    deadline: Instant,
    is: impl Fn(Option<&Machine>) -> bool,
) -> Result<Option<Machine>, Refused> {
    loop {
        let machine = app.ask(|reply| Request::Machine(name.clone(), reply));
        let machine = machine.await?;
        if is(machine.as_ref()) {
            return Ok(machine);
        }
        match tokio::time::timeout_at(deadline, about(name, told)).await {
            Ok(event) => event?,
            Err(_) => return Ok(machine),
        }
    }
}

/// The next event about a machine, or the next that was missed.
///
/// # Errors
/// ESHUTDOWN where there are no more.
pub async fn about(name: &MachineName, told: &mut Receiver<Told>) -> Result<(), Refused> {
    loop {
        match told.recv().await {
            Ok(Told::Event(event)) if event.machine.as_deref() != Some(name.as_str()) => {}
            Ok(_) | Err(RecvError::Lagged(_)) => return Ok(()),
            Err(RecvError::Closed) => return Err(Refused::ending()),
        }
    }
}

/// Whether a machine has come so far that its guest runs or has run, or never will.
pub fn has_begun(machine: Option<&Machine>) -> bool {
    machine.is_some_and(|machine| machine.go_after_ns.is_some() || machine.state == "ended")
}

/// Whether nothing of a machine lives.
pub fn has_ended(machine: Option<&Machine>) -> bool {
    machine.is_none_or(|machine| machine.state == "ended" && !machine.restarting)
}
