//! The wire: all links, pidfds and consoles, one epoll loop.
//!
//! Each machine is a [`Line`]: a [`Protocol`] state machine over its link, its console, and the pidfd that
//! alone says when it is dead. The wire checks the shape of what machines say, bounds it, and
//! passes it up; it decides nothing about them. It may wait for the keeper's mailbox; the keeper never
//! waits for the wire's.
//!
//! At a death the link and the console are drained first, then the death is passed up: what a machine
//! managed to say is heard before it is buried.

mod agents;
mod due;
mod line;
mod pace;
mod protocol;
mod source;

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::time::Instant;

use actor::{Address, Mailbox};
use agent_protocol::Ask;
use container_core::{MachineName, ViewEvent};
use event_manager::{EventManager, EventOps, EventSet, Events, MutEventSubscriber, SubscriberOps};
use link::{Link, ToMachine, ToSupervisor};

use crate::agent::Outcome;
use crate::keeper::{self, AgentAnswer, Asker, MachineId, News};
use crate::{Notice, Onlooker};
pub use agents::SessionId;
use agents::{Agents, Turn, Wish};
use due::PING_INTERVAL;
use line::{Heard, Line};
pub use protocol::Said;
pub(crate) use protocol::cut;
use source::Source;

/// Requests taken before links, pidfds and streams have their turn: the keeper may post guests' events as
/// fast as they are carried.
const REQUESTS_A_TURN: usize = 256;

/// What the wire is asked to do.
#[derive(Debug)]
pub enum Request {
    /// Watch a new machine.
    Watch(Box<Watch>),
    /// Say this to a machine. One that does not read is reported as broken.
    Say(MachineId, Box<ToMachine>),
    /// Give a session the keeper's answer.
    Answer(Asker, Box<Outcome>),
    /// Tell a machine's sessions of an event of its view, by number.
    Push(MachineId, u64, Box<ViewEvent>),
    /// Ask a machine's guest for something.
    AskAgent(MachineId, Ask, AgentAnswer),
    /// End the actor.
    End,
}

/// A machine to be watched.
#[derive(Debug)]
pub struct Watch {
    /// Its id.
    pub machine: MachineId,
    /// Its name, for the console.
    pub name: MachineName,
    /// The supervisor's end of its link.
    pub link: Link<ToMachine, ToSupervisor>,
    /// A duplicate of its pidfd.
    pub pidfd: OwnedFd,
    /// The read end of its console.
    pub console: OwnedFd,
    /// Whether its guest may have an agent.
    pub agent: bool,
}

/// The actor.
pub struct Wire {
    mailbox: Mailbox<Request>,
    keeper: Address<keeper::Request>,
    onlooker: Option<Onlooker>,
    lines: HashMap<MachineId, Line>,
    next_ping: Instant,
    pings: u64,
    ended: bool,
}

impl Wire {
    /// A wire that passes what it hears to the keeper, and consoles to the onlooker.
    pub fn new(
        mailbox: Mailbox<Request>,
        keeper: Address<keeper::Request>,
        onlooker: Option<Onlooker>,
    ) -> Self {
        Wire {
            mailbox,
            keeper,
            onlooker,
            lines: HashMap::new(),
            next_ping: Instant::now() + PING_INTERVAL,
            pings: 0,
            ended: false,
        }
    }

    /// Serve until told to end.
    pub fn run(self) {
        let mut manager = match EventManager::<Wire>::new() {
            Ok(manager) => manager,
            Err(error) => panic!("the wire cannot have an epoll instance: {error}"),
        };
        let id = manager.add_subscriber(self);
        loop {
            let timeout = match manager.subscriber_mut(id) {
                Ok(wire) if !wire.ended => wire.milliseconds_left(),
                _ => return,
            };
            if let Err(error) = manager.run_with_timeout(timeout) {
                panic!("the wire's epoll instance failed: {error}");
            }
            if let Ok(wire) = manager.subscriber_mut(id) {
                wire.on_time();
            }
        }
    }

