//! `control`: the thread that talks to the supervisor.
//!
//! It announces the threads that [`cradle`](crate::cradle) has started, and from then on sleeps in
//! poll(2) over the link and its mailbox's doorbell. What an order or a report brings about is decided
//! in [`Life`]; this file carries it out. It is the only one that ends: every other thread is ended and
//! joined by it.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use actor::Mailbox;
use hv::{HvError, Kicker, VcpuStats, Vm};
use link::{
    HaltCause, LinkError, Thread, ThreadKind, ToMachine, ToSupervisor, VERSION, VcpuCounts,
};
use rustix::event::{PollFd, PollFlags, poll};

use crate::console::Console;
use crate::life::{Act, Cause, End, Event, Life, Set};
use crate::peer::{Peer, time_left};
use crate::vcpu::{self, Order};
use crate::{EXIT_FAULT, EXIT_NO_SUPERVISOR, EXIT_PROTOCOL, MachineError, io, threads, vsock};

/// A vCPU has at most three reports open (left, first output, ended), and `io` one, and one for each agent
/// session that may be open: a session counts until its report is answered. So it is never full.
pub(crate) const MAILBOX: usize = 3 * link::MAX_VCPUS as usize + 1 + vsock::SESSIONS;

/// Threads are ready in well under a millisecond; past this time something is broken.
const READY_BOUND: Duration = Duration::from_secs(5);

/// A thread that was told to end and has not after this time is left to the end of the process.
const END_BOUND: Duration = Duration::from_secs(2);

/// The stream waits for its reader this long to tell what it lacks.
const FLUSH_BOUND: Duration = Duration::from_secs(1);

/// A sentence about a guest's fault is cut to this many bytes; a guest may have had a say in it.
const SENTENCE_BYTES: usize = 1024;

/// What the other threads report.
#[derive(Debug)]
pub(crate) enum Report {
    /// `io` runs.
    IoReady { tid: u32 },
    /// A vCPU's thread waits for its order to enter, or could not get as far.
    VcpuReady {
        index: u16,
        tid: u32,
        /// What it is kicked with, and what KVM counts of it.
        made: Result<(Kicker, Option<VcpuStats>), HvError>,
    },
    /// A vCPU is out of the guest as ordered.
    Left { index: u16 },
    /// A vCPU's thread ends; nothing comes from it after this.
    Ended { index: u16, end: End },
    /// The machine's first byte of output has gone out.
    FirstOutput { monotonic_ns: u64 },
    /// The guest's agent has connected; the supervisor is to have the descriptor. `io` sends it without
    /// waiting.
    Agent {
        source_port: u32,
        descriptor: OwnedFd,
    },
}

/// What wakes the thread.
enum Wake {
    Order(ToMachine),
    Report(Report),
    PeerLost(LinkError),
    /// A thread did not end in time.
    Overdue,
}

/// The actor.
#[derive(Debug)]
pub(crate) struct Control {
    mailbox: Mailbox<Report>,
    vcpus: Vec<Option<vcpu::Handle>>,
    /// What KVM counts of each of them; it outlives the thread.
    stats: Vec<Option<VcpuStats>>,
    io: Option<io::Handle>,
    io_tid: Option<u32>,
    life: Life,
    console: Console,
    /// Set once the machine is ending.
    end_by: Option<Instant>,
    /// Why the link is not used any more.
    lost: Option<LinkError>,
    /// Its interrupt lines end with it.
    _vm: Arc<Vm>,
}

impl Control {
    /// A machine whose threads have been started.
    pub fn new(
        mailbox: Mailbox<Report>,
        vcpus: Vec<vcpu::Handle>,
        io: io::Handle,
        console: Console,
        vm: Arc<Vm>,
    ) -> Self {
        Control {
            life: Life::new(vcpus.len() as u16),
            mailbox,
            stats: vcpus.iter().map(|_| None).collect(),
            vcpus: vcpus.into_iter().map(Some).collect(),
            io: Some(io),
            io_tid: None,
            console,
            end_by: None,
            lost: None,
            _vm: vm,
        }
    }

