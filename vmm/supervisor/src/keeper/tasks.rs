//! The threads behind the tasks: kept-open thread directories, counters, and the pins in force.
//!
//! A living thread costs its task three descriptors: its directory, its schedstat and its counter. They are
//! closed when the task exits, by which time its bill is closed; what the report shows of the dead is kept.

use std::collections::HashMap;

use container_core::{CpuSet, Framework, Nanoseconds, Observation, Reading, TaskId, TaskName};
use host::{Counter, ExactCounter, PinError, Thread, Whereabouts};

use super::MachineId;
use super::flight::{HandError, Hands};
use super::hold::Holding;

/// A reading this soon after a change of mask is as of that change: a sixteenth of the scheduler's tick.
const A_MOMENT_NS: u64 = 250_000;

/// One task's thread.
pub struct Task {
    /// Whose it is.
    pub machine: MachineId,
    /// For sentences.
    pub name: TaskName,
    /// What is held open of the thread; None once the task has exited.
    held: Option<Held>,
    /// Whether the exact counter was open at the end.
    was_exact: bool,
    /// The CPUs it could use at its birth.
    born_cpus: CpuSet,
    /// The CPUs Pinfold confined it to; None before its first pin.
    pub pinned: Option<CpuSet>,
    /// The CPUs the kernel last said it may use.
    pub observed: CpuSet,
    /// Time spent waiting for a CPU.
    pub wait: Nanoseconds,
    /// What it had used when its mask was last changed, and when that was on the clock of
    /// `host::monotonic_ns`: an exact reading, if it is asked for a moment later.
    moved: Option<(host::CounterReading, u64)>,
    /// Where its thread was last found; None before the first look.
    found: Option<Whereabouts>,
    /// A pin that should hold and does not; being retried.
    pub drifted: bool,
    /// What was billed to it at its machine's end without a counter having seen it.
    pub residual: Nanoseconds,
}

/// What is held open of a thread.
struct Held {
    /// By its kept-open directory.
    thread: Thread,
    counter: Counter,
}

impl Task {
    /// A thread that has just been announced and verified.
    pub fn new(
        machine: MachineId,
        name: TaskName,
        thread: Thread,
    ) -> Result<Self, host::HostError> {
        let counter = Counter::baseline(&thread)?;
        let observed = thread.observed_cpus()?;
        Ok(Task {
            machine,
            name,
            held: Some(Held { thread, counter }),
            was_exact: false,
            born_cpus: observed,
            pinned: None,
            observed,
            wait: Nanoseconds(0),
            moved: None,
            found: None,
            drifted: false,
            residual: Nanoseconds(0),
        })
    }

    /// Its thread, by its kept-open directory; None once it has exited.
    pub fn thread(&self) -> Option<&Thread> {
        self.held.as_ref().map(|held| &held.thread)
    }

    /// Whether it has exited; the record stays for the report.
    pub fn has_ended(&self) -> bool {
        self.held.is_none()
    }

    /// It has exited: close what is held of its thread.
    pub fn end(&mut self) {
        self.was_exact = self.is_exact();
        self.held = None;
    }

    /// Whether its exact counter is open, or was when it exited.
    pub fn is_exact(&self) -> bool {
        self.held
            .as_ref()
            .map_or(self.was_exact, |held| held.counter.is_exact())
    }
}

/// All tasks of the host.
#[derive(Default)]
pub struct Tasks {
    by_id: HashMap<TaskId, Task>,
    tsc_khz: Option<u32>,
}

impl Tasks {
    /// Take a task in.
    pub fn insert(&mut self, id: TaskId, task: Task) {
        self.by_id.insert(id, task);
    }

    /// Forget a task that was never committed.
    pub fn remove(&mut self, id: TaskId) {
        self.by_id.remove(&id);
    }

    /// Forget a machine's tasks.
    pub fn forget(&mut self, machine: MachineId) {
        self.by_id.retain(|_, task| task.machine != machine);
    }

    /// A task's thread.
    pub fn get(&self, id: TaskId) -> Option<&Task> {
        self.by_id.get(&id)
    }

    /// A task's thread, to change.
    pub fn get_mut(&mut self, id: TaskId) -> Option<&mut Task> {
        self.by_id.get_mut(&id)
    }

    /// The tasks whose threads have not ended, by birth.
    pub fn living(&self) -> Vec<TaskId> {
        let mut ids: Vec<_> = self
            .by_id
            .iter()
            .filter(|(_, task)| !task.has_ended())
            .map(|(id, _)| *id)
            .collect();
        ids.sort_unstable();
        ids
    }

    /// All tasks of a machine, by birth.
    pub fn of_machine(&self, machine: MachineId) -> Vec<TaskId> {
        let mut ids: Vec<_> = self
            .by_id
            .iter()
            .filter(|(_, task)| task.machine == machine)
            .map(|(id, _)| *id)
            .collect();
        ids.sort_unstable();
        ids
    }

    /// Where cycles are counted from; None until the runner has found it.
    pub fn tsc_khz(&self) -> Option<u32> {
        self.tsc_khz
    }

    /// Take the exact counters that the runner has opened.
    pub fn attach_counters(&mut self, counters: Vec<(TaskId, ExactCounter)>, khz: Option<u32>) {
        self.tsc_khz = self.tsc_khz.or(khz);
        for (id, counter) in counters {
            let task = self.by_id.get_mut(&id);
            // One that has exited meanwhile is not counted any more.
            if let Some(held) = task.and_then(|task| task.held.as_mut()) {
                held.counter.attach_exact(counter);
            }
        }
    }