    fn on_doorbell(&mut self, ops: &mut EventOps<'_>) {
        if let Some(bell) = self.mailbox.doorbell() {
            bell.clear();
        }
        let mut left = REQUESTS_A_TURN;
        while !self.ended && left > 0 {
            match self.mailbox.try_recv() {
                Ok(Some(request)) => self.on_request(request, ops),
                Ok(None) => break,
                Err(actor::Closed) => self.ended = true,
            }
            left -= 1;
        }
        if left == 0
            && let Some(bell) = self.mailbox.doorbell()
        {
            bell.ring();
        }
        self.on_due(ops);
    }

    fn on_request(&mut self, request: Request, ops: &mut EventOps<'_>) {
        match request {
            Request::Watch(watch) => self.on_watch(*watch, ops),
            Request::Say(machine, message) => self.say(machine, &message),
            Request::Answer(asker, outcome) => {
                self.with_agents(asker.machine, ops, |agents, turn| {
                    agents.on_answer(asker.session, asker.token, *outcome, turn);
                });
            }
            Request::Push(machine, seq, event) => {
                self.with_agents(machine, ops, |agents, turn| {
                    agents.on_push(seq, &event, turn)
                });
            }
            Request::AskAgent(machine, ask, reply) => {
                self.with_agents(machine, ops, |agents, turn| agents.ask(ask, reply, turn));
            }
            Request::End => self.ended = true,
        }
    }

    fn on_watch(&mut self, watch: Watch, ops: &mut EventOps<'_>) {
        let machine = watch.machine;
        let line = Line::new(
            watch.name,
            watch.link,
            watch.pidfd,
            watch.console,
            watch.agent,
        );
        for (fd, source) in [
            (line.link_fd(), Source::Link(machine)),
            (line.pidfd(), Source::Pidfd(machine)),
            (line.console_fd(), Source::Console(machine)),
        ] {
            if let Err(error) = ops.add(Events::with_data_raw(fd, source.pack(), EventSet::IN)) {
                self.tell(News::Broken {
                    machine,
                    why: format!("unwatchable: {error}"),
                });
            }
        }
        if self.lines.is_empty() {
            self.next_ping = Instant::now() + PING_INTERVAL;
        }
        self.lines.insert(machine, line);
    }

    fn say(&mut self, machine: MachineId, message: &ToMachine) {
        let Some(line) = self.lines.get_mut(&machine) else {
            return;
        };
        if let Err(why) = line.say(message) {
            self.tell(News::Broken { machine, why });
        }
    }

    fn on_link(&mut self, machine: MachineId, ops: &mut EventOps<'_>) {
        let Some(line) = self.lines.get_mut(&machine) else {
            return;
        };
        let (heard, open) = line.listen();
        if !open {
            let _ = ops.remove(Events::empty_raw(line.link_fd()));
        }
        for heard in heard {
            self.pass_on(machine, heard, ops);
        }
    }

    fn on_console(&mut self, machine: MachineId, ops: &mut EventOps<'_>) {
        let Some(line) = self.lines.get_mut(&machine) else {
            return;
        };
        let (bytes, open) = line.read_console();
        if !open {
            let _ = ops.remove(Events::empty_raw(line.console_fd()));
        } else if !bytes.is_empty() && line.pace.on_read(Instant::now()) {
            // Its end is told all the same.
            watch_console(machine, line, EventSet::empty(), ops);
        }
        if !bytes.is_empty()
            && let Some(onlooker) = &self.onlooker
        {
            // An onlooker that stands still loses console text, not the supervisor its time.
            onlooker(Notice::Console {
                machine: line.name().clone(),
                bytes,
            });
        }
    }

