//! The agent sessions of one machine: a stream and a [`Session`] each.
//!
//! What a guest can cause here is bounded: so many sessions, so many bytes a turn, and after a session that
//! broke a rule the door stays shut for a while, so that a guest that comes back to break it again makes at
//! most one event a second for each session it may have. What sessions want of others is handed up as [`Wish`]es; nothing here waits.

use std::collections::HashMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use agent_protocol::Ask;
use container_core::ViewEvent;
use event_manager::{EventOps, EventSet, Events};
use link::AgentStream;

use super::source::Source;
use crate::agent::{Act, NotNow, Outcome, Request, Session, Token};
use crate::keeper::{AgentAnswer, AgentError, MachineId};

/// Sessions of one machine at the same time.
pub const MAX_SESSIONS: usize = 4;
/// Bytes read of one session before others have their turn.
const BYTES_A_TURN: usize = 16 * 1024;
/// No session is opened for this long after one that broke a rule.
const SHUT: Duration = Duration::from_secs(1);

/// A session of one machine, never another one's again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionId(pub(crate) u64);

/// One look at one machine: whose descriptors, where they are watched, and when it is.
pub struct Turn<'a, 'e> {
    /// The machine.
    pub machine: MachineId,
    /// Where descriptors are watched.
    pub ops: &'a mut EventOps<'e>,
    /// The time.
    pub now: Instant,
}

impl Turn<'_, '_> {
    fn data(&self, slot: usize) -> u32 {
        Source::Agent(self.machine, slot as u32).pack()
    }
}

/// What a session wants of others.
#[derive(Debug)]
pub enum Wish {
    /// Ask the keeper.
    Ask(SessionId, Token, Request),
    /// Tell that an agent of this name is there.
    Ready(String),
    /// Tell that a session was ended for breaking this rule.
    CutOff(String),
}

/// The sessions.
pub struct Agents {
    slots: [Option<Slot>; MAX_SESSIONS],
    sessions: u64,
    shut_until: Option<Instant>,
    /// Who waits for an answer of the guest's, by the token that the session was given.
    awaited: HashMap<u64, AgentAnswer>,
    asks: u64,
    wishes: Vec<Wish>,
}

struct Slot {
    id: SessionId,
    stream: AgentStream,
    session: Session,
    watched: EventSet,
}

impl Agents {
    /// None yet.
    pub fn new() -> Self {
        Agents {
            slots: Default::default(),
            sessions: 0,
            shut_until: None,
            awaited: HashMap::new(),
            asks: 0,
            wishes: Vec::new(),
        }
    }

    /// The guest has connected. An offer that is refused is dropped, and the guest sees its connection end.
    pub fn offer(&mut self, descriptor: OwnedFd, turn: &mut Turn<'_, '_>) {
        if self.shut_until.is_some_and(|until| turn.now < until) {
            return;
        }
        if self.slots.iter().all(Option::is_some) {
            // One that the guest has closed may not have been looked at yet.
            for index in 0..MAX_SESSIONS {
                self.on_ready(index, EventSet::IN, turn);
            }
        }
        let Some(index) = self.slots.iter().position(Option::is_none) else {
            return;
        };
        let Ok(stream) = AgentStream::from_fd(descriptor) else {
            return;
        };
        let watched = EventSet::IN;
        let events = Events::with_data_raw(stream.as_raw_fd(), turn.data(index), watched);
        if turn.ops.add(events).is_ok() {
            self.sessions += 1;
            self.slots[index] = Some(Slot {
                id: SessionId(self.sessions),
                stream,
                session: Session::new(turn.now),
                watched,
            });
        }
    }

    /// A stream has something to read, room, or an end.
    pub fn on_ready(&mut self, index: usize, ready: EventSet, turn: &mut Turn<'_, '_>) {
        let Some(slot) = self.slots.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let over = ready.intersects(EventSet::HANG_UP | EventSet::ERROR);
        let acts = if over || ready.contains(EventSet::IN) {
            slot.read(over, turn.now)
        } else {
            Vec::new()
        };
        self.carry_out(index, acts, turn);
    }

    /// The keeper answers.
    pub fn on_answer(
        &mut self,
        id: SessionId,
        token: Token,
        outcome: Outcome,
        turn: &mut Turn<'_, '_>,
    ) {
        let open = |slot: &Option<Slot>| slot.as_ref().is_some_and(|slot| slot.id == id);
        if let Some(index) = self.slots.iter().position(open)
            && let Some(slot) = &mut self.slots[index]
        {
            let acts = slot.session.on_answer(token, outcome, turn.now);
            self.carry_out(index, acts, turn);
        }
    }

    /// Something has happened in the view.
    pub fn on_push(&mut self, seq: u64, event: &ViewEvent, turn: &mut Turn<'_, '_>) {
        for index in 0..MAX_SESSIONS {
            if let Some(slot) = &mut self.slots[index] {
                let acts = slot.session.on_push(seq, event, turn.now);
                self.carry_out(index, acts, turn);
            }
        }
    }

