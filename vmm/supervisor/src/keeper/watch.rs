//! The watch: what is looked at again and again.
//!
//! Every second: where each thread is; cheap samples of all counters, and of what each process has resident; held vCPUs,
//! which are to use no time; each thread's affinity against what Pinfold set; each
//! process's threads against those that are known; the CPUs the host allows us against those the
//! framework counts on. What differs is reported and repaired. Between the rounds: threads that are about
//! to be gone, births that are overdue, a `Go` that is held back.

use std::time::{Duration, Instant};

use container_core::{Credentials, MachineMemory, Nanoseconds, TaskId, TaskKind, Tid};
use host::Thread;
use link::VcpuCounts;
use management::Drift;

use super::death::ENDING_POLL;
use super::flight::Hands;
use super::machines::{MachineId, State};
use super::tasks::Task;
use super::{Keeper, MAX_DRIFT, Then};
use crate::Births;

/// From one round to the next: drift is to be seen within two seconds.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// What `cpuacct.load` is of (cpu_acct.c of 2007).
const LOAD_INTERVAL: Duration = Duration::from_secs(10);
/// Unannounced threads of one machine that are taken in; one with more is killed.
const MAX_STRANGERS: u16 = 16;

impl Keeper {
    /// When the keeper has to wake without being asked.
    pub(super) fn next_deadline(&self) -> Instant {
        let mut next = self.next_watch;
        if !self.ending.is_empty() {
            next = next.min(Instant::now() + ENDING_POLL);
        }
        let again = [
            self.push_again_at(),
            self.hold_again_at(),
            self.throttle_at(),
        ];
        next = again.into_iter().flatten().fold(next, Instant::min);
        let due = self
            .machines
            .iter()
            .flat_map(|(_, machine)| [machine.go_at, machine.restart_at, machine.hold_due()]);
        due.flatten().fold(next, Instant::min)
    }

    /// Do what is due.
    pub(super) fn on_time(&mut self) {
        if self.under_way.is_some() || self.ended {
            return;
        }
        self.bury_threads();
        self.push_again();
        self.post_holds();
        self.throttle();
        let now = Instant::now();
        self.kill_not_held(now);
        self.release_withheld(now);
        if self.under_way.is_none() {
            self.restart_due(now);
        }
        if now >= self.next_watch && self.under_way.is_none() {
            self.next_watch = now + INTERVAL;
            self.kill_overdue(now);
            self.look_for_tasks();
            self.sample_all();
            self.note_memory();
            self.kill_swollen();
            self.look_at_held();
            self.close_interval(now);
            self.look_for_drift();
            self.look_at_cpu_groups();
            self.look_for_strangers();
            self.look_at_host();
        }
    }

    /// Bill cheap readings of all living tasks.
    pub(super) fn sample_all(&mut self) {
        self.sample(&self.tasks.living());
    }

    /// Bill cheap readings of these tasks, as far as they live.
    pub(super) fn sample(&mut self, tasks: &[TaskId]) {
        for &task in tasks {
            self.tasks.look_first(task, &mut self.framework);
            if let Some(reading) = self.tasks.sample(task) {
                let _ = self.framework.charge(task, reading);
            }
        }
    }

    /// Machines have said what KVM counts of their vCPUs.
    pub(super) fn on_counted(&mut self, counts: &[(MachineId, Vec<VcpuCounts>)]) {
        for (id, counts) in counts {
            let Some(machine) = self.machines.get(*id) else {
                continue;
            };
            for (index, counts) in (0..).zip(counts) {
                let task = machine.tasks.get(&TaskKind::Vcpu(index));
                if let Some(task) = task.and_then(|task| self.tasks.get_mut(*task)) {
                    task.count(counts);
                }
            }
        }
    }

    /// Charge what each machine has resident now.
    pub(super) fn note_memory(&mut self) {
        let ids: Vec<MachineId> = self.machines.iter().map(|(id, _)| id).collect();
        for id in ids {
            self.note_memory_of(id);
        }
    }

    /// Charge what this machine has resident now.
    pub(super) fn note_memory_of(&mut self, id: MachineId) {
        let Some(machine) = self.machines.get(id) else {
            return;
        };
        let control = machine.tasks.get(&TaskKind::Control);
        // One that has just died is uncharged by its exit.
        if let (Some(&control), Some(memory)) = (control, &machine.memory)
            && let Ok(resident) = memory.anonymous()
        {
            let _ = self.framework.charge_memory(control, resident);
        }
    }

