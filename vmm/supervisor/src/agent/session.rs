//! One session.
//!
//! ```text
//!   ┌────────┐ Hello      ┌──────────┐ roots of the keeper  ┌──────┐
//!   │ silent ├───────────▶│ greeting ├── Welcome ──────────▶│ open │
//!   └───┬────┘            └────┬─────┘                      └──┬───┘
//!       │ 5 s                  │ no view                       │ a rule broken, nothing read for 10 s,
//!       ▼                      ▼                               ▼ hung up, closed
//!     ended ─────────────────────────────────────────── Goodbye, Act::End
//! ```
//!
//! Requests are read ahead up to [`MAX_OPEN`] and served one by one, so that answers come in their order.
//! The keeper has at most one thing of a session to do; replays and requests take turns. Nothing is read
//! while it could not be served: the stream fills, and in the end the guest's driver has no credit.

mod events;
mod serving;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use agent_protocol::{
    Ask, Call, FrameReader, FromAgent, Hello, MAX_AGENT_NAME, MAX_CHANGES, MAX_OPEN, ToAgent,
    VERSION, encode,
};
use container_core::ViewEvent;

use super::ask::{AskError, Asks, NotNow};
use super::outbox::Outbox;
use super::rate::{self, Bucket};
use super::subscription::Subscription;
use super::{Act, Outcome, Request, Token, translate};
use crate::wire::cut;

/// An agent introduces itself within this time, or the slot of its session is given up.
const HELLO_LIMIT: Duration = Duration::from_secs(5);

/// A session. Methods return what is to be done; after [`Act::End`] they return nothing more.
#[derive(Debug)]
pub struct Session {
    state: State,
    reader: FrameReader,
    outbox: Outbox,
    bucket: Bucket,
    /// Requests that have no answer yet, oldest first.
    open: VecDeque<(u32, Call)>,
    /// What the keeper has been asked.
    asked: Option<(Token, For)>,
    tokens: u64,
    subscription: Option<Subscription>,
    /// Whether the keeper's last turn was a replay.
    replayed: bool,
    asks: Asks,
    acts: Vec<Act>,
}

#[derive(Debug)]
enum State {
    /// Nothing said.
    Silent {
        until: Instant,
    },
    /// Introduced; the keeper is asked what it sees.
    Greeting {
        agent: String,
    },
    Open,
    Ended,
}

/// What the keeper is asked for.
#[derive(Clone, Copy, Debug)]
enum For {
    Welcome,
    /// The oldest open request.
    Answer,
    Replay,
}

impl Session {
    /// A session with whoever has just connected.
    pub fn new(now: Instant) -> Self {
        Session {
            state: State::Silent {
                until: now + HELLO_LIMIT,
            },
            reader: FrameReader::new(),
            outbox: Outbox::default(),
            bucket: Bucket::full(now),
            open: VecDeque::new(),
            asked: None,
            tokens: 0,
            subscription: None,
            replayed: false,
            asks: Asks::default(),
            acts: Vec::new(),
        }
    }

    /// How many bytes may be read of the stream now; 0 when it is to be left alone.
    pub fn input_room(&self) -> usize {
        if self.may_read() {
            self.reader.room()
        } else {
            0
        }
    }

    /// Bytes of the stream, at most [`input_room`](Self::input_room).
    ///
    /// # Panics
    /// For more than that.
    pub fn on_bytes(&mut self, bytes: &[u8], now: Instant) -> Vec<Act> {
        if !self.is_over() {
            let taken = self.reader.push(bytes);
            assert_eq!(taken, bytes.len(), "more was read than there was room for");
            self.bucket.fill(now);
            if !self.read(now) && !bytes.is_empty() {
                self.bucket.take(rate::PART);
            }
        }
        self.advance(now)
    }

    /// The stream has ended.
    pub fn on_eof(&mut self, now: Instant) -> Vec<Act> {
        self.hang_up("the agent closed its connection", now)
    }

    /// The keeper's answer. One to another question than the open one is not heard.
    pub fn on_answer(&mut self, token: Token, outcome: Outcome, now: Instant) -> Vec<Act> {
        if let Some((_, what)) = self.asked.take_if(|(asked, _)| *asked == token) {
            match what {
                For::Welcome => self.on_roots(outcome, now),
                For::Answer => self.on_reply(outcome, now),
                For::Replay => self.on_replayed(outcome, now),
            }
        }
        self.advance(now)
    }

    /// An event of the view. Numbers rise, some may have been left out; pushes and answers come in the order
    /// in which the keeper said them.
    pub fn on_push(&mut self, seq: u64, event: &ViewEvent, now: Instant) -> Vec<Act> {
        self.take_push(seq, event, now);
        self.advance(now)
    }

    /// Ask the guest for something. What becomes of it comes as [`Act::AskDone`] of this token, within 5 s.
    ///
    /// # Errors
    /// When it cannot be asked now; nothing follows.
    pub fn ask(&mut self, ask: Ask, token: u64, now: Instant) -> Result<Vec<Act>, NotNow> {
        if !matches!(self.state, State::Open) {
            return Err(NotNow::NotOpen);
        }
        if !self.outbox.has_room() {
            return Err(NotNow::Full);
        }
        let id = self.asks.begin(ask, token, now)?;
        self.write(&ToAgent::Request { id, ask }, now);
        Ok(self.advance(now))
    }

