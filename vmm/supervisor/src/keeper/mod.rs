//! The keeper: the one owner of the framework, the bills and the event log.
//!
//! Every change, whoever asks for it, goes one way: plan, carry out, commit ([`flight`]). Changes are
//! taken one at a time and in the order they came; while one with many effects is under way, reads
//! are answered between its batches and further changes wait their turn. The keeper makes the host
//! calls itself, microseconds each, and waits for nobody: it posts to the wire and the runner, and a
//! machine whose post is full is killed.
//!
//! It does no parsing, no network and no I/O on behalf of a client.

mod answer;
mod birth;
mod changes;
mod death;
mod events;
pub mod flight;
mod hold;
mod lifecycle;
mod machines;
mod places;
mod reads;
mod rehearsal;
mod report;
mod request;
mod restart;
mod share;
#[cfg(test)]
pub(crate) mod stage;
mod tasks;
mod trial;
mod views;
mod watch;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use actor::{Address, Mailbox, TrySendError};
use container_core::{Framework, MachineName, Nanoseconds, ViewId};
use link::ToMachine;
use management::Drift;

pub use answer::{
    AgentAnswer, AgentError, Asker, ChangeError, EventPage, Planned, PlannedBirth, PlannedEffect,
    Rehearsed,
};
pub use machines::MachineId;
pub use rehearsal::Rehearsal;
pub use request::{Amendment, News, Order, Request};

use crate::runner::Job;
use crate::wire::{self, Said};
use crate::{Config, EventLog, Onlooker};
use changes::{Then, UnderWay};
use hold::Holding;
use lifecycle::Launching;
use machines::Machines;
use tasks::Tasks;

/// Reads answered between two batches.
const READS_BETWEEN: usize = 32;
/// Changes that wait for the one under way; past this the mailbox is left to fill.
const MAX_DEFERRED: usize = 1024;
/// Drift kept for the report, the newest.
const MAX_DRIFT: usize = 1024;

/// The actor.
pub struct Keeper {
    mailbox: Mailbox<Request>,
    wire: Address<wire::Request>,
    runner: Address<Job>,
    onlooker: Option<Onlooker>,
    withhold_go: Duration,
    /// CPU time of this process that was not the supervisor's.
    spent_before: Nanoseconds,
    framework: Framework,
    machines: Machines,
    /// Machines whose process is being started.
    launching: BTreeMap<MachineName, Launching>,
    tasks: Tasks,
    /// Machines that may have to be told whom to hold.
    holds_owed: BTreeSet<MachineId>,
    log: EventLog<management::Event>,
    /// Whose each open view is.
    viewers: BTreeMap<ViewId, MachineId>,
    /// Some view's newest event could not be pushed.
    pushes_owed: bool,
    drift: VecDeque<Drift>,
    under_way: Option<UnderWay>,
    deferred: VecDeque<Request>,
    ending: Vec<death::Ending>,
    /// Release agents that have been asked for and have not ended.
    agents: usize,
    next_watch: Instant,
    /// When the present interval of `cpuacct.load` began.
    interval_began: Instant,
    ended: bool,
}

impl Keeper {
    /// A keeper of the framework it is given.
    pub fn new(
        mailbox: Mailbox<Request>,
        wire: Address<wire::Request>,
        runner: Address<Job>,
        config: Config,
    ) -> Self {
        let mut keeper = Keeper {
            mailbox,
            wire,
            runner,
            onlooker: config.onlooker,
            withhold_go: config.withhold_go,
            spent_before: config.spent_before,
            framework: config.framework,
            machines: Machines::default(),
            launching: BTreeMap::new(),
            tasks: Tasks::default(),
            holds_owed: BTreeSet::new(),
            log: EventLog::new(events::epoch(), events::ROOM),
            viewers: BTreeMap::new(),
            pushes_owed: false,
            drift: VecDeque::new(),
            under_way: None,
            deferred: VecDeque::new(),
            ending: Vec::new(),
            agents: 0,
            next_watch: Instant::now() + watch::INTERVAL,
            interval_began: Instant::now(),
            ended: false,
        };
        keeper.record(config.history, None);
        keeper
    }

    /// Serve until told to end.
    pub fn run(mut self) {
        while !self.ended {
            if self.under_way.is_some() {
                self.read_between();
                self.advance();
            } else if let Some(request) = self.deferred.pop_front() {
                self.on_request(request);
            } else {
                match self.mailbox.recv_until(self.next_deadline()) {
                    Ok(Some(request)) => self.on_request(request),
                    Ok(None) => {}
                    Err(actor::Closed) => self.ended = true,
                }
            }
            self.on_time();
        }
        self.bury_all();
        self.end_others();
    }

    /// End the wire and the runner. Either may be waiting for room in our mailbox, and is given it.
    fn end_others(&mut self) {
        let (mut wire, mut runner) = (Some(wire::Request::End), Some(Job::End));
        while wire.is_some() || runner.is_some() {
            wire = wire
                .take()
                .and_then(|end| unposted(self.wire.try_send(end)));
            runner = runner
                .take()
                .and_then(|end| unposted(self.runner.try_send(end)));
            while let Ok(Some(_)) = self.mailbox.try_recv() {}
            if wire.is_some() || runner.is_some() {
                std::thread::sleep(death::ENDING_POLL);
            }
        }
    }

