//! What guests see and ask for: each machine's view, the numbers of its events, and its agent's requests.
//!
//! ```text
//!   wire ──Request::Agent──▶ keeper: a question is answered at once; a change is planned in the guest's
//!     ▲                        │     names and then goes the way of every change
//!     └── Answer, Push ────────┘
//! ```
//!
//! A view's events have numbers of their own, and a log of their own from which a session that was not
//! there, or did not keep up, is served. A push carries one event and its number; a session that gets one
//! out of turn asks for what it missed. So a push may be dropped where the wire's mailbox is full, as long
//! as a later one follows: that is owed ([`Sight::behind`]) and paid a little later.

use std::time::{Duration, Instant};

use actor::TrySendError;
use agent_protocol::Ask;
use container_core::{
    Credentials, Errno, MachineName, Refusal, ViewCommand, ViewEvent, ViewId, ViewPath,
};

use super::changes::Done;
use super::lifecycle::may;
use super::reads::CPU_STAT;
use super::share::{ONE_PART_IN, Runs, Share};
use super::{AgentAnswer, AgentError, Asker, ChangeError, Keeper, MachineId, Then};
use crate::agent::{self, Backlog, Outcome, Reply};
use crate::event_log::{EventId, EventLog, Room};
use crate::{AgentAccess, PUSHES_WAITING, wire};

/// What is kept of a view's events for its sessions: some 3,000 of the usual kind, which a guest that
/// reconnects has a second to come back to at the highest rate measured; and 200 machines that all do their
/// worst cannot make their supervisor keep more than 52 MB.
const ROOM: Room = Room {
    events: 4096,
    bytes: 256 << 10,
};
/// What an event takes beside its texts.
const FIXED_BYTES: usize = 64;
/// Events in one answer.
const EVENTS_A_PAGE: usize = 64;
/// Groups in one answer.
const GROUPS_A_PAGE: usize = 64;
/// How soon a push that found no room is tried again.
const PUSH_AGAIN: Duration = Duration::from_millis(1);

/// What one guest sees.
pub(super) struct Sight {
    pub(super) view: ViewId,
    log: EventLog<ViewEvent>,
    /// A session has subscribed.
    watched: bool,
    /// The newest event could not be pushed.
    behind: bool,
    share: Share,
    runs: Runs,
}

impl Keeper {
    /// Open a machine's view.
    ///
    /// # Errors
    /// The sentence of the framework's refusal.
    pub(super) fn open_view(&mut self, id: MachineId, agent: &AgentAccess) -> Result<(), String> {
        let Some(machine) = self.machines.get_mut(id) else {
            return Ok(());
        };
        let name = machine.name().clone();
        let view = self
            .framework
            .open_view(name, agent.access, &agent.roots)
            .map_err(|refusal| refusal.to_string())?;
        machine.sight = Some(Sight {
            view,
            log: EventLog::new(epoch_of(self.log.last().epoch, id), ROOM),
            watched: false,
            behind: false,
            share: Share::full(Instant::now()),
            runs: Runs::default(),
        });
        self.viewers.insert(view, id);
        Ok(())
    }

    /// A machine's guest is gone, and with it all that it saw.
    pub(super) fn close_view(&mut self, id: MachineId) {
        let sight = self
            .machines
            .get_mut(id)
            .and_then(|machine| machine.sight.take());
        if let Some(sight) = sight {
            self.viewers.remove(&sight.view);
            self.framework.close_view(sight.view);
        }
    }

    /// An agent asks.
    pub(super) fn on_agent(&mut self, asker: Asker, request: agent::Request) {
        let began = Instant::now();
        let Some(sight) = self.sight_mut(asker.machine) else {
            // Its machine has ended, and its session is about to.
            return;
        };
        let view = sight.view;
        if !sight.share.is_left(began) && costs(&request) {
            let rule = format!(
                "this guest's requests have taken their part of the supervisor's time, 1 in \
                 {ONE_PART_IN}: ask again later"
            );
            return self.answer(asker, Err(Refusal::new(Errno::EAGAIN, rule)));
        }
        let outcome = match request {
            agent::Request::Change(commands) => {
                return self.change_view(view, &commands, asker, began);
            }
            agent::Request::Greet | agent::Request::Roots => {
                Ok(Reply::Roots(self.framework.view_roots(view)))
            }
            agent::Request::Tree { hierarchy, after } => self
                .framework
                .view_tree(view, &hierarchy, after.as_ref(), GROUPS_A_PAGE)
                .map(|(groups, more)| Reply::Tree { groups, more }),
            agent::Request::Read { group, file } => {
                // Its own threads and no others: what a guest can cause is bounded by its own size.
                let tasks = self.tasks.of_machine(asker.machine);
                self.sample(&tasks);
                if file == CPU_STAT {
                    let counted = |group| self.cpu.stat(group);
                    self.framework.view_note_cpu_stat(view, &group, counted);
                }
                let read = self.framework.view_read(view, &group, &file);
                read.map(Reply::File)
            }
            agent::Request::Subscribe { since } => Ok(self.subscribe(asker.machine, since)),
            agent::Request::Replay { after } => {
                Ok(Reply::Replayed(self.backlog(asker.machine, after)))
            }
            // Pushes that its machine's other sessions want still pass the wire.
            agent::Request::Unsubscribe => Ok(Reply::Unsubscribed),
        };
        self.answer(asker, outcome);
        self.charge_share(asker.machine, began.elapsed());
    }

