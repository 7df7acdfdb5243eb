//! The machines a keeper knows, living and ended.
//!
//! ```text
//!  Starting ──Born, verified──▶ Placing ──committed──▶ Running ──pidfd──▶ Ended
//!      │ no Born in time, a lie, a failed build, a refused plan: killed    ▲
//!      └───────────────────────────────────────────────────────────────────┘
//! ```

use std::collections::BTreeMap;
use std::time::Instant;

use container_core::{MachineName, TaskId, TaskKind};
use host::{Process, TaskDirectory};

use super::views::Sight;
use crate::Placement;

/// A machine, never reused. Fits the 29 bits that epoll data leave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineId(pub u32);

/// Where a machine is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The process builds; its threads are not known yet.
    Starting,
    /// Its threads are being placed.
    Placing,
    /// Its vCPUs have been told to go.
    Running,
    /// Its process is dead, settled and reaped.
    Ended,
}

/// One machine.
pub struct Machine {
    /// Its name.
    pub name: MachineName,
    /// vCPUs it was told to have.
    pub vcpus: u16,
    /// Where its threads go.
    pub placement: Placement,
    /// Its process.
    pub process: Process,
    /// Its threads as the kernel lists them.
    pub directory: Option<TaskDirectory>,
    /// Where it is in its life.
    pub state: State,
    /// All its vCPUs are out of the guest by order.
    pub paused: bool,
    /// What its guest sees; None where it has no agent.
    pub sight: Option<Sight>,
    /// Its agent has been there.
    pub agent_ready: bool,
    /// Its tasks by kind, from its birth on.
    pub tasks: BTreeMap<TaskKind, TaskId>,
    /// What it has to have done by then, or it is killed: announced its threads, and later, once it has said
    /// that it ends or closed its link, ended.
    pub due: Option<(Instant, &'static str)>,
    /// A `Go` that is held back until then.
    pub go_at: Option<Instant>,
    /// Why it is being killed, or what it said of its end.
    pub verdict: Option<String>,
    /// Facts for the report.
    pub times: Times,
    /// The bill's outside witness, at its end.
    pub settlement: Option<Settled>,
}

impl Machine {
    /// The word for where it is in its life, on every surface.
    pub fn state_word(&self) -> &'static str {
        match self.state {
            State::Starting | State::Placing => "starting",
            State::Running if self.paused => "paused",
            State::Running => "running",
            State::Ended => "ended",
        }
    }
}

/// CLOCK_MONOTONIC, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// Just before the process was started.
    pub spawned: u64,
    /// When its threads were announced.
    pub born: Option<u64>,
    /// When `Go` was sent.
    pub go: Option<u64>,
    /// When the first byte left the serial port, by the machine's word.
    pub first_output: Option<u64>,
    /// When its process was found dead.
    pub ended: Option<u64>,
}

/// What was found at the end of a machine.
#[derive(Clone, Copy, Debug)]
pub struct Settled {
    /// The kernel's process clock of the zombie.
    pub witness_ns: u64,
    /// Witness less what the threads' counters had billed. Negative would be an overbill.
    pub residual_ns: i64,
    /// Largest resident size.
    pub peak_resident_bytes: u64,
}

/// All machines, in the order they came.
#[derive(Default)]
pub struct Machines {
    all: Vec<Machine>,
}

impl Machines {
    /// Take a machine in.
    pub fn add(&mut self, machine: Machine) -> MachineId {
        self.all.push(machine);
        MachineId(self.all.len() as u32 - 1)
    }

    /// A machine.
    pub fn get(&self, id: MachineId) -> Option<&Machine> {
        self.all.get(id.0 as usize)
    }

    /// A machine, to change.
    pub fn get_mut(&mut self, id: MachineId) -> Option<&mut Machine> {
        self.all.get_mut(id.0 as usize)
    }

    /// All of them, with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (MachineId, &Machine)> {
        self.all
            .iter()
            .enumerate()
            .map(|(index, machine)| (MachineId(index as u32), machine))
    }

    /// The machine of that name that has not ended.
    pub fn living_by_name(&self, name: &MachineName) -> Option<MachineId> {
        self.iter()
            .find(|(_, machine)| machine.name == *name && machine.state != State::Ended)
            .map(|(id, _)| id)
    }

    /// Whether none lives.
    pub fn all_ended(&self) -> bool {
        self.all.iter().all(|machine| machine.state == State::Ended)
    }
}
