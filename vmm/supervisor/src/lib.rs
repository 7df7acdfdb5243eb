//! The supervisor: the actors that place, bill and watch machines.
//!
//! ```text
//!   binary, API ──Request──▶ keeper ──Request (never waits)──▶ wire ══link══▶ machine processes
//!                              ▲  │                             │
//!                              │  └──Job──▶ runner ──News──┐    │
//!                              └────────────News───────────┴────┘
//! ```
//!
//! [`keeper`] owns the framework, the bills and the event log; it makes the host calls that pin and
//! read threads itself, and waits for nobody. [`wire`] owns every link, pidfd and console, as state
//! machines. [`runner`] is the one thread that may block: release agents, opening counters, and starting
//! machine processes.
//! Nothing a machine process says is believed before it is checked against the kernel.

pub mod agent;
pub mod api;
mod births;
#[cfg(test)]
#[path = "../../../tests/errors/mod.rs"]
mod errors;
mod event_log;
pub mod keeper;
mod launch;
mod notice;
mod nursery;
mod runner;
mod wire;

pub use births::Births;
pub use event_log::{EventId, EventLog, Room, Since};
pub use keeper::cpu::CpuController;
pub use launch::{
    AgentAccess, Body, CONSOLE_FD, Inherited, KVM_FD, LISTENER_FD, Launch, LaunchError,
    MachineProgram, NewMachine, Placement, Program, Ready, Restart, memory_needed,
};
pub use notice::{Notice, Onlooker};

use std::io;
use std::thread::{Builder, JoinHandle};

use actor::{Address, mailbox, mailbox_with_doorbell};
use container_core::Framework;

// A mailbox's slots are all written when it is made, and a page touched first costs microseconds of the
// start: bounds are no larger than their reasons, and large messages are boxed.

/// Requests to the keeper that may wait at once. Who finds it full waits.
const KEEPER_MAILBOX: usize = 256;
/// What the keeper may have said to the wire and the wire not yet carried: a full one costs the
/// machine it is about its life, so there is room for a burst to every machine of a host.
const WIRE_MAILBOX: usize = 1024;
/// Of these at most so many are pushes of events. What guests make happen comes faster than the wire can
/// carry it, and may cost no machine its life; a push that finds no room is owed and costs nobody.
const PUSHES_WAITING: usize = 256;
/// And below this number orders which vCPUs are to be held are posted; past it they are owed as well. One change may
/// freeze more machines than the mailbox has places.
const HOLDS_WAITING: usize = 512;
/// Jobs the runner has not taken in: a release agent a group of one commit, and one job a birth.
const RUNNER_MAILBOX: usize = 1024;

/// What a supervisor is started with.
pub struct Config {
    /// The framework, with whatever hierarchies and groups a spec has already made in it.
    pub framework: Framework,
    /// What those made happen, to head the event log.
    pub history: Vec<container_core::Event>,
    /// Where to tell what happens, or None.
    pub onlooker: Option<Onlooker>,
    /// CPU time that this process had used before it became a supervisor: an exec keeps the clock running.
    pub spent_before: container_core::Nanoseconds,
    /// Hold every machine's `Go` back this long after its threads have been placed.
    pub withhold_go: std::time::Duration,
    /// Who limits the CPU time of groups.
    pub cpu_controller: CpuController,
    /// What machines are started with while it runs; None where all of them come with the start.
    pub machine_program: Option<MachineProgram>,
}

/// A running supervisor. Its actors end when it is dropped and joined.
pub struct Supervisor {
    keeper: Address<keeper::Request>,
    threads: Vec<JoinHandle<()>>,
}

impl Supervisor {
    /// Start the actors.
    ///
    /// # Errors
    /// What thread and eventfd creation return; the host's word, where the limits of the framework's cpu hierarchy cannot be
    /// put into force.
    pub fn start(mut config: Config) -> io::Result<Self> {
        let (keeper, keeper_mailbox) = mailbox(KEEPER_MAILBOX);
        let (wire, wire_mailbox) = mailbox_with_doorbell(WIRE_MAILBOX)?;
        let (runner, runner_mailbox) = mailbox(RUNNER_MAILBOX);
        let wire_actor = wire::Wire::new(wire_mailbox, keeper.clone(), config.onlooker.clone());
        let nursery = nursery::Nursery::new(config.machine_program.take());
        let runner_actor = runner::Runner::new(runner_mailbox, keeper.clone(), nursery);
        let keeper_actor = keeper::Keeper::new(keeper_mailbox, wire, runner, config)
            .map_err(|error| io::Error::other(error.to_string()))?;
        let threads = vec![
            Builder::new()
                .name("keeper".into())
                .spawn(move || keeper_actor.run())?,
            Builder::new()
                .name("wire".into())
                .spawn(move || wire_actor.run())?,
            Builder::new()
                .name("runner".into())
                .spawn(move || runner_actor.run())?,
        ];
        Ok(Supervisor { keeper, threads })
    }

    /// Where to send requests.
    pub fn keeper(&self) -> &Address<keeper::Request> {
        &self.keeper
    }

    /// End the actors; machines that still run are killed.
    pub fn end(self) {
        let _ = self.keeper.send(keeper::Request::End);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}