    fn change_view(
        &mut self,
        view: ViewId,
        commands: &[ViewCommand],
        asker: Asker,
        began: Instant,
    ) {
        match self.framework.view_plan(view, commands) {
            Ok(plan) => self.carry_out(plan, Then::Guest(asker, began), began),
            Err(refusal) => {
                self.charge_share(asker.machine, began.elapsed());
                self.answer(asker, Err(refusal));
            }
        }
    }

    /// Whether a release that a guest has caused may run the host's agent.
    pub(super) fn may_run_agent(&mut self, id: MachineId) -> bool {
        self.sight_mut(id)
            .is_none_or(|sight| sight.runs.admit(Instant::now()))
    }

    pub(super) fn charge_share(&mut self, id: MachineId, took: Duration) {
        if let Some(sight) = self.sight_mut(id) {
            sight.share.take(took);
        }
    }

    /// A guest's change is in force, or is not.
    pub(super) fn on_view_changed(
        &mut self,
        asker: Asker,
        began: Instant,
        changed: Result<Done, ChangeError>,
    ) {
        self.charge_share(asker.machine, began.elapsed());
        let outcome = match changed {
            Ok(done) => Ok(Reply::Changed {
                effects: u32::try_from(done.effects).unwrap_or(u32::MAX),
            }),
            // Whatever stands in the way now speaks of the host, and it is not the guest's to know.
            Err(ChangeError::Refused(refusal)) => Err(Refusal::new(
                refusal.errno,
                "the groups have changed meanwhile: ask again",
            )),
            // Where a thread could not be put back, that is the host's to see and to mend.
            Err(ChangeError::Host { .. }) => Err(Refusal::new(
                Errno::EIO,
                "the host did not carry the change out, and the groups are as they were",
            )),
        };
        self.answer(asker, outcome);
    }

    fn answer(&mut self, asker: Asker, outcome: Outcome) {
        let answer = wire::Request::Answer(asker, Box::new(outcome));
        if self.wire.try_send(answer).is_err() {
            self.kill(asker.machine, "its messages could not be posted".into());
        }
    }

    fn subscribe(&mut self, id: MachineId, since: Option<EventId>) -> Reply {
        let Some(sight) = self.sight_mut(id) else {
            return Reply::Unsubscribed;
        };
        sight.watched = true;
        let last = sight.log.last();
        Reply::Subscribed {
            last,
            backlog: page(&sight.log, since.unwrap_or(last)),
        }
    }

    fn backlog(&self, id: MachineId, after: u64) -> Backlog {
        let Some(sight) = self.sight(id) else {
            return Backlog::default();
        };
        let epoch = sight.log.last().epoch;
        page(&sight.log, EventId { epoch, seq: after })
    }

    /// Let the guests that see it see the event at this index of what the last commit returned.
    pub(super) fn show(&mut self, index: usize) {
        let seen: Vec<(ViewId, ViewEvent)> = self
            .framework
            .views_of(index)
            .map(|(view, event)| (view, event.clone()))
            .collect();
        for (view, event) in seen {
            let Some(&id) = self.viewers.get(&view) else {
                continue;
            };
            if let Some(sight) = self.sight_mut(id) {
                sight.log.append(bytes_of(&event), |_| event);
                self.push(id);
            }
        }
    }