    /// Ask the guest by the oldest session that can be asked.
    pub fn ask(&mut self, ask: Ask, reply: AgentAnswer, turn: &mut Turn<'_, '_>) {
        let token = self.asks;
        self.asks += 1;
        let mut by_age: Vec<usize> = (0..MAX_SESSIONS).collect();
        by_age.sort_by_key(|index| {
            self.slots[*index]
                .as_ref()
                .map_or(u64::MAX, |slot| slot.id.0)
        });
        let mut why = NotNow::NotOpen;
        for index in by_age {
            let Some(slot) = &mut self.slots[index] else {
                continue;
            };
            match slot.session.ask(ask, token, turn.now) {
                Ok(acts) => {
                    self.awaited.insert(token, reply);
                    return self.carry_out(index, acts, turn);
                }
                Err(not_now) => why = not_now,
            }
        }
        reply.send(Err(AgentError::NotNow(why)));
    }

    /// When to call [`on_time`](Self::on_time).
    pub fn deadline(&self) -> Option<Instant> {
        let sessions = self.slots.iter().flatten();
        sessions.filter_map(|slot| slot.session.deadline()).min()
    }

    /// Time has passed.
    pub fn on_time(&mut self, turn: &mut Turn<'_, '_>) {
        for index in 0..MAX_SESSIONS {
            if let Some(slot) = &mut self.slots[index]
                && slot
                    .session
                    .deadline()
                    .is_some_and(|until| until <= turn.now)
            {
                let acts = slot.session.on_time(turn.now);
                self.carry_out(index, acts, turn);
            }
        }
    }

    /// What was wished for since the last time.
    pub fn wishes(&mut self) -> Vec<Wish> {
        std::mem::take(&mut self.wishes)
    }

    /// Forget all streams.
    pub fn end(&mut self, ops: &mut EventOps<'_>) {
        for slot in self.slots.iter_mut().filter_map(Option::take) {
            let _ = ops.remove(Events::empty_raw(slot.stream.as_raw_fd()));
        }
    }

    /// Carry acts out, write what the stream takes, and watch it for what comes next.
    fn carry_out(&mut self, index: usize, acts: Vec<Act>, turn: &mut Turn<'_, '_>) {
        let Some(slot) = &mut self.slots[index] else {
            return;
        };
        let (id, mut over) = (slot.id, false);
        let written = slot.write(turn.now);
        for act in acts.into_iter().chain(written) {
            match act {
                Act::Ask(token, request) => self.wishes.push(Wish::Ask(id, token, request)),
                Act::Opened { agent } => self.wishes.push(Wish::Ready(agent)),
                Act::AskDone { token, result } => {
                    if let Some(reply) = self.awaited.remove(&token) {
                        reply.send(result.map_err(AgentError::Unanswered));
                    }
                }
                Act::End { why, fault } => {
                    over = true;
                    if fault {
                        self.shut_until = Some(turn.now + SHUT);
                        self.wishes.push(Wish::CutOff(why));
                    }
                }
            }
        }
        match over {
            true => {
                let _ = turn.ops.remove(Events::empty_raw(slot.stream.as_raw_fd()));
                self.slots[index] = None;
            }
            false => slot.watch(index, turn),
        }
    }
}

impl Slot {
    /// A turn's worth of bytes, or the end.
    fn read(&mut self, over: bool, now: Instant) -> Vec<Act> {
        let mut bytes = [0; BYTES_A_TURN];
        let room = self.session.input_room().min(bytes.len());
        if room == 0 {
            // Closed while it was not listened to: what it still says would have to wait for a reader that
            // is gone.
            return match over {
                true => self.session.on_eof(now),
                false => Vec::new(),
            };
        }
        match self.stream.recv(&mut bytes[..room]) {
            Ok(None) => Vec::new(),
            Ok(Some(0)) | Err(_) => self.session.on_eof(now),
            Ok(Some(count)) => self.session.on_bytes(&bytes[..count], now),
        }
    }

    /// Write what the stream takes now.
    fn write(&mut self, now: Instant) -> Vec<Act> {
        let mut acts = Vec::new();
        while !self.session.output().is_empty() {
            match self.stream.send(self.session.output()) {
                Ok(0) => break,
                Ok(count) => acts.append(&mut self.session.took(count, now)),
                Err(_) => {
                    acts.append(&mut self.session.on_eof(now));
                    break;
                }
            }
        }
        acts
    }

    fn watch(&mut self, index: usize, turn: &mut Turn<'_, '_>) {
        let mut wanted = EventSet::empty();
        wanted.set(EventSet::IN, self.session.input_room() > 0);
        wanted.set(EventSet::OUT, !self.session.output().is_empty());
        if wanted != self.watched {
            let events = Events::with_data_raw(self.stream.as_raw_fd(), turn.data(index), wanted);
            if turn.ops.modify(events).is_ok() {
                self.watched = wanted;
            }
        }
    }
}
