//! A bounded queue with one reader.

use std::io;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};

use crate::{Closed, Doorbell, Pending, Reply, reply};

/// Where an actor's messages arrive. Belongs to the actor's thread.
#[derive(Debug)]
pub struct Mailbox<M> {
    queue: Receiver<M>,
    doorbell: Option<Doorbell>,
}

/// Where to send them. Cloned freely.
#[derive(Debug)]
pub struct Address<M> {
    queue: Sender<M>,
    doorbell: Option<Doorbell>,
}

/// Why a message that must not wait was not taken; it is handed back.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrySendError<M> {
    /// The mailbox holds as many messages as its bound.
    #[error("the mailbox is full")]
    Full(M),
    /// The actor has ended.
    #[error("the actor has ended")]
    Closed(M),
}

/// A mailbox of at most `bound` messages, for a reader that sleeps in [`Mailbox::recv`].
pub fn mailbox<M>(bound: usize) -> (Address<M>, Mailbox<M>) {
    let (sender, receiver) = bounded(bound);
    (
        Address {
            queue: sender,
            doorbell: None,
        },
        Mailbox {
            queue: receiver,
            doorbell: None,
        },
    )
}

/// A mailbox of at most `bound` messages, for a reader that sleeps in epoll on the doorbell.
///
/// # Errors
/// What eventfd(2) returns.
pub fn mailbox_with_doorbell<M>(bound: usize) -> io::Result<(Address<M>, Mailbox<M>)> {
    let bell = Doorbell::new()?;
    let (sender, receiver) = bounded(bound);
    let address = Address {
        queue: sender,
        doorbell: Some(bell.clone()),
    };
    Ok((
        address,
        Mailbox {
            queue: receiver,
            doorbell: Some(bell),
        },
    ))
}

impl<M> Mailbox<M> {
    /// Wait for the next message; None when every address is gone.
    pub fn recv(&self) -> Option<M> {
        self.queue.recv().ok()
    }

    /// Wait for the next message until `deadline`.
    ///
    /// # Errors
    /// [`Closed`] when every address is gone.
    pub fn recv_until(&self, deadline: Instant) -> Result<Option<M>, Closed> {
        match self.queue.recv_deadline(deadline) {
            Ok(message) => Ok(Some(message)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Closed),
        }
    }

    /// The next message if one is here.
    ///
    /// # Errors
    /// [`Closed`] when every address is gone.
    pub fn try_recv(&self) -> Result<Option<M>, Closed> {
        match self.queue.try_recv() {
            Ok(message) => Ok(Some(message)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(Closed),
        }
    }

    /// The bell to watch in epoll; None for a mailbox made without.
    pub fn doorbell(&self) -> Option<&Doorbell> {
        self.doorbell.as_ref()
    }
}

/// The queue keeps its messages as long as any address lives, and their replies with them: whoever waits for one
/// is told that the actor has ended. One that sends while this runs may be told only when the last address is gone.
impl<M> Drop for Mailbox<M> {
    fn drop(&mut self) {
        while self.queue.try_recv().is_ok() {}
    }
}

impl<M> Address<M> {
    /// Send, waiting while the mailbox is full.
    ///
    /// # Errors
    /// [`Closed`] when the actor has ended.
    pub fn send(&self, message: M) -> Result<(), Closed> {
        self.queue.send(message).map_err(|_| Closed)?;
        self.ring();
        Ok(())
    }

    /// Send without ever waiting.
    ///
    /// # Errors
    /// The message comes back when the mailbox is full or the actor has ended.
    pub fn try_send(&self, message: M) -> Result<(), TrySendError<M>> {
        self.queue.try_send(message).map_err(|error| match error {
            crossbeam_channel::TrySendError::Full(m) => TrySendError::Full(m),
            crossbeam_channel::TrySendError::Disconnected(m) => TrySendError::Closed(m),
        })?;
        self.ring();
        Ok(())
    }

    /// Send without ever waiting, as long as fewer than `most` messages wait: the rest of the room is left
    /// for messages of more weight. That is exact where one thread sends.
    ///
    /// # Errors
    /// The message comes back when so many wait or the actor has ended.
    pub fn try_send_below(&self, most: usize, message: M) -> Result<(), TrySendError<M>> {
        match self.queue.len() < most {
            true => self.try_send(message),
            false => Err(TrySendError::Full(message)),
        }
    }

    /// Ask and wait for the answer.
    ///
    /// # Errors
    /// [`Closed`] when the actor has ended, before or after it took the request.
    pub fn call<T>(&self, request: impl FnOnce(Reply<T>) -> M) -> Result<T, Closed> {
        self.ask(request)?.wait()
    }

    /// Ask; the answer is waited for later.
    ///
    /// # Errors
    /// [`Closed`] when the actor has ended.
    pub fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> M) -> Result<Pending<T>, Closed> {
        let (answer, pending) = reply();
        self.send(request(answer))?;
        Ok(pending)
    }

    fn ring(&self) {
        if let Some(bell) = &self.doorbell {
            bell.ring();
        }
    }
}

impl<M> Clone for Address<M> {
    fn clone(&self) -> Self {
        Address {
            queue: self.queue.clone(),
            doorbell: self.doorbell.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_mailbox_hands_the_message_back() {
        let (address, _mailbox) = mailbox(1);
        address.try_send(1).unwrap();
        assert_eq!(address.try_send(2), Err(TrySendError::Full(2)));
    }

    #[test]
    fn messages_of_less_weight_leave_room_for_others() {
        let (address, mailbox) = mailbox(3);
        address.try_send_below(2, 1).unwrap();
        address.try_send_below(2, 2).unwrap();
        assert_eq!(address.try_send_below(2, 3), Err(TrySendError::Full(3)));
        address.try_send(4).unwrap();
        assert_eq!(mailbox.recv(), Some(1));
        assert_eq!(mailbox.recv(), Some(2));
        address.try_send_below(2, 5).unwrap();
    }

    #[test]
    fn a_dead_actor_is_an_error_and_never_a_hang() {
        let (address, mailbox) = mailbox::<Reply<()>>(1);
        let pending = address.ask(|reply| reply).unwrap();
        drop(mailbox.recv());
        assert_eq!(pending.wait(), Err(Closed));
        let waiting = address.ask(|reply| reply).unwrap();
        drop(mailbox);
        assert_eq!(waiting.wait(), Err(Closed));
        assert_eq!(address.call(|reply| reply), Err(Closed));
    }

    #[test]
    fn a_message_sent_after_the_bell_was_cleared_rings_again() {
        let (address, mailbox) = mailbox_with_doorbell(4).unwrap();
        let readable = || {
            let bell = mailbox.doorbell().unwrap();
            let mut poll = [rustix::event::PollFd::new(
                bell,
                rustix::event::PollFlags::IN,
            )];
            let zero = rustix::event::Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            rustix::event::poll(&mut poll, Some(&zero)).unwrap() == 1
        };
        address.send(1).unwrap();
        assert!(readable());
        mailbox.doorbell().unwrap().clear();
        assert!(!readable());
        address.send(2).unwrap();
        assert!(readable());
        assert_eq!(mailbox.try_recv(), Ok(Some(1)));
        assert_eq!(mailbox.try_recv(), Ok(Some(2)));
        assert_eq!(mailbox.try_recv(), Ok(None));
    }
}
