//! The answer that travels inside a request.

use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::Closed;

/// The answering half: answers once, by value.
#[derive(Debug)]
pub struct Reply<T>(Sender<T>);

/// The waiting half.
#[derive(Debug)]
pub struct Pending<T>(Receiver<T>);

/// A reply and the place where it will arrive.
pub fn reply<T>() -> (Reply<T>, Pending<T>) {
    let (sender, receiver) = bounded(1);
    (Reply(sender), Pending(receiver))
}

impl<T> Reply<T> {
    /// Answer. An asker that has stopped waiting is no concern of the answerer's.
    pub fn send(self, answer: T) {
        let _ = self.0.try_send(answer);
    }
}

impl<T> Pending<T> {
    /// Wait for the answer.
    ///
    /// # Errors
    /// [`Closed`] when the reply was dropped unanswered.
    pub fn wait(self) -> Result<T, Closed> {
        self.0.recv().map_err(|_| Closed)
    }

    /// Wait until `deadline`; None when it passed first.
    ///
    /// # Errors
    /// [`Closed`] when the reply was dropped unanswered.
    pub fn wait_until(self, deadline: Instant) -> Result<Option<T>, Closed> {
        match self.0.recv_deadline(deadline) {
            Ok(answer) => Ok(Some(answer)),
            Err(crossbeam_channel::RecvTimeoutError::Timeout) => Ok(None),
            Err(crossbeam_channel::RecvTimeoutError::Disconnected) => Err(Closed),
        }
    }
}
