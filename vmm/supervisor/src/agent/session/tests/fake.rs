//! A keeper and an agent for the tests: the simplest that keep the rules.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use agent_protocol::{Call, EventId as WireId, FrameReader, FromAgent, Hello, ToAgent, VERSION};
use container_core::{Errno, HierarchyName, Refusal, ViewAccess, ViewEvent, ViewPath, ViewRoot};

use crate::EventId;
use crate::agent::outbox::MAX_OUTPUT;
use crate::agent::{Act, Backlog, Outcome, Reply, Request, Session, Token};

pub const EPOCH: u64 = 7;

/// Every event that ever happened, of which the last few are kept.
pub struct Keeper {
    pub events: Vec<ViewEvent>,
    pub kept: usize,
    pub page: usize,
    pub subscribed: bool,
    pub changes: u32,
}

impl Keeper {
    pub fn new(kept: usize, page: usize) -> Self {
        Keeper {
            events: Vec::new(),
            kept,
            page,
            subscribed: false,
            changes: 0,
        }
    }

    pub fn last(&self) -> u64 {
        self.events.len() as u64
    }

    /// The oldest number kept.
    pub fn oldest(&self) -> u64 {
        self.last() + 1 - self.last().min(self.kept as u64)
    }

    pub fn happen(&mut self, size: usize) -> (u64, ViewEvent) {
        let event = ViewEvent::FileWritten {
            group: "placement:/".parse().unwrap(),
            file: "debug".into(),
            value: format!("{}{}", self.last() + 1, "x".repeat(size)),
        };
        self.events.push(event.clone());
        (self.last(), event)
    }

    fn after(&self, number: u64, lost: Option<u64>) -> Backlog {
        let first = self.oldest().max(number + 1);
        let numbered =
            (first..=self.last()).map(|seq| (seq, self.events[seq as usize - 1].clone()));
        let events: Vec<_> = numbered.take(self.page).collect();
        let more = first + (events.len() as u64) <= self.last();
        Backlog { lost, events, more }
    }

    fn since(&self, since: Option<EventId>) -> Backlog {
        match since {
            None => Backlog {
                lost: Some(0),
                ..Backlog::default()
            },
            Some(id) if id.epoch != EPOCH || id.seq > self.last() => self.after(0, None),
            Some(id) => self.after(id.seq, Some(self.oldest().saturating_sub(id.seq + 1))),
        }
    }

    pub fn answer(&mut self, request: Request) -> Outcome {
        Ok(match request {
            Request::Greet | Request::Roots => Reply::Roots(vec![ViewRoot {
                hierarchy: "placement".parse::<HierarchyName>().unwrap(),
                subsystems: vec!["cpuset"],
                access: ViewAccess::Delegate,
            }]),
            Request::Tree { .. } => Reply::Tree {
                groups: vec![],
                more: false,
            },
            Request::Read { file, .. } if file == "nothing" => {
                return Err(Refusal::new(Errno::ENOENT, "no file nothing"));
            }
            Request::Read { group, file } => Reply::File(format!("{group} {file}")),
            Request::Change(commands) => {
                self.changes += commands.len() as u32;
                Reply::Changed {
                    effects: commands.len() as u32,
                }
            }
            Request::Subscribe { since } => {
                self.subscribed = true;
                let last = EventId {
                    epoch: EPOCH,
                    seq: self.last(),
                };
                Reply::Subscribed {
                    last,
                    backlog: self.since(since),
                }
            }
            Request::Replay { after } => {
                let lost = self.oldest().saturating_sub(after + 1);
                Reply::Replayed(self.after(after, Some(lost)))
            }
            Request::Unsubscribe => {
                self.subscribed = false;
                Reply::Unsubscribed
            }
        })
    }
}

/// What the keeper has said and the session has not heard.
pub enum Told {
    Answer(Token, Outcome),
    Push(u64, ViewEvent),
}

/// A session between a keeper and an agent, and time.
pub struct Stage {
    pub now: Instant,
    pub session: Session,
    pub keeper: Keeper,
    /// What the session has asked and the keeper has not looked at.
    pub asked: Option<(Token, Request)>,
    pub told: VecDeque<Told>,
    /// What the agent has written and the session has not read.
    pub pipe: VecDeque<u8>,
    reader: FrameReader,
    /// What the agent has read.
    pub heard: Vec<ToAgent>,
    /// All acts but questions to the keeper.
    pub acts: Vec<Act>,
    /// Whether this session has given its end.
    ended: bool,
}

impl Stage {
    /// Nobody has said anything.
    pub fn silent(keeper: Keeper) -> Self {
        let now = Instant::now();
        Stage {
            now,
            session: Session::new(now),
            keeper,
            asked: None,
            told: VecDeque::new(),
            pipe: VecDeque::new(),
            reader: FrameReader::new(),
            heard: Vec::new(),
            acts: Vec::new(),
            ended: false,
        }
    }

    /// The handshake is done.
    pub fn open() -> Self {
        let mut stage = Stage::silent(Keeper::new(100, 100));
        stage.greet();
        stage
    }

    /// Do the handshake.
    pub fn greet(&mut self) {
        self.say(&hello("test"));
        self.settle();
        assert!(matches!(self.heard.first(), Some(ToAgent::Welcome(_))));
    }

