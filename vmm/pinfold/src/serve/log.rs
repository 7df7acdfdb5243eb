//! What a serving supervisor writes down: lines for a person on a terminal; for a service the journal, or JSON
//! on standard error where there is none.

use std::io::{self, IsTerminal};
use std::sync::Arc;

use actor::mailbox;
use supervisor::{Notice, Onlooker};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Events that wait to be written.
const WAITING: usize = 1024;

/// From here on, write.
pub fn start() {
    let registry = tracing_subscriber::registry().with(LevelFilter::INFO);
    if io::stderr().is_terminal() {
        let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
        registry.with(lines.with_target(false)).init();
    } else if let Ok(journal) = tracing_journald::layer() {
        registry.with(journal).init();
    } else {
        let lines = tracing_subscriber::fmt::layer().json();
        registry.with(lines.with_writer(io::stderr)).init();
    }
}

/// An onlooker that has the host's events written down, by a thread of its own, and passes all on. Events that
/// find no room are left out (their numbers show it): whoever reads the log may stand still, and the supervisor must not.
///
/// # Errors
/// What thread creation returns.
pub fn onlooker(next: Onlooker) -> io::Result<Onlooker> {
    let (address, mailbox) = mailbox::<Box<management::Event>>(WAITING);
    std::thread::Builder::new()
        .name("log".into())
        .spawn(move || {
            while let Some(event) = mailbox.recv() {
                tracing::info!(id = %event.id, kind = %event.kind, "{}", event.text);
            }
        })?;
    Ok(Arc::new(move |notice| {
        if let Notice::Event(event) = &notice
            && crate::run::tells(&event.kind)
        {
            let _ = address.try_send(event.clone());
        }
        next(notice);
    }))
}