    /// Machines that hold more than was committed for them: their guest cannot, so their process is at fault, and the
    /// limits of their groups count on it.
    pub(super) fn kill_swollen(&mut self) {
        let swollen: Vec<(MachineId, MachineMemory)> = self
            .machines
            .iter()
            .filter(|(_, machine)| machine.state == State::Running && machine.memory.is_some())
            .filter_map(|(id, machine)| {
                let memory = self
                    .framework
                    .memory(*machine.tasks.get(&TaskKind::Control)?);
                (memory.resident > memory.committed).then_some((id, memory))
            })
            .collect();
        for (id, memory) in swollen {
            let MachineMemory {
                committed,
                resident,
            } = memory;
            self.kill(
                id,
                format!("holds {resident} bytes of memory, and {committed} were committed for it"),
            );
        }
    }

    /// On which CPU each thread is, and in which mode it was.
    fn look_for_tasks(&mut self) {
        for task in self.tasks.living() {
            self.tasks.look(task, &mut self.framework);
        }
    }

    /// The interval of `cpuacct.load`, which begins and ends with a round: what it lasted is what it is held against.
    fn close_interval(&mut self, now: Instant) {
        let length = now - self.interval_began;
        // A round may come a little early for the tenth second and does not leave it to the eleventh.
        if length + INTERVAL / 2 >= LOAD_INTERVAL {
            self.interval_began = now;
            let length = Nanoseconds(u64::try_from(length.as_nanos()).unwrap_or(u64::MAX));
            self.framework.close_interval(length);
        }
    }

    fn release_withheld(&mut self, now: Instant) {
        let due: Vec<MachineId> = self
            .machines
            .iter()
            .filter(|(_, machine)| machine.go_at.is_some_and(|at| now >= at))
            .map(|(id, _)| id)
            .collect();
        for machine in due {
            self.go(machine);
        }
    }

