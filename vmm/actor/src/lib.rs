//! Mailboxes: how threads that own things talk to threads that own other things.
//!
//! A [`Mailbox`] is bounded and has one reader; its [`Address`]es are cloned freely. A request that
//! wants an answer carries a [`Reply`], which answers at most once; a reply dropped unanswered is a
//! [`Closed`] to the asker, so a dead actor is an error and never a hang. A reader that sleeps in epoll
//! makes its mailbox with [`mailbox_with_doorbell`] and watches the doorbell.
//!
//! This crate knows no machine and no group.

mod doorbell;
mod mailbox;
mod reply;

pub use doorbell::Doorbell;
pub use mailbox::{Address, Mailbox, TrySendError, mailbox, mailbox_with_doorbell};
pub use reply::{Pending, Reply, reply, reply_to};

/// The other side has ended: its mailbox, or the reply it owed, is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the actor has ended")]
pub struct Closed;
