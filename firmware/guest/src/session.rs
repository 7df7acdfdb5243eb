//! A session with the supervisor, over one connection: requests and their answers, and what the
//! supervisor says by itself.
//!
//! Whatever waits for the supervisor comes through [`Session::pump_one`], which keeps events for later and
//! answers the supervisor's own requests at once: so they are answered whenever any verb waits.

use alloc::string::String;

use agent_protocol::{
    Answer, Ask, Call, EventId, FrameReader, FromAgent, Hello, PORT, Refusal, Reply, ToAgent,
    VERSION, Welcome, encode,
};

use crate::connection::Flow;
use crate::cpu;
use crate::failure::Failure;
use crate::kept::{Item, Kept};
use crate::net::Net;
use crate::vcpu::Vcpu;

/// What the guest's agent calls itself.
const AGENT: &str = concat!("pinfold-tiny ", env!("CARGO_PKG_VERSION"));

/// How long the supervisor may take for anything it is asked.
pub const PATIENCE_SECONDS: u64 = 10;

/// The same, in microseconds.
pub const PATIENCE_MICROSECONDS: u64 = PATIENCE_SECONDS * 1_000_000;

/// What outlives a session.
pub struct Memory {
    /// The vCPU that is the agent now.
    pub vcpu: Vcpu,
    /// Events that no verb has asked for.
    pub kept: Kept,
    /// Whether events are to be pushed: a session that is opened again resumes.
    pub subscribed: bool,
    /// The last event that was seen, or that stands before the first.
    pub last: Option<EventId>,
    /// Whether the supervisor has asked the guest to end.
    pub asked_to_end: bool,
    /// When the agent started.
    pub started: u64,
}

impl Memory {
    /// Nothing has happened.
    pub fn new(vcpu: Vcpu) -> Self {
        Self {
            vcpu,
            kept: Kept::new(),
            subscribed: false,
            last: None,
            asked_to_end: false,
            started: cpu::timestamp(),
        }
    }
}

/// An open session.
pub struct Session {
    /// Its connection.
    pub flow: Flow,
    /// What the supervisor said at the start.
    pub welcome: Welcome,
    reader: FrameReader,
    next_id: u32,
    answer: Option<(u32, Result<Reply, Refusal>)>,
}

impl Session {
    /// Opens a session from a port of the guest, and resumes the subscription if there was one.
    pub fn open(net: &mut Net, memory: &mut Memory, port: u32) -> Result<Self, Failure> {
        let flow = Flow {
            local: port,
            remote: PORT,
        };
        if !net.open(flow, net.seconds(PATIENCE_SECONDS))? {
            net.forget(flow)?;
            return Err(Failure::Ended("the connection was refused".into()));
        }
        let mut session = Self {
            flow,
            welcome: Welcome {
                version: 0,
                max_frame: 0,
                max_open: 0,
                roots: alloc::vec![],
            },
            reader: FrameReader::new(),
            next_id: 1,
            answer: None,
        };
        let hello = Hello {
            version: VERSION,
            agent: AGENT.into(),
        };
        session.say(net, &FromAgent::Hello(hello))?;
        net.wait(net.seconds(PATIENCE_SECONDS), |net| {
            session.pump_until(net, memory, |session| {
                (session.welcome.version != 0).then_some(())
            })
        })?;
        if session.welcome.version != VERSION {
            return Err(Failure::wrong("the supervisor speaks another version"));
        }
        if memory.subscribed
            && let Err(refusal) = session.subscribe(net, memory)?
        {
            let what = alloc::format!("subscription refused: {}", refusal.rule);
            return Err(Failure::Wrong(what.into()));
        }
        Ok(session)
    }