    /// Wait until every thread waits for its orders.
    ///
    /// # Errors
    /// One did not get as far in time.
    pub fn await_ready(&mut self) -> Result<(), MachineError> {
        let deadline = Instant::now() + READY_BOUND;
        let mut missing = self.vcpus.len();
        while missing > 0 || self.io_tid.is_none() {
            match self.mailbox.recv_until(deadline) {
                Ok(Some(Report::IoReady { tid })) => self.io_tid = Some(tid),
                Ok(Some(Report::VcpuReady { index, tid, made })) => {
                    missing -= 1;
                    let (kicker, stats) = made?;
                    let at = usize::from(index);
                    if let Some(Some(handle)) = self.vcpus.get_mut(at) {
                        handle.ready = Some((tid, kicker));
                    }
                    if let Some(place) = self.stats.get_mut(at) {
                        *place = stats;
                    }
                }
                Ok(Some(report)) => return Err(MachineError::NotReady(format!("{report:?}"))),
                Ok(None) | Err(actor::Closed) => {
                    return Err(MachineError::NotReady(format!("{missing} vCPUs or io")));
                }
            }
        }
        Ok(())
    }

    /// Announce the machine and serve the supervisor until the machine is over; returns the process's
    /// exit code.
    ///
    /// # Errors
    /// The threads cannot be listed.
    pub fn run(mut self, peer: Peer) -> Result<u8, MachineError> {
        let threads = self.threads()?;
        self.say(
            &peer,
            &ToSupervisor::Born {
                version: VERSION,
                threads,
            },
        );
        while self.life.over().is_none() {
            match self.next_wake(&peer) {
                Wake::Order(order) => self.on_order(&peer, order),
                Wake::Report(report) => self.on_report(&peer, report),
                Wake::PeerLost(error) => {
                    self.lost.get_or_insert(error);
                    self.happen(&peer, Event::PeerLost);
                }
                Wake::Overdue => break,
            }
        }
        Ok(self.finish(&peer))
    }

    /// All threads of the process.
    fn threads(&self) -> Result<Vec<Thread>, MachineError> {
        let mut ours = vec![Thread {
            kind: ThreadKind::Control,
            tid: threads::this_tid(),
        }];
        ours.extend(self.io_tid.map(|tid| Thread {
            kind: ThreadKind::Io,
            tid,
        }));
        for (index, handle) in (0..).zip(&self.vcpus) {
            let ready = handle.as_ref().and_then(|handle| handle.ready.as_ref());
            ours.extend(ready.map(|(tid, _)| Thread {
                kind: ThreadKind::Vcpu(index),
                tid: *tid,
            }));
        }
        threads::with_helpers(ours)
    }

    /// Sleep until something is to be done. Reports come first: there are few, and a supervisor's flood
    /// must not keep them waiting.
    fn next_wake(&mut self, peer: &Peer) -> Wake {
        loop {
            if let Ok(Some(report)) = self.mailbox.try_recv() {
                return Wake::Report(report);
            }
            let (rung, readable) = match self.sleep(peer) {
                Some(ready) => ready,
                None => return Wake::Overdue,
            };
            if rung && let Some(bell) = self.mailbox.doorbell() {
                // Cleared before the mailbox is looked at again, at the top.
                bell.clear();
            } else if readable {
                match peer.recv() {
                    Ok(Some(order)) => return Wake::Order(order),
                    Ok(None) => {}
                    Err(error) => return Wake::PeerLost(error),
                }
            }
        }
    }

    /// Wait for the doorbell or the link; None when the time to end has passed.
    fn sleep(&self, peer: &Peer) -> Option<(bool, bool)> {
        let timeout = self.end_by.map(time_left);
        let mut fds = Vec::with_capacity(2);
        fds.extend(
            self.mailbox
                .doorbell()
                .map(|bell| PollFd::new(bell, PollFlags::IN)),
        );
        if self.lost.is_none() {
            fds.push(PollFd::from_borrowed_fd(peer.as_fd(), PollFlags::IN));
        }
        match poll(&mut fds, timeout.as_ref()) {
            Ok(0) => None,
            Ok(_) => {
                let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
                Some((ready.next()?, ready.next().unwrap_or(false)))
            }
            // A signal: look again.
            Err(_) => Some((false, false)),
        }
    }

    fn on_order(&mut self, peer: &Peer, order: ToMachine) {
        let event = match order {
            ToMachine::Go => Event::Go,
            ToMachine::Pause => Event::Pause,
            ToMachine::Resume => Event::Resume,
            ToMachine::Hold { vcpus, number } => Event::Hold { vcpus, number },
            ToMachine::Stop => Event::Stop,
            ToMachine::Ping(number) => {
                self.say_counts(peer);
                return self.say(peer, &ToSupervisor::Pong(number));
            }
            ToMachine::Create { .. } => {
                let what = "a second Create".into();
                self.lost.get_or_insert(LinkError::Protocol(what));
                Event::PeerLost
            }
        };
        self.happen(peer, event);
    }

