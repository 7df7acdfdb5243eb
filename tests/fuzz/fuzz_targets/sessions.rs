//! An agent session between a guest that sends anything and a keeper that answers in its own time: it never
//! panics, holds no more than it may, asks one thing at a time, and ends at most once.
#![no_main]

use std::time::{Duration, Instant};

use agent_protocol::{Ask, FrameReader, FromAgent, Hello, ToAgent, VERSION, encode};
use container_core::{Errno, Refusal, ViewAccess, ViewEvent, ViewRoot};
use libfuzzer_sys::fuzz_target;
use supervisor::EventId;
use supervisor::agent::{Act, Backlog, Outcome, Reply, Request, Session, Token};

/// More than any output: 256 KiB, and three frames of 64 KiB that had been begun.
const MOST_OUTPUT: usize = 512 * 1024;

struct Stage {
    now: Instant,
    session: Session,
    asked: Option<(Token, Request)>,
    ended: bool,
    /// The last event of the view.
    seq: u64,
    agent: FrameReader,
    /// The last number that the agent heard.
    heard: Option<u64>,
}

impl Stage {
    fn carry_out(&mut self, acts: Vec<Act>) {
        for act in acts {
            assert!(!self.ended, "nothing comes after the end");
            match act {
                Act::Ask(token, request) => {
                    assert!(
                        self.asked.replace((token, request)).is_none(),
                        "one at a time"
                    );
                }
                Act::End { why, .. } => {
                    assert!(why.chars().count() <= 256 && !why.chars().any(char::is_control));
                    self.ended = true;
                    self.asked = None;
                }
                Act::AskDone { .. } | Act::Opened { .. } => {}
            }
        }
        assert_eq!(self.ended, self.session.is_over());
        assert!(self.session.output().len() <= MOST_OUTPUT);
    }

    fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.session.input_room() > 0 {
            let (now, rest) = bytes.split_at(bytes.len().min(self.session.input_room()));
            bytes = rest;
            let acts = self.session.on_bytes(now, self.now);
            self.carry_out(acts);
        }
    }

    fn answer(&mut self) {
        if let Some((token, request)) = self.asked.take() {
            let outcome = self.outcome(request);
            let acts = self.session.on_answer(token, outcome, self.now);
            self.carry_out(acts);
        }
    }

    fn event(&self) -> ViewEvent {
        ViewEvent::FileWritten {
            group: "placement:/hot".parse().expect("a path"),
            file: "cpuset.cpus".into(),
            value: "0-3".repeat(self.seq as usize % 700),
        }
    }

    /// Events after a number, as a log that keeps 64 gives them, eight at a time.
    fn after(&self, number: u64, lost: Option<u64>) -> Backlog {
        let first = (number + 1).max(self.seq.saturating_sub(63)).max(1);
        let last = self.seq.min(first + 7);
        Backlog {
            lost: lost.map(|_| first - 1 - number),
            events: (first..=last).map(|seq| (seq, self.event())).collect(),
            more: last < self.seq,
        }
    }

    fn outcome(&self, request: Request) -> Outcome {
        Ok(match request {
            Request::Greet | Request::Roots => Reply::Roots(vec![ViewRoot {
                hierarchy: "placement".parse()?,
                subsystems: vec!["cpuset"],
                access: ViewAccess::Delegate,
            }]),
            Request::Tree { .. } => Reply::Tree {
                groups: vec![],
                more: true,
            },
            Request::Read { file, .. } => Reply::File(file.repeat(300)),
            Request::Change(commands) if commands.is_empty() => {
                return Err(Refusal::new(Errno::EINVAL, "nothing to do"));
            }
            Request::Change(commands) => Reply::Changed {
                effects: commands.len() as u32,
            },
            Request::Subscribe { since } => Reply::Subscribed {
                last: EventId {
                    epoch: 1,
                    seq: self.seq,
                },
                backlog: match since {
                    None => Backlog::default(),
                    Some(id) if id.epoch == 1 && id.seq <= self.seq => self.after(id.seq, Some(0)),
                    Some(_) => self.after(0, None),
                },
            },
            Request::Replay { after } => Reply::Replayed(self.after(after, Some(0))),
            Request::Unsubscribe => Reply::Unsubscribed,
        })
    }

    /// The agent reads: whole messages, and numbers that rise one by one between answers.
    fn drain(&mut self, most: usize) {
        let taken = self.session.output().len().min(most);
        let mut bytes = &self.session.output()[..taken];
        while !bytes.is_empty() {
            bytes = &bytes[self.agent.push(bytes)..];
            while let Some(message) = self.agent.next_message().expect("a message") {
                match message {
                    ToAgent::Answer { .. } => self.heard = None,
                    ToAgent::Event { id, .. } => {
                        let next = self.heard.map_or(id.seq, |heard| heard + 1);
                        assert_eq!(id.seq, next, "no event is skipped or repeated silently");
                        self.heard = Some(id.seq);
                    }
                    ToAgent::Gap { next, .. } => self.heard = Some(next.seq - 1),
                    _ => {}
                }
            }
        }
        let acts = self.session.took(taken, self.now);
        self.carry_out(acts);
    }

    fn push(&mut self, skipped: u8) {
        self.seq += 1 + u64::from(skipped);
        let acts = self.session.on_push(self.seq, &self.event(), self.now);
        self.carry_out(acts);
    }

    fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        let acts = self.session.on_time(self.now);
        self.carry_out(acts);
    }

    fn ask(&mut self, what: u8) {
        let ask = [Ask::Ping, Ask::Info, Ask::Shutdown][usize::from(what) % 3];
        if let Ok(acts) = self.session.ask(ask, 1, self.now) {
            self.carry_out(acts);
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let now = Instant::now();
    let mut stage = Stage {
        now,
        session: Session::new(now),
        asked: None,
        ended: false,
        seq: 0,
        agent: FrameReader::new(),
        heard: None,
    };
    let mut rest = input;
    // Most inputs are to get past the handshake.
    if input.first().is_some_and(|first| first % 8 != 0) {
        let agent = "fuzz".into();
        let version = VERSION;
        let hello = encode(&FromAgent::Hello(Hello { version, agent }));
        stage.feed(&hello.expect("a frame"));
        stage.answer();
    }
    // Two bytes say what happens, and to what extent; bytes of the agent follow.
    while let [op, extent, left @ ..] = rest {
        rest = left;
        let size = usize::from(*extent).min(rest.len());
        match op % 10 {
            0 => {
                let (bytes, left) = rest.split_at(size);
                rest = left;
                stage.feed(bytes);
            }
            1..=3 => {
                let (bytes, left) = rest.split_at(size);
                rest = left;
                stage.feed(&(size as u32).to_le_bytes());
                stage.feed(bytes);
            }
            4 | 5 => stage.answer(),
            6 => stage.push(extent % 4),
            7 => stage.drain(usize::from(*extent) * 64),
            8 => stage.pass(u64::from(*extent) * 40),
            _ => stage.ask(*extent),
        }
    }
});