    /// Machines that have not done in time what they had to.
    pub(super) fn kill_overdue(&mut self, now: Instant) {
        let overdue: Vec<(MachineId, &'static str)> = self
            .machines
            .iter()
            .filter(|(_, machine)| machine.state != State::Ended)
            .filter_map(|(id, machine)| {
                machine
                    .due
                    .filter(|(by, _)| now >= *by)
                    .map(|(_, what)| (id, what))
            })
            .collect();
        for (id, what) in overdue {
            if self.is_dead(id) {
                // Nobody has told so: the wire could not watch it.
                self.on_died(id);
                continue;
            }
            let Some(machine) = self.machines.get_mut(id) else {
                continue;
            };
            // What it said of its end was no truth.
            let why = match machine.verdict.take() {
                Some(said) if said.ends_with(what) => said,
                Some(said) => format!("{said}: {what}"),
                None => what.into(),
            };
            self.kill(id, why);
        }
    }

    fn is_dead(&self, id: MachineId) -> bool {
        let process = self.machines.get(id).and_then(|m| m.process.as_ref());
        process.is_some_and(|process| !matches!(process.wait_without_reaping(true), Ok(None)))
    }

    fn look_for_drift(&mut self) {
        for id in self.tasks.living() {
            let Some(wanted) = self.framework.task(id).and_then(|task| task.cpus) else {
                continue;
            };
            let Some(task) = self.tasks.get_mut(id) else {
                continue;
            };
            // A thread that has ended has no affinity; its exit is on its way.
            let Some(Ok(observed)) = task.thread().map(Thread::observed_cpus) else {
                continue;
            };
            task.observed = observed;
            if observed == wanted {
                task.drifted = false;
                continue;
            }
            let (name, again) = (task.name.to_string(), task.drifted);
            let repaired = self.hands().pin(id, &wanted).is_ok();
            if let Some(task) = self.tasks.get_mut(id) {
                task.drifted = !repaired;
            }
            if again && !repaired {
                continue; // already told
            }
            let outcome = if repaired {
                "set again"
            } else {
                "cannot be set again"
            };
            let text = format!("{name} was on CPUs {observed} instead of {wanted}: {outcome}");
            self.append("drift", text, |event| event.task = Some(name.clone()));
            if self.drift.len() >= MAX_DRIFT {
                self.drift.pop_front();
            }
            self.drift.push_back(Drift {
                task: name,
                requested_cpus: wanted.to_string(),
                observed_cpus: observed.to_string(),
                repaired,
            });
        }
    }

    /// Mark tasks whose pin could not be undone; the next rounds retry.
    pub(super) fn mark_drifted(&mut self, tasks: &[TaskId]) {
        for &id in tasks {
            let Some(task) = self.tasks.get_mut(id) else {
                continue;
            };
            task.drifted = true;
            let name = task.name.to_string();
            let text = format!("{name} could not be put back on its former CPUs: retried");
            self.append("drift", text, |event| event.task = Some(name));
        }
    }

    /// Threads that a machine has not announced, a helper of KVM's that came late or one that a taken-over
    /// process made: they are taken in where `control` is, so that they are confined and billed.
    fn look_for_strangers(&mut self) {
        let running: Vec<MachineId> = self
            .machines
            .iter()
            .filter(|(_, machine)| machine.state == State::Running && machine.verdict.is_none())
            .map(|(id, _)| id)
            .collect();
        for id in running {
            let strangers = self.strangers(id);
            if !strangers.is_empty() {
                self.adopt(id, &strangers);
                return; // one plan a round; the others keep a second
            }
        }
    }

    fn strangers(&self, id: MachineId) -> Vec<Tid> {
        let Some(machine) = self.machines.get(id) else {
            return Vec::new();
        };
        let Some(Ok(listed)) = machine.directory.as_ref().map(|directory| directory.tids()) else {
            return Vec::new();
        };
        let known = |tid: &Tid| {
            machine
                .tasks
                .values()
                .filter_map(|task| self.tasks.get(*task))
                .filter_map(Task::thread)
                .any(|thread| thread.tid() == *tid)
        };
        listed.into_iter().filter(|tid| !known(tid)).collect()
    }

    fn adopt(&mut self, id: MachineId, strangers: &[Tid]) {
        let Some(machine) = self.machines.get_mut(id) else {
            return;
        };
        let Some(directory) = machine.directory.take() else {
            return;
        };
        let parent = machine.tasks.get(&TaskKind::Control).copied();
        let (asked, pid) = (machine.asked.clone(), machine.pid);
        let births = match Births::new(&self.framework, &asked, Tid(pid)) {
            Ok(births) => births,
            Err(refusal) => return self.kill(id, refusal.to_string()),
        };
        let (mut tasks, mut commands) = (Vec::new(), Vec::new());
        for &tid in strangers {
            let Some(machine) = self.machines.get(id) else {
                return;
            };
            let free = (0..MAX_STRANGERS)
                .map(TaskKind::Kvm)
                .find(|kind| !machine.tasks.contains_key(kind));
            let Some(kind) = free else {
                return self.kill(id, format!("has over {MAX_STRANGERS} unannounced threads"));
            };
            // One that ended since it was listed is no stranger any more.
            if let Ok(task) = self.born_task(id, &directory, kind, tid) {
                tasks.push(task);
                commands.append(&mut births.of(kind, task, tid, parent));
                let text = format!("has an unannounced thread {}, taken in as {kind}", tid.0);
                self.tell_of(id, "thread_found", &text);
            }
        }
        if let Some(machine) = self.machines.get_mut(id) {
            machine.directory = Some(directory);
        }
        self.begin(&Credentials::ROOT, &commands, Then::Adopt(tasks));
    }

    /// The CPUs that the host allows us, and what follows from a change of them.
    fn look_at_host(&mut self) {
        if self.under_way.is_some() {
            return;
        }
        let Ok(now) = host::topology::resources() else {
            return;
        };
        let counted_on = self.framework.host().allowed_cpus;
        if now.allowed_cpus == counted_on || now.allowed_cpus.is_empty() {
            return;
        }
        let text = format!(
            "the host allows CPUs {} instead of {counted_on}",
            now.allowed_cpus
        );
        self.append("host_cpus", text, |_| {});
        let plan = self.framework.plan_host_change(now);
        self.carry_out(plan, Then::Nothing, Instant::now());
    }
}