    /// A cheap reading, at most a tick old.
    pub fn sample(&mut self, id: TaskId) -> Option<Reading> {
        self.read(id, Counter::sample)
    }

    /// The thread's part in its process's clock now, as the kernel has written it down.
    pub fn written(&mut self, id: TaskId) -> Option<Nanoseconds> {
        self.sample(id)?;
        let held = self.by_id.get(&id)?.held.as_ref();
        held.map(|held| held.counter.written())
    }

    /// An exact reading. Of a task that was moved to other CPUs a moment ago it is the one of that moment, and
    /// free; else it interrupts the CPU that runs the thread.
    pub fn exact(&mut self, id: TaskId) -> Option<Reading> {
        match self.by_id.get_mut(&id)?.moved.take() {
            Some((written, at)) if host::monotonic_ns().saturating_sub(at) < A_MOMENT_NS => {
                self.read(id, |counter| Ok(counter.at_move(written)))
            }
            _ => self.read(id, Counter::exact),
        }
    }

    /// Look where a task's thread is, for what is billed next.
    pub fn look(&mut self, id: TaskId, framework: &mut Framework) {
        let Some(task) = self.by_id.get_mut(&id) else {
            return;
        };
        let Some(Ok(found)) = task.thread().map(Thread::whereabouts) else {
            return;
        };
        let before = task.found.unwrap_or_default();
        let seen = Observation {
            cpu: found.cpu,
            user: found.user_ticks.saturating_sub(before.user_ticks),
            system: found.system_ticks.saturating_sub(before.system_ticks),
        };
        // Refused for one that is not born yet, or has just exited.
        if framework.observe(id, seen).is_ok() {
            task.found = Some(found);
        }
    }

    /// The first look, which does not wait for a round of the watch: until then a task is nowhere.
    pub fn look_first(&mut self, id: TaskId, framework: &mut Framework) {
        if self.by_id.get(&id).is_some_and(|task| task.found.is_none()) {
            self.look(id, framework);
        }
    }

    fn read(
        &mut self,
        id: TaskId,
        how: impl FnOnce(&mut Counter) -> Result<host::CounterReading, host::HostError>,
    ) -> Option<Reading> {
        let khz = self.tsc_khz;
        let task = self.by_id.get_mut(&id)?;
        let reading = how(&mut task.held.as_mut()?.counter).ok()?;
        task.wait = task.wait.max(reading.wait);
        Some(in_cycles(reading.usage, khz))
    }

    /// Lend the hands that carry a plan out on this host.
    pub(super) fn hands<'a>(
        &'a mut self,
        framework: &'a mut Framework,
        holding: Holding<'a>,
    ) -> HostHands<'a> {
        HostHands {
            tasks: self,
            framework,
            holding,
        }
    }
}

/// A reading whose cycles are TSC ticks; 0 while the TSC's rate is unknown.
pub fn in_cycles(usage: Nanoseconds, khz: Option<u32>) -> Reading {
    let cycles = khz
        .map(|khz| host::cycles_from(usage, khz))
        .unwrap_or_default();
    Reading { usage, cycles }
}

/// The real hands: system calls of a few microseconds, made on the keeper's own thread, and orders to machines,
/// noted here and posted by the keeper.
pub(super) struct HostHands<'a> {
    tasks: &'a mut Tasks,
    framework: &'a mut Framework,
    holding: Holding<'a>,
}

impl Hands for HostHands<'_> {
    fn pin(&mut self, task: TaskId, cpus: &CpuSet) -> Result<(), HandError> {
        let record = self.tasks.get_mut(task).ok_or(HandError::Ended)?;
        let thread = record.thread().ok_or(HandError::Ended)?;
        match thread.pin_and_read(cpus) {
            Ok((observed, written)) => {
                record.moved =
                    (record.observed != observed).then(|| (written, host::monotonic_ns()));
                record.pinned = Some(*cpus);
                record.observed = observed;
                record.drifted = false;
                Ok(())
            }
            Err(PinError::Ended { .. }) => Err(HandError::Ended),
            Err(error) => Err(HandError::Failed(format!("{}: {error}", record.name))),
        }
    }

    fn restore(&mut self, task: TaskId, before: Option<&CpuSet>) -> Result<(), HandError> {
        match before {
            Some(cpus) => self.pin(task, cpus),
            // Never confined until now: it has back what it was born with.
            None => {
                let born = self.tasks.get(task).ok_or(HandError::Ended)?.born_cpus;
                self.pin(task, &born)?;
                if let Some(record) = self.tasks.get_mut(task) {
                    record.pinned = None;
                }
                Ok(())
            }
        }
    }

    fn sample(&mut self, task: TaskId) -> Result<(), HandError> {
        let reading = self.tasks.exact(task).ok_or(HandError::Ended)?;
        self.tasks.look_first(task, self.framework);
        // Dead meanwhile, or not yet born in this very plan: its exit charges what is left.
        let _ = self.framework.charge(task, reading);
        Ok(())
    }

    fn freeze(&mut self, task: TaskId) -> Result<(), HandError> {
        let record = self.tasks.get(task).filter(|task| !task.has_ended());
        let record = record.ok_or(HandError::Ended)?;
        self.holding.freeze(record.machine, &record.name, true);
        Ok(())
    }

    fn thaw(&mut self, task: TaskId) {
        if let Some(record) = self.tasks.get(task) {
            self.holding.freeze(record.machine, &record.name, false);
        }
    }
}