    /// Has events pushed, after the last that was seen.
    pub fn subscribe(
        &mut self,
        net: &mut Net,
        memory: &mut Memory,
    ) -> Result<Result<EventId, Refusal>, Failure> {
        let since = memory.last;
        match self.call(net, memory, Call::Subscribe { since })? {
            Ok(Reply::Subscribed { last }) => {
                memory.subscribed = true;
                memory.last.get_or_insert(last);
                Ok(Ok(last))
            }
            Ok(_) => Err(Failure::wrong("an answer to another question")),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// Asks, and waits for the answer.
    pub fn call(
        &mut self,
        net: &mut Net,
        memory: &mut Memory,
        call: Call,
    ) -> Result<Result<Reply, Refusal>, Failure> {
        let asked = self.ask(net, call)?;
        let (id, outcome) = net.wait(net.seconds(PATIENCE_SECONDS), |net| {
            self.pump_until(net, memory, |session| session.answer.take())
        })?;
        if id != asked {
            return Err(Failure::wrong("an answer to another question"));
        }
        Ok(outcome)
    }

    /// Asks, and returns the question's number.
    pub fn ask(&mut self, net: &mut Net, call: Call) -> Result<u32, Failure> {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        self.say(net, &FromAgent::Request { id, call })?;
        Ok(id)
    }

    /// Sends a message: one packet, so one exit, if the host has room for it.
    fn say(&mut self, net: &mut Net, message: &FromAgent) -> Result<(), Failure> {
        let frame = encode(message).map_err(|_| Failure::wrong("a message too long to send"))?;
        // If the connection is gone, the next pump says why.
        net.send(self.flow, &frame, PATIENCE_MICROSECONDS)?;
        Ok(())
    }

    /// Takes in messages until `done` gives something, or there are no more for now.
    fn pump_until<T>(
        &mut self,
        net: &mut Net,
        memory: &mut Memory,
        done: impl Fn(&mut Self) -> Option<T>,
    ) -> Result<Option<T>, Failure> {
        while self.pump_one(net, memory)? {
            if let Some(result) = done(self) {
                return Ok(Some(result));
            }
        }
        Ok(None)
    }

    /// Takes in one message, if one has come whole; whether one had. Nothing takes in more than it waits
    /// for, so that a burst of events waits on the host's side instead of being lost here.
    ///
    /// # Errors
    ///
    /// [`Failure::Ended`] once the session is over, with the supervisor's reason if it gave one.
    pub fn pump_one(&mut self, net: &mut Net, memory: &mut Memory) -> Result<bool, Failure> {
        loop {
            let message = self.reader.next_message();
            match message {
                Ok(Some(message)) => {
                    self.hear(net, memory, message)?;
                    return Ok(true);
                }
                Ok(None) => {}
                Err(_) => return Err(Failure::wrong("what the supervisor sends is no message")),
            }
            let reader = &mut self.reader;
            if net.take(self.flow, |bytes| reader.push(bytes))? == 0 {
                break;
            }
        }
        if net.is_drained(self.flow) {
            return Err(Failure::Ended("no goodbye".into()));
        }
        Ok(false)
    }

    fn hear(
        &mut self,
        net: &mut Net,
        memory: &mut Memory,
        message: ToAgent,
    ) -> Result<(), Failure> {
        match message {
            ToAgent::Welcome(welcome) => self.welcome = welcome,
            ToAgent::Answer { id, outcome } => self.answer = Some((id, outcome)),
            ToAgent::Event { id, event } => {
                let ticks = cpu::timestamp();
                memory.last = Some(id);
                memory.kept.push(Item::Event { id, event, ticks });
            }
            ToAgent::Gap { lost, next } => {
                memory.last = Some(EventId {
                    epoch: next.epoch,
                    seq: next.seq.saturating_sub(1),
                });
                memory.kept.push(Item::Gap(lost));
            }
            ToAgent::Request { id, ask } => {
                let answer = answer(ask, memory);
                self.say(net, &FromAgent::Answer { id, answer })?;
            }
            ToAgent::Goodbye { why } => return Err(Failure::Ended(why)),
        }
        Ok(())
    }
}

fn answer(ask: Ask, memory: &mut Memory) -> Answer {
    let vcpu = memory.vcpu;
    match ask {
        Ask::Ping => Answer::Pong,
        Ask::Info => Answer::Info {
            agent: String::from(AGENT),
            vcpus: vcpu.count as u16,
            uptime_ns: vcpu
                .clock
                .nanoseconds(cpu::timestamp().wrapping_sub(memory.started)),
        },
        Ask::Shutdown => {
            memory.asked_to_end = true;
            Answer::Ending
        }
    }
}