    /// The agent's connection is cut, and it connects again.
    pub fn reconnect(&mut self) {
        let acts = self.session.on_eof(self.now);
        self.carry_out(acts);
        self.session = Session::new(self.now);
        self.ended = false;
        self.keeper.subscribed = false;
        self.asked = None;
        self.told.clear();
        self.pipe.clear();
        self.reader = FrameReader::new();
    }

    pub fn say(&mut self, message: &FromAgent) {
        self.pipe.extend(agent_protocol::encode(message).unwrap());
    }

    pub fn request(&mut self, id: u32, call: Call) {
        self.say(&FromAgent::Request { id, call });
    }

    /// The wire reads at most so many bytes. Whether there were any.
    pub fn feed(&mut self, most: usize) -> bool {
        let most = most.min(self.session.input_room()).min(self.pipe.len());
        let bytes: Vec<u8> = self.pipe.drain(..most).collect();
        let acts = self.session.on_bytes(&bytes, self.now);
        self.carry_out(acts);
        most > 0
    }

    /// The agent reads at most so many bytes. Whether there were any.
    pub fn drain(&mut self, most: usize) -> bool {
        let mut bytes = self.session.output();
        bytes = &bytes[..bytes.len().min(most)];
        let taken = bytes.len();
        while !bytes.is_empty() {
            bytes = &bytes[self.reader.push(bytes)..];
            while let Some(message) = self.reader.next_message().unwrap() {
                self.heard.push(message);
            }
        }
        let acts = self.session.took(taken, self.now);
        self.carry_out(acts);
        taken > 0
    }

    /// The keeper looks at what it is asked.
    pub fn keep(&mut self) -> bool {
        let Some((token, request)) = self.asked.take() else {
            return false;
        };
        let outcome = self.keeper.answer(request);
        self.told.push_back(Told::Answer(token, outcome));
        true
    }

    /// The session hears one thing that the keeper said.
    pub fn tell(&mut self) -> bool {
        let Some(told) = self.told.pop_front() else {
            return false;
        };
        let acts = match told {
            Told::Answer(token, outcome) => self.session.on_answer(token, outcome, self.now),
            Told::Push(seq, event) => self.session.on_push(seq, &event, self.now),
        };
        self.carry_out(acts);
        true
    }

    /// Something happens, and the session is told or skipped.
    pub fn happen(&mut self, size: usize, skipped: bool) {
        let (seq, event) = self.keeper.happen(size);
        if self.keeper.subscribed && !skipped {
            self.told.push_back(Told::Push(seq, event));
        }
    }

    pub fn pass(&mut self, time: Duration) {
        self.now += time;
        let acts = self.session.on_time(self.now);
        self.carry_out(acts);
    }

    /// Everybody does what there is to do, until there is nothing.
    pub fn settle(&mut self) {
        loop {
            let mut busy = self.keep() | self.tell();
            busy |= self.feed(usize::MAX) | self.drain(usize::MAX);
            if !busy && self.session.bucket.is_empty() {
                self.pass(Duration::from_millis(16));
                busy = true;
            }
            if !busy || self.session.is_over() {
                return;
            }
        }
    }

    pub fn carry_out(&mut self, acts: Vec<Act>) {
        for act in acts {
            assert!(!self.ended, "the end is the last act, and there is one");
            self.ended = matches!(act, Act::End { .. });
            match act {
                Act::Ask(token, request) => {
                    assert!(self.asked.is_none(), "one at a time");
                    let told = |told: &Told| matches!(told, Told::Answer(..));
                    assert!(!self.told.iter().any(told), "one at a time");
                    self.asked = Some((token, request));
                }
                other => self.acts.push(other),
            }
        }
        assert!(self.session.output().len() <= MAX_OUTPUT);
        assert!(self.session.open.len() <= usize::from(agent_protocol::MAX_OPEN));
    }

    /// The answers heard, by request.
    pub fn answers(&self) -> Vec<(u32, Result<agent_protocol::Reply, agent_protocol::Refusal>)> {
        let answer = |message: &ToAgent| match message {
            ToAgent::Answer { id, outcome } => Some((*id, outcome.clone())),
            _ => None,
        };
        self.heard.iter().filter_map(answer).collect()
    }

    /// How the session ended, if it did.
    pub fn end(&self) -> Option<(&str, bool)> {
        self.acts.iter().find_map(|act| match act {
            Act::End { why, fault } => Some((why.as_str(), *fault)),
            _ => None,
        })
    }
}

pub fn hello(agent: &str) -> FromAgent {
    FromAgent::Hello(Hello {
        version: VERSION,
        agent: agent.into(),
    })
}

pub fn since(seq: u64) -> Call {
    Call::Subscribe {
        since: Some(WireId { epoch: EPOCH, seq }),
    }
}

pub fn path(text: &str) -> ViewPath {
    text.parse().unwrap()
}

/// The numbers heard: of an event and true, or after a gap and false.
pub fn numbers(heard: &[ToAgent]) -> Vec<(u64, bool)> {
    let number = |message: &ToAgent| match message {
        ToAgent::Event { id, .. } => Some((id.seq, true)),
        ToAgent::Gap { next, .. } => Some((next.seq, false)),
        _ => None,
    };
    heard.iter().filter_map(number).collect()
}