    /// Push the newest event of a view to its sessions.
    fn push(&mut self, id: MachineId) {
        let sight = self.machines.get_mut(id).and_then(|m| m.sight.as_mut());
        let Some(sight) = sight.filter(|sight| sight.watched) else {
            return;
        };
        if let Some(event) = sight.log.kept().last() {
            let push = wire::Request::Push(id, sight.log.last().seq, Box::new(event.clone()));
            let pushed = self.wire.try_send_below(PUSHES_WAITING, push);
            sight.behind = matches!(pushed, Err(TrySendError::Full(_)));
            self.pushes_owed |= sight.behind;
        }
    }

    /// When pushes are to be tried again, if any are.
    pub(super) fn push_again_at(&self) -> Option<Instant> {
        self.pushes_owed.then(|| Instant::now() + PUSH_AGAIN)
    }

    /// Try them.
    pub(super) fn push_again(&mut self) {
        if !std::mem::take(&mut self.pushes_owed) {
            return;
        }
        let behind: Vec<MachineId> = self
            .machines
            .iter()
            .filter(|(_, machine)| machine.sight.as_ref().is_some_and(|sight| sight.behind))
            .map(|(id, _)| id)
            .collect();
        for id in behind {
            self.push(id);
        }
    }

    /// A guest's agent is there, the first time that it is: a guest that comes and goes makes no flood.
    pub(super) fn on_agent_ready(&mut self, id: MachineId, agent: &str) {
        if let Some(machine) = self.machines.get_mut(id)
            && !std::mem::replace(&mut machine.agent_ready, true)
        {
            self.tell_of(id, "agent_ready", &format!("has its agent ready: {agent}"));
        }
    }

    /// The host asks a guest; the wire has its session, and the answer does not come by here.
    pub(super) fn ask_agent(
        &mut self,
        by: &Credentials,
        name: &MachineName,
        ask: Ask,
        reply: AgentAnswer,
    ) {
        if let Err(refusal) = may(by, "ask the guest of", name) {
            return reply.send(Err(refusal.into()));
        }
        let Some(id) = self.machines.living_by_name(name) else {
            return reply.send(Err(match self.state_word(name) {
                None => AgentError::NoMachine(name.clone()),
                Some(state) => AgentError::NotRunning(name.clone(), state),
            }));
        };
        if self.sight(id).is_none() {
            return reply.send(Err(AgentError::NoAgent(name.clone())));
        }
        // Full: the reply is dropped, and the asker told so.
        let _ = self.wire.try_send(wire::Request::AskAgent(id, ask, reply));
    }

    fn sight(&self, id: MachineId) -> Option<&Sight> {
        self.machines.get(id)?.sight.as_ref()
    }

    fn sight_mut(&mut self, id: MachineId) -> Option<&mut Sight> {
        self.machines.get_mut(id)?.sight.as_mut()
    }
}

/// The epoch of a machine's view: no other's, so that a machine that is started again under its name does not take
/// the number of an event of its former life for one of this.
fn epoch_of(supervisor: u64, id: MachineId) -> u64 {
    // The supervisor's is milliseconds, far below 2^48.
    supervisor ^ u64::from(id.0 + 1) << 48
}

/// Whether a request may be refused for what others before it took. Those that a session cannot do
/// without, its greeting and its events, are charged and answered all the same: there are few of them.
fn costs(request: &agent::Request) -> bool {
    matches!(
        request,
        agent::Request::Roots
            | agent::Request::Tree { .. }
            | agent::Request::Read { .. }
            | agent::Request::Change(_)
    )
}

fn page(log: &EventLog<ViewEvent>, last: EventId) -> Backlog {
    let since = log.since(last, EVENTS_A_PAGE);
    let events = since.events.into_iter().cloned();
    Backlog {
        lost: since.lost,
        events: (since.first..).zip(events).collect(),
        more: since.more,
    }
}

/// About what an event takes in memory.
fn bytes_of(event: &ViewEvent) -> usize {
    let path = |group: &ViewPath| group.path().len();
    let texts = match event {
        ViewEvent::Released { group }
        | ViewEvent::GroupCreated { group }
        | ViewEvent::GroupRemoved { group }
        | ViewEvent::GroupFrozen { group }
        | ViewEvent::GroupThawed { group } => path(group),
        ViewEvent::GroupRenamed { from, to } => path(from) + path(to),
        ViewEvent::TaskMoved { from, to, .. } => [from, to].into_iter().flatten().map(path).sum(),
        ViewEvent::FileWritten { group, file, value } => path(group) + file.len() + value.len(),
    };
    FIXED_BYTES + texts
}

#[cfg(test)]
mod tests;
