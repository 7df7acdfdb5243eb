//! What the host asks a guest for: open questions, their answers and their time.

use std::time::{Duration, Instant};

use agent_protocol::{Answer, Ask};

/// Questions that may be open at once in a session. One that has timed out is open until it is answered, so
/// that a late answer is no fault; an agent that answers none is soon asked nothing more.
pub(super) const MAX_ASKS: usize = 4;
/// An agent answers within this time.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Why a guest is not asked now. Nothing has been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotNow {
    /// The handshake is not done, or the session is over.
    #[error("the agent's session is not open")]
    NotOpen,
    /// Too many questions wait for their answers.
    #[error("the agent has not answered {MAX_ASKS} questions")]
    TooMany,
    /// The agent does not read.
    #[error("the agent does not read what waits for it")]
    Full,
}

/// Why a guest has not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Not in time.
    #[error("the agent has not answered for {} s", ANSWER_LIMIT.as_secs())]
    TimedOut,
    /// The session ended first.
    #[error("the agent's session ended: {0}")]
    Ended(String),
}

#[derive(Debug)]
struct Open {
    id: u32,
    ask: Ask,
    /// Whom to tell, and until when to wait; None once it has timed out.
    awaited: Option<(u64, Instant)>,
}

/// The open questions of a session.
#[derive(Debug, Default)]
pub(super) struct Asks {
    open: Vec<Open>,
    last_id: u32,
}

impl Asks {
    /// Note a question; returns its id on the channel.
    pub(super) fn begin(&mut self, ask: Ask, token: u64, now: Instant) -> Result<u32, NotNow> {
        if self.open.len() >= MAX_ASKS {
            return Err(NotNow::TooMany);
        }
        // Of the few open none can be 2^32 old, so a number that comes round again is free.
        self.last_id = self.last_id.wrapping_add(1);
        self.open.push(Open {
            id: self.last_id,
            ask,
            awaited: Some((token, now + ANSWER_LIMIT)),
        });
        Ok(self.last_id)
    }

    /// Take an answer; returns whom to tell, or None if it came too late.
    ///
    /// # Errors
    /// The rule that the answer breaks: nothing of that id was asked, or something else.
    pub(super) fn answered(&mut self, id: u32, answer: &Answer) -> Result<Option<u64>, String> {
        let Some(index) = self.open.iter().position(|open| open.id == id) else {
            return Err(format!("an answer to {id}, which was not asked"));
        };
        let ask = self.open[index].ask;
        let fits = matches!(
            (ask, answer),
            (_, Answer::Declined { .. })
                | (Ask::Ping, Answer::Pong)
                | (Ask::Info, Answer::Info { .. })
                | (Ask::Shutdown, Answer::Ending)
        );
        if !fits {
            return Err(format!("{ask:?} is answered with {answer:?}"));
        }
        let awaited = self.open.swap_remove(index).awaited;
        Ok(awaited.map(|(token, _)| token))
    }

    /// Those whose time is up, each once.
    pub(super) fn timed_out(&mut self, now: Instant) -> Vec<u64> {
        self.open
            .iter_mut()
            .filter_map(|open| open.awaited.take_if(|(_, until)| *until <= now))
            .map(|(token, _)| token)
            .collect()
    }

    /// When the next one's time is up.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let untils = self.open.iter().filter_map(|open| open.awaited);
        untils.map(|(_, until)| until).min()
    }

    /// Forget all; returns those who still wait.
    pub(super) fn end(&mut self) -> Vec<u64> {
        let open = std::mem::take(&mut self.open);
        open.into_iter()
            .filter_map(|open| open.awaited)
            .map(|(token, _)| token)
            .collect()
    }
}