    /// While a flight is under way: answer reads, put changes aside.
    fn read_between(&mut self) {
        for _ in 0..READS_BETWEEN {
            if self.deferred.len() >= MAX_DEFERRED {
                return;
            }
            match self.mailbox.try_recv() {
                Ok(Some(request)) if request.is_read() => self.on_request(request),
                Ok(Some(request)) => self.deferred.push_back(request),
                Ok(None) => return,
                Err(actor::Closed) => {
                    self.ended = true;
                    return;
                }
            }
        }
    }

    fn on_request(&mut self, request: Request) {
        match request {
            Request::Launch(launch) => {
                self.on_launch(*launch);
            }
            Request::Plan {
                by,
                commands,
                generation,
                dry_run,
                reply,
            } => self.on_plan(&by, &commands, generation, dry_run, reply),
            Request::Create {
                by,
                machine,
                replace,
                reply,
            } => self.on_create(&by, *machine, replace, reply),
            Request::Remove { by, machine, reply } => reply.send(self.on_remove(&by, &machine)),
            Request::Amend {
                by,
                amendments,
                reply,
            } => reply.send(self.amend(&by, amendments)),
            Request::Order {
                by,
                machine,
                order,
                reply,
            } => self.on_order(&by, &machine, order, reply),
            Request::Agent(asker, request) => self.on_agent(asker, *request),
            Request::AskAgent {
                by,
                machine,
                ask,
                reply,
            } => self.ask_agent(&by, &machine, ask, reply),
            Request::News(news) => self.on_news(news),
            Request::End => self.ended = true,
            read => self.on_read(read),
        }
    }

    fn on_news(&mut self, news: News) {
        match news {
            News::Said { machine, said } => self.on_said(machine, said),
            News::Broken { machine, why } => {
                self.kill(machine, format!("broke the link's protocol: {why}"));
            }
            News::LinkClosed { machine } => self.expect_gone(machine),
            News::Unresponsive { machine } => {
                self.tell_of(
                    machine,
                    "machine_unresponsive",
                    "does not answer its supervisor",
                );
            }
            News::Died { machine } => self.on_died(machine),
            News::Launched { machine, launch } => self.on_launched(&machine, launch),
            News::Counters { counters, tsc_khz } => self.tasks.attach_counters(counters, tsc_khz),
            News::AgentReady { machine, agent } => self.on_agent_ready(machine, &agent),
            News::AgentCutOff { machine, why } => {
                let text = format!("cut its agent off: {why}");
                self.tell_of(machine, "agent_cut_off", &text);
            }
            News::ReleaseAgentEnded { group, outcome } => {
                let text = format!("release agent for {group}: {outcome}");
                self.append("release_agent_ended", text, |event| {
                    event.group = Some(group.to_string())
                });
                self.agents = self.agents.saturating_sub(1);
                self.tell_if_all_ended();
            }
        }
    }

    fn on_said(&mut self, machine: MachineId, said: Said) {
        match said {
            Said::Born(threads) => self.on_born(machine, &threads),
            Said::Failed(why) => {
                self.condemn(machine, format!("could not be built: {why}"));
                self.expect_gone(machine);
            }
            Said::Ended(kind) => self.on_thread_ended(machine, kind),
            Said::FirstOutput(at) => {
                if let Some(machine) = self.machines.get_mut(machine) {
                    machine.times.first_output = Some(at);
                }
            }
            Said::Halted(cause) => {
                self.condemn(machine, death::sentence(&cause));
                self.expect_gone(machine);
            }
            Said::Paused => self.on_paused(machine, true),
            Said::Resumed => self.on_paused(machine, false),
            Said::Held(number) => self.on_held(machine, number),
            Said::Alive => self.tell_of(machine, "machine_responsive", "answers again"),
        }
    }

    fn on_paused(&mut self, id: MachineId, paused: bool) {
        if let Some(machine) = self.machines.get_mut(id) {
            machine.paused = paused;
        }
        match paused {
            true => self.tell_of(id, "machine_paused", "is out of its guest"),
            false => self.tell_of(id, "machine_resumed", "is in its guest again"),
        }
    }

    /// What carries effects out.
    fn hands(&mut self) -> tasks::HostHands<'_> {
        let holding = Holding {
            machines: &mut self.machines,
            owed: &mut self.holds_owed,
        };
        self.tasks.hands(&mut self.framework, holding)
    }

    /// Post a message to a machine; one whose post is full is killed.
    fn say(&mut self, machine: MachineId, message: ToMachine) {
        if self
            .wire
            .try_send(wire::Request::Say(machine, Box::new(message)))
            .is_err()
        {
            self.kill(machine, "its messages could not be posted".into());
        }
    }
}

/// The message that found its mailbox full; one whose actor has ended is done with.
fn unposted<M>(outcome: Result<(), TrySendError<M>>) -> Option<M> {
    match outcome {
        Err(TrySendError::Full(message)) => Some(message),
        Ok(()) | Err(TrySendError::Closed(_)) => None,
    }
}