    fn on_death(&mut self, machine: MachineId, ops: &mut EventOps<'_>) {
        for _ in 0..line::LINK_DRAIN {
            self.on_link(machine, ops);
        }
        for _ in 0..line::CONSOLE_DRAIN {
            self.on_console(machine, ops);
        }
        let Some(mut line) = self.lines.remove(&machine) else {
            return;
        };
        for fd in [line.link_fd(), line.pidfd(), line.console_fd()] {
            let _ = ops.remove(Events::empty_raw(fd));
        }
        if let Some(agents) = &mut line.agents {
            agents.end(ops);
        }
        if let Some(counts) = line.counted.take() {
            self.tell(News::Counted(vec![(machine, counts)]));
        }
        self.tell(News::Died { machine });
    }

    fn pass_on(&mut self, machine: MachineId, heard: Heard, ops: &mut EventOps<'_>) {
        match heard {
            Heard::Said(said) => self.tell(News::Said { machine, said }),
            Heard::Violation(why) => self.tell(News::Broken { machine, why }),
            Heard::Closed => self.tell(News::LinkClosed { machine }),
            Heard::Agent(offer) => {
                self.with_agents(machine, ops, |agents, turn| agents.offer(offer, turn));
            }
        }
    }

    /// Let a machine's sessions do something, and carry their wishes up.
    fn with_agents(
        &mut self,
        machine: MachineId,
        ops: &mut EventOps<'_>,
        what: impl FnOnce(&mut Agents, &mut Turn<'_, '_>),
    ) {
        let line = self.lines.get_mut(&machine);
        let Some(agents) = line.and_then(|line| line.agents.as_mut()) else {
            return;
        };
        let now = Instant::now();
        what(agents, &mut Turn { machine, ops, now });
        for wish in agents.wishes() {
            match wish {
                Wish::Ask(session, token, request) => {
                    let asker = Asker {
                        machine,
                        session,
                        token,
                    };
                    let request = keeper::Request::Agent(asker, Box::new(request));
                    let _ = self.keeper.send(request);
                }
                Wish::Ready(agent) => self.tell(News::AgentReady { machine, agent }),
                Wish::CutOff(why) => self.tell(News::AgentCutOff { machine, why }),
            }
        }
    }

    fn on_agent(&mut self, machine: MachineId, slot: u32, ready: EventSet, ops: &mut EventOps<'_>) {
        self.with_agents(machine, ops, |agents, turn| {
            agents.on_ready(slot as usize, ready, turn);
        });
    }

    /// A keeper that has ended takes no news, and then the wire is about to be ended too.
    fn tell(&self, news: News) {
        let _ = self.keeper.send(keeper::Request::News(news));
    }
}

/// Watch a console for this and no more. One that has left the set stays out.
fn watch_console(machine: MachineId, line: &Line, wanted: EventSet, ops: &mut EventOps<'_>) {
    let data = Source::Console(machine).pack();
    let _ = ops.modify(Events::with_data_raw(line.console_fd(), data, wanted));
}

impl MutEventSubscriber for Wire {
    fn process(&mut self, events: Events, ops: &mut EventOps<'_>) {
        match Source::unpack(events.data()) {
            Source::Doorbell => self.on_doorbell(ops),
            Source::Link(machine) => self.on_link(machine, ops),
            Source::Console(machine) => self.on_console(machine, ops),
            Source::Pidfd(machine) => self.on_death(machine, ops),
            Source::Agent(machine, slot) => self.on_agent(machine, slot, events.event_set(), ops),
        }
    }

    fn init(&mut self, ops: &mut EventOps<'_>) {
        let bell = self
            .mailbox
            .doorbell()
            .expect("the wire's mailbox is made with a doorbell");
        let events = Events::with_data(bell, Source::Doorbell.pack(), EventSet::IN);
        if let Err(error) = ops.add(events) {
            panic!("the wire cannot watch its mailbox: {error}");
        }
        self.on_doorbell(ops);
    }
}