    fn on_report(&mut self, peer: &Peer, report: Report) {
        match report {
            Report::Left { index } => self.happen(peer, Event::Left(index)),
            Report::Ended { index, end } => self.happen(peer, Event::Ended(index, end)),
            Report::FirstOutput { monotonic_ns } => {
                self.say(peer, &ToSupervisor::FirstOutput { monotonic_ns });
            }
            Report::Agent {
                source_port,
                descriptor,
            } => self.tell(peer, |peer| {
                let message = ToSupervisor::Agent { source_port };
                peer.send_with(&message, descriptor.as_fd())
            }),
            // Each thread reports itself ready once, before `run`.
            Report::IoReady { .. } | Report::VcpuReady { .. } => {}
        }
    }

    fn happen(&mut self, peer: &Peer, event: Event) {
        for act in self.life.on(event) {
            match act {
                Act::Enter(vcpus) => self.order(vcpus, Order::Enter),
                Act::Leave(vcpus) => self.order(vcpus, Order::Leave),
                Act::End => {
                    self.end_by = Some(Instant::now() + END_BOUND);
                    self.order(Set::MAX, Order::End);
                }
                Act::Join(index) => self.join(peer, index),
                Act::Say(message) => self.say(peer, &message),
            }
        }
    }

    /// Give an order to those of these vCPUs that live.
    fn order(&self, vcpus: Set, order: Order) {
        for (index, handle) in self.vcpus.iter().enumerate() {
            if let Some(handle) = handle
                && vcpus >> index & 1 != 0
            {
                handle.order(order);
            }
        }
    }

    fn join(&mut self, peer: &Peer, index: u16) {
        if let Some(handle) = self
            .vcpus
            .get_mut(usize::from(index))
            .and_then(Option::take)
        {
            handle.join();
            let kind = ThreadKind::Vcpu(index);
            self.say(peer, &ToSupervisor::Ended { kind });
        }
    }

    /// Tell the supervisor. One that is gone, or does not read, ends the machine: the loop finds the
    /// link lost.
    fn say(&mut self, peer: &Peer, message: &ToSupervisor) {
        self.tell(peer, |peer| peer.send(message));
    }

    /// Say what KVM has counted of the vCPUs, where it counts. The reading is this thread's and costs the vCPUs nothing.
    fn say_counts(&mut self, peer: &Peer) {
        let counts = |stats: &mut Option<VcpuStats>| {
            let counts = stats.as_mut()?.read().ok()?;
            Some(VcpuCounts {
                exits: counts.exits,
                halt_poll_success_ns: counts.halt_poll_success_ns,
                halt_poll_fail_ns: counts.halt_poll_fail_ns,
            })
        };
        let vcpus: Option<Vec<VcpuCounts>> = self.stats.iter_mut().map(counts).collect();
        if let Some(vcpus) = vcpus {
            self.say(peer, &ToSupervisor::Counted { vcpus });
        }
    }

    fn tell(&mut self, peer: &Peer, send: impl FnOnce(&Peer) -> Result<(), LinkError>) {
        if self.lost.is_some() {
            return;
        }
        if let Err(error) = send(peer) {
            self.lost = Some(error);
            // The acts are orders to end, which need no peer.
            self.happen(peer, Event::PeerLost);
        }
    }

    /// End `io`, let the console say its last, and tell the supervisor.
    fn finish(mut self, peer: &Peer) -> u8 {
        let all_ended = self.life.over().is_some();
        if all_ended && let Some(io) = self.io.take() {
            io.end();
            if let Some(tid) = self.io_tid {
                threads::wait_gone(tid);
            }
            let kind = ThreadKind::Io;
            self.say(peer, &ToSupervisor::Ended { kind });
        }
        self.say_counts(peer);
        self.console.finish(Instant::now() + FLUSH_BOUND);
        let mut cause = self.life.cause().cloned().unwrap_or(Cause::PeerLost);
        if let Cause::Halt(HaltCause::Fault { what, .. }) = &mut cause {
            what.truncate(what.floor_char_boundary(SENTENCE_BYTES));
        }
        if let Cause::Halt(cause) = &cause {
            let cause = cause.clone();
            self.say(peer, &ToSupervisor::Halted { cause });
        }
        match (cause, self.lost) {
            (Cause::Halt(HaltCause::Exit(code)), _) => code,
            (Cause::Halt(HaltCause::Reset | HaltCause::Stopped), _) => 0,
            (Cause::Halt(HaltCause::Fault { .. }), _) => EXIT_FAULT,
            (Cause::PeerLost, Some(LinkError::Protocol(_))) => EXIT_PROTOCOL,
            (Cause::PeerLost, _) => EXIT_NO_SUPERVISOR,
        }
    }
}
