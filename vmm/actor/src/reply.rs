//! The answer that travels inside a request.

use std::fmt;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::Closed;

/// The answering half: answers once, by value. Dropped unanswered it is a [`Closed`] to the asker.
pub struct Reply<T>(To<T>);

enum To<T> {
    /// A thread that waits.
    Waiting(Sender<T>),
    /// Whoever wants to be called, on the answerer's thread.
    Called(Box<dyn FnOnce(T) + Send>),
}

/// The waiting half.
#[derive(Debug)]
pub struct Pending<T>(Receiver<T>);

/// A reply and the place where it will arrive.
pub fn reply<T>() -> (Reply<T>, Pending<T>) {
    let (sender, receiver) = bounded(1);
    (Reply(To::Waiting(sender)), Pending(receiver))
}

/// A reply that calls `answered` on the answerer's thread, which it must not keep: for an asker that sleeps in a
/// runtime of its own. It is dropped uncalled where the reply is.
pub fn reply_to<T>(answered: impl FnOnce(T) + Send + 'static) -> Reply<T> {
    Reply(To::Called(Box::new(answered)))
}

impl<T> Reply<T> {
    /// Answer. An asker that has stopped waiting is no concern of the answerer's.
    pub fn send(self, answer: T) {
        match self.0 {
            To::Waiting(sender) => {
                let _ = sender.try_send(answer);
            }
            To::Called(answered) => answered(answer),
        }
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply")
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{TryRecvError, channel};

    use super::*;
    use crate::mailbox;

    #[test]
    fn a_reply_that_calls_is_called_once_with_the_answer_before_the_answerer_goes_on() {
        let (heard, answers) = channel();
        reply_to(move |answer| heard.send(answer).unwrap()).send(7);
        assert_eq!(answers.try_recv(), Ok(7));
        assert_eq!(answers.try_recv(), Err(TryRecvError::Disconnected));
    }

    #[test]
    fn a_reply_that_calls_is_dropped_uncalled_by_an_actor_that_dies() {
        let (heard, answers) = channel::<()>();
        let (address, requests) = mailbox(1);
        address
            .send(reply_to(move |answer| heard.send(answer).unwrap()))
            .unwrap();
        drop(requests);
        assert_eq!(answers.try_recv(), Err(TryRecvError::Disconnected));
    }
}