    /// End the session, for a reason of the host's.
    pub fn hang_up(&mut self, why: &str, now: Instant) -> Vec<Act> {
        self.end(why, false, now);
        self.advance(now)
    }

    /// What waits to be written to the stream.
    pub fn output(&self) -> &[u8] {
        self.outbox.waiting()
    }

    /// The stream has taken this many bytes of [`output`](Self::output).
    ///
    /// # Panics
    /// For more than there are.
    pub fn took(&mut self, bytes: usize, now: Instant) -> Vec<Act> {
        self.outbox.took(bytes, now);
        self.advance(now)
    }

    /// When to call [`on_time`](Self::on_time), if nothing else happens before.
    pub fn deadline(&self) -> Option<Instant> {
        let silent = match self.state {
            State::Silent { until } => Some(until),
            State::Greeting { .. } | State::Open => None,
            State::Ended => return None,
        };
        let deadlines = [
            silent,
            self.outbox.deadline(),
            self.asks.deadline(),
            self.bucket.deadline(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Time has passed.
    pub fn on_time(&mut self, now: Instant) -> Vec<Act> {
        for token in self.asks.timed_out(now) {
            let result = Err(AskError::TimedOut);
            self.acts.push(Act::AskDone { token, result });
        }
        if matches!(self.state, State::Silent { until } if until <= now) {
            let why = format!("no Hello within {} s", HELLO_LIMIT.as_secs());
            self.end(&why, true, now);
        } else if self.outbox.deadline().is_some_and(|until| until <= now) {
            self.end("the agent does not read what waits for it", true, now);
        }
        self.advance(now)
    }

    /// Whether [`Act::End`] has been given.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Read and serve what can be, and hand out what is to be done.
    fn advance(&mut self, now: Instant) -> Vec<Act> {
        self.bucket.fill(now);
        loop {
            self.read(now);
            if !self.serve(now) {
                return std::mem::take(&mut self.acts);
            }
        }
    }

    fn may_read(&self) -> bool {
        !self.is_over()
            && self.open.len() < usize::from(MAX_OPEN)
            && self.outbox.has_room()
            && !self.bucket.is_empty()
    }

    /// Read what can be; whether a message was.
    fn read(&mut self, now: Instant) -> bool {
        let mut any = false;
        while self.may_read() {
            let room = self.reader.room();
            let heard = match self.reader.next_message::<FromAgent>() {
                Ok(Some(message)) => {
                    let bytes = self.reader.room() - room;
                    self.bucket.take(rate::cost(&message, bytes));
                    self.hear(message)
                }
                Ok(None) => return any,
                Err(error) => Err(error.to_string()),
            };
            any = true;
            if let Err(why) = heard {
                self.end(&why, true, now);
            }
        }
        any
    }

    /// Take one message in. The error is the rule it breaks.
    fn hear(&mut self, message: FromAgent) -> Result<(), String> {
        match (message, &self.state) {
            (FromAgent::Hello(hello), State::Silent { .. }) => self.on_hello(hello),
            (_, State::Silent { .. }) => Err("its first message is not Hello".into()),
            (FromAgent::Hello(_), _) => Err("a second Hello".into()),
            (FromAgent::Request { id, call }, _) => {
                if self.open.iter().any(|(open, _)| *open == id) {
                    return Err(format!("request {id} is open already"));
                }
                if matches!(&call, Call::Change(changes) if changes.len() > MAX_CHANGES) {
                    return Err(format!("more than {MAX_CHANGES} changes in one request"));
                }
                self.open.push_back((id, call));
                Ok(())
            }
            (FromAgent::Answer { id, answer }, _) => {
                if let Some(token) = self.asks.answered(id, &answer)? {
                    let result = Ok(translate::harmless(answer));
                    self.acts.push(Act::AskDone { token, result });
                }
                Ok(())
            }
        }
    }

    fn on_hello(&mut self, hello: Hello) -> Result<(), String> {
        let Hello { version, agent } = hello;
        if version != VERSION {
            return Err(format!("agent protocol version {version}, not {VERSION}"));
        }
        if agent.len() > MAX_AGENT_NAME {
            return Err(format!("an agent's name is past {MAX_AGENT_NAME} bytes"));
        }
        self.state = State::Greeting { agent: cut(&agent) };
        self.ask_keeper(For::Welcome, Request::Greet);
        Ok(())
    }

    /// Write a message that is short by its nature.
    fn write(&mut self, message: &ToAgent, now: Instant) {
        match encode(message) {
            Ok(frame) => self.outbox.push(&frame, now),
            Err(error) => self.end(&error.to_string(), false, now),
        }
    }

    fn end(&mut self, why: &str, fault: bool, now: Instant) {
        if self.is_over() {
            return;
        }
        self.state = State::Ended;
        let why = cut(why);
        for token in self.asks.end() {
            let result = Err(AskError::Ended(why.clone()));
            self.acts.push(Act::AskDone { token, result });
        }
        self.reader = FrameReader::new();
        self.open.clear();
        self.asked = None;
        self.subscription = None;
        if self.outbox.has_room() {
            self.write(&ToAgent::Goodbye { why: why.clone() }, now);
        }
        self.acts.push(Act::End { why, fault });
    }
}
