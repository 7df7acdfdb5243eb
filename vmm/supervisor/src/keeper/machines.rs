//! The machines a keeper knows, living and ended.
//!
//! ```text
//!  Starting ──Born, verified──▶ Placing ──committed──▶ Running ──pidfd──▶ Ended
//!      │ no Born in time, a lie, a failed build, a refused plan: killed    ▲
//!      └───────────────────────────────────────────────────────────────────┘
//! ```
//!
//! One that has ended is kept for the report, the last [`KEPT_ENDED`] of them, and holds no descriptor. Started
//! again it is another machine of the same name, which takes its place.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use container_core::{MachineName, TaskId, TaskKind};
use host::{Process, ProcessMemory, TaskDirectory};

use super::hold::Hold;
use super::views::Sight;
use crate::NewMachine;

/// Ended machines that are kept: as many as there are dead tasks in the framework's memory, at 64 each.
pub const KEPT_ENDED: usize = 1024;

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
    /// What it was told to be.
    pub asked: NewMachine,
    /// Its process's number.
    pub pid: u32,
    /// Its process; None once it is reaped.
    pub process: Option<Process>,
    /// Its threads as the kernel lists them.
    pub directory: Option<TaskDirectory>,
    /// What it holds of the host's memory; None before its birth and after its end.
    pub memory: Option<ProcessMemory>,
    /// Where it is in its life.
    pub state: State,
    /// All its vCPUs are out of the guest by order.
    pub paused: bool,
    /// Which of its vCPUs are held out of the guest.
    pub(super) hold: Hold,
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
    /// It was told to end.
    pub end_ordered: bool,
    /// It has ended and is started again then.
    pub restart_at: Option<Instant>,
    /// What it was waited with before it was started again; None of one that was started by order.
    pub waited: Option<Duration>,
    /// Facts for the report.
    pub times: Times,
    /// The bill's outside witness, at its end.
    pub settlement: Option<Settled>,
}

impl Machine {
    /// A process that has just been started.
    pub fn new(asked: NewMachine, process: Process, spawned_ns: u64) -> Machine {
        Machine {
            asked,
            pid: process.pid(),
            process: Some(process),
            directory: None,
            memory: None,
            state: State::Starting,
            paused: false,
            hold: Hold::default(),
            sight: None,
            agent_ready: false,
            tasks: BTreeMap::new(),
            due: None,
            go_at: None,
            verdict: None,
            end_ordered: false,
            restart_at: None,
            waited: None,
            times: Times {
                spawned: spawned_ns,
                ..Times::default()
            },
            settlement: None,
        }
    }

    /// Its name.
    pub fn name(&self) -> &MachineName {
        &self.asked.name
    }

    /// How long its guest ran.
    pub fn ran(&self) -> Duration {
        let ran = self.times.go.zip(self.times.ended);
        ran.map_or(Duration::ZERO, |(go, ended)| {
            Duration::from_nanos(ended.saturating_sub(go))
        })
    }

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

/// Sums over machines that have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettledSums {
    /// Of their witnesses.
    pub witness_ns: u64,
    /// Of their residuals.
    pub residual_ns: u64,
}

impl SettledSums {
    fn add(self, machine: &Machine) -> SettledSums {
        let Some(settled) = machine.settlement else {
            return self;
        };
        SettledSums {
            witness_ns: self.witness_ns + settled.witness_ns,
            residual_ns: self.residual_ns + settled.residual_ns.max(0) as u64,
        }
    }
}

/// All machines, in the order they came.
#[derive(Default)]
pub struct Machines {
    by_id: BTreeMap<MachineId, Machine>,
    next: u32,
    /// Of those that are not kept any more.
    forgotten: SettledSums,
}

impl Machines {
    /// Take a machine in.
    pub fn add(&mut self, machine: Machine) -> MachineId {
        let id = MachineId(self.next);
        self.next += 1;
        self.by_id.insert(id, machine);
        id
    }

    /// A machine.
    pub fn get(&self, id: MachineId) -> Option<&Machine> {
        self.by_id.get(&id)
    }

    /// A machine, to change.
    pub fn get_mut(&mut self, id: MachineId) -> Option<&mut Machine> {
        self.by_id.get_mut(&id)
    }

    /// All of them, with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (MachineId, &Machine)> {
        self.by_id.iter().map(|(id, machine)| (*id, machine))
    }

    /// All of them, to change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Machine> {
        self.by_id.values_mut()
    }

    /// The machine of that name, living or ended.
    pub fn by_name(&self, name: &MachineName) -> Option<MachineId> {
        let of_name = self.iter().filter(|(_, machine)| machine.name() == name);
        of_name.last().map(|(id, _)| id)
    }

    /// The machine of that name that has not ended.
    pub fn living_by_name(&self, name: &MachineName) -> Option<MachineId> {
        self.iter()
            .find(|(_, machine)| machine.name() == name && machine.state != State::Ended)
            .map(|(id, _)| id)
    }

    /// Forget one that has ended; its witness stays in the sums.
    pub fn forget(&mut self, id: MachineId) -> Option<Machine> {
        let machine = self.by_id.remove(&id)?;
        self.forgotten = self.forgotten.add(&machine);
        Some(machine)
    }

    /// The one that ended first, where more than `most` have. Those that are to be started again stay.
    pub fn surplus(&self, most: usize) -> Option<MachineId> {
        let ended = || {
            let ended = self.iter().filter(|(_, m)| m.state == State::Ended);
            ended.filter(|(_, machine)| machine.restart_at.is_none())
        };
        (ended().count() > most)
            .then(|| ended().min_by_key(|(_, machine)| machine.times.ended))?
            .map(|(id, _)| id)
    }

    /// The sums over all that have ended, forgotten or not.
    pub fn settled(&self) -> SettledSums {
        self.by_id.values().fold(self.forgotten, SettledSums::add)
    }

    /// Whether none lives, and none is about to again.
    pub fn all_ended(&self) -> bool {
        let over =
            |machine: &Machine| machine.state == State::Ended && machine.restart_at.is_none();
        self.by_id.values().all(over)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeper::stage::new_machine;

    #[test]
    fn of_the_ended_the_first_makes_room_and_neither_the_living_nor_one_that_comes_back() {
        let mut machines = Machines::default();
        for (name, ended, restart_at) in [
            ("lives", None, None),
            ("comes-back", Some(1), Some(Instant::now())),
            ("second", Some(3), None),
            ("first", Some(2), None),
        ] {
            let process = host::spawn_process("/bin/true".as_ref(), &[], &[]).unwrap();
            process.wait_without_reaping(false).unwrap();
            process.reap().unwrap();
            let mut machine = Machine::new(new_machine(name), process, 0);
            machine.times.ended = ended;
            machine.restart_at = restart_at;
            machine.state = ended.map_or(State::Running, |_| State::Ended);
            machine.settlement = ended.map(|at| Settled {
                witness_ns: at,
                residual_ns: -1,
                peak_resident_bytes: 0,
            });
            machines.add(machine);
        }
        let sums = machines.settled();
        assert_eq!((sums.witness_ns, sums.residual_ns), (6, 0));
        assert_eq!(machines.surplus(2), None);
        let surplus = machines.surplus(1).unwrap();
        let forgotten = machines.forget(surplus).unwrap();
        assert_eq!(forgotten.name().as_str(), "first");
        assert_eq!(machines.surplus(1), None);
        assert_eq!(machines.settled(), sums);
        assert_eq!(machines.by_name(forgotten.name()), None);
    }
}
