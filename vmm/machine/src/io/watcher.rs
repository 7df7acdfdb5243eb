//! The descriptors that `io` sleeps over: one epoll set, level-triggered.
//!
//! Whoever watches a descriptor names it by a [`Token`] of its own. Tokens of sockets are never used
//! twice, so an event that was fetched before its socket was closed is nobody's.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use vmm_sys_util::epoll::EventSet;
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent};

/// Events taken in one turn; the kernel gives each ready descriptor its turn.
const EVENTS_AT_ONCE: usize = 16;

/// epoll's word for no time limit.
const FOR_EVER: i32 = -1;

/// The name of a watched descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Token(pub u64);

/// What happened at a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Happened {
    /// Its name.
    pub token: Token,
    /// What.
    pub flags: EventSet,
}

/// The set. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Watcher(Arc<Epoll>);

impl Watcher {
    /// # Errors
    /// What epoll_create1(2) returns.
    pub fn new() -> io::Result<Self> {
        Ok(Watcher(Arc::new(Epoll::new()?)))
    }

    /// Watch `fd` for `flags`; an error or a hang-up is told in any case. A descriptor leaves the set when
    /// it is closed.
    ///
    /// # Errors
    /// What epoll_ctl(2) returns.
    pub fn add(&self, fd: &impl AsRawFd, token: Token, flags: EventSet) -> io::Result<()> {
        self.control(ControlOperation::Add, fd, token, flags)
    }

    /// Watch `fd` for `flags` instead.
    ///
    /// # Errors
    /// What epoll_ctl(2) returns.
    pub fn modify(&self, fd: &impl AsRawFd, token: Token, flags: EventSet) -> io::Result<()> {
        self.control(ControlOperation::Modify, fd, token, flags)
    }

    /// Watch `fd` no more.
    ///
    /// # Errors
    /// What epoll_ctl(2) returns.
    pub fn remove(&self, fd: &impl AsRawFd) -> io::Result<()> {
        self.control(ControlOperation::Delete, fd, Token(0), EventSet::empty())
    }

    /// Sleep until something happens or `deadline` passes.
    ///
    /// # Errors
    /// A mistake of ours: the set is none.
    pub fn wait(
        &self,
        deadline: Option<Instant>,
    ) -> io::Result<impl Iterator<Item = Happened> + use<>> {
        let mut events = [EpollEvent::default(); EVENTS_AT_ONCE];
        let count = match self.0.wait(milliseconds(deadline), &mut events) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        Ok(events.into_iter().take(count).map(|event| Happened {
            token: Token(event.data()),
            flags: event.event_set(),
        }))
    }

    fn control(
        &self,
        operation: ControlOperation,
        fd: &impl AsRawFd,
        Token(token): Token,
        flags: EventSet,
    ) -> io::Result<()> {
        self.0
            .ctl(operation, fd.as_raw_fd(), EpollEvent::new(flags, token))
    }
}

/// The time until `deadline`, rounded up: whoever wakes too early would only sleep again.
fn milliseconds(deadline: Option<Instant>) -> i32 {
    deadline.map_or(FOR_EVER, |deadline| {
        let left = deadline.saturating_duration_since(Instant::now());
        let whole = left + Duration::from_nanos(999_999);
        i32::try_from(whole.as_millis()).unwrap_or(i32::MAX)
    })
}
