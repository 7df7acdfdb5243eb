//! Ends: of single threads, and of machines.
//!
//! A thread's end is told by its machine and believed once the kernel no longer lists the thread; its
//! counter, which outlives it, is read a last time. A machine's end is told by its pidfd alone. Then,
//! before the zombie is reaped, the kernel's clock of the whole process is read as the outside
//! witness: what it saw beyond all that the threads' counters had billed (the kernel's work of
//! taking the guest's memory back, most of all) is the residual, billed to `control`. A last reading is
//! never billed past the witness.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use container_core::{
    Command, Credentials, GroupPath, HierarchyName, Nanoseconds, TaskId, TaskKind, Usage,
};
use host::{Exit, Settlement, Thread};
use link::{HaltCause, ThreadKind};

use super::birth::task_kind;
use super::machines::{self, KEPT_ENDED, MachineId, State};
use super::tasks::{Task, in_cycles};
use super::{Keeper, Then};
use crate::Notice;
use crate::births::NS;

/// How long a thread that is said to have ended may still be listed by the kernel.
const ENDING_LIMIT: Duration = Duration::from_secs(2);
/// From a machine's last word to its death.
pub(super) const GONE_LIMIT: Duration = Duration::from_secs(20);
/// How often such a thread is looked at.
pub(super) const ENDING_POLL: Duration = Duration::from_millis(1);
/// How long dead machines are waited for when the supervisor itself ends.
const BURIAL_LIMIT: Duration = Duration::from_secs(5);

/// A thread that is said to have ended.
pub(super) struct Ending {
    task: TaskId,
    machine: MachineId,
    believed_until: Instant,
}

/// How a guest ended, in a few words.
pub(super) fn sentence(cause: &HaltCause) -> String {
    match cause {
        HaltCause::Exit(code) => format!("exit {code}"),
        HaltCause::Reset => "reset".into(),
        HaltCause::Fault { vcpu, what } => format!("fault on vcpu{vcpu}: {what}"),
        HaltCause::Stopped => "stopped".into(),
    }
}

impl Keeper {
    /// End a machine now, with the reason for the report; the first reason stays.
    pub(super) fn kill(&mut self, id: MachineId, why: String) {
        let Some(machine) = self.machines.get_mut(id) else {
            return;
        };
        let Some(process) = &machine.process else {
            return;
        };
        // It may be dead already, which is as good.
        let _ = process.kill();
        machine.due = Some((Instant::now() + GONE_LIMIT, "was killed and lives on"));
        if machine.verdict.is_none() {
            let name = machine.name().to_string();
            self.append("machine_killed", format!("{name}: {why}"), |event| {
                event.machine = Some(name);
            });
        }
        self.condemn(id, why);
    }

    /// Note why a machine is about to end; the first reason stays.
    pub(super) fn condemn(&mut self, id: MachineId, why: String) {
        if let Some(machine) = self.machines.get_mut(id) {
            machine.verdict.get_or_insert(why);
        }
    }

    /// A machine has said that it ends, or closed its link: it has a while to be gone. Taking a VM apart is
    /// the kernel's work, and long on a busy host.
    pub(super) fn expect_gone(&mut self, id: MachineId) {
        if let Some(machine) = self.machines.get_mut(id) {
            machine.due = Some((Instant::now() + GONE_LIMIT, "was to end and lived on"));
        }
    }

    /// A machine says that one of its threads has ended.
    pub(super) fn on_thread_ended(&mut self, id: MachineId, kind: ThreadKind) {
        let Some(machine) = self.machines.get(id) else {
            return;
        };
        if let Some(&task) = machine.tasks.get(&task_kind(kind)) {
            let believed_until = Instant::now() + ENDING_LIMIT;
            self.ending.push(Ending {
                task,
                machine: id,
                believed_until,
            });
            self.bury_threads();
        }
    }

    /// Let those of the ending threads exit that the kernel no longer lists.
    pub(super) fn bury_threads(&mut self) {
        if self.under_way.is_some() || self.ending.is_empty() {
            return;
        }
        let (now, mut gone, mut lied) = (Instant::now(), Vec::new(), Vec::new());
        self.ending
            .retain(|ending| match self.tasks.get(ending.task) {
                Some(task) if task.has_ended() => false,
                Some(task) if !task.thread().is_some_and(Thread::is_alive) => {
                    gone.push(ending.task);
                    false
                }
                Some(_) if now >= ending.believed_until => {
                    lied.push(ending.machine);
                    false
                }
                known => known.is_some(),
            });
        for machine in lied {
            self.kill(
                machine,
                "says that a thread has ended which still runs".into(),
            );
        }
        let machines: BTreeSet<MachineId> = gone
            .iter()
            .filter_map(|task| Some(self.tasks.get(*task)?.machine))
            .collect();
        for machine in machines {
            self.close_bills(machine, &gone);
        }
        self.exit(&gone, None);
    }

    /// Close the bills of threads that are gone, by their counters' last word, but never past what the
    /// kernel's clock of the process leaves them beside the other threads: a counter that ran on while
    /// its thread had been switched out, or its CPU stolen, is put right by it, and what such a counter had
    /// billed already is taken back.
    fn close_bills(&mut self, id: MachineId, gone: &[TaskId]) {
        let Some(machine) = self.machines.get(id) else {
            return;
        };
        // Without the clock the counters' word stands.
        let process = machine.process.as_ref();
        let clock = process.and_then(|process| process.cpu_time().ok());
        let clock = clock.unwrap_or(Nanoseconds(u64::MAX));
        let tasks = self.tasks.of_machine(id);
        // After the clock, so that what the others use meanwhile is not given to the gone.
        let parts: Vec<Settlement> = tasks
            .iter()
            .map(|task| match gone.contains(task) {
                true => self.last_reading(*task),
                false => self.part_in_clock(*task),
            })
            .collect();
        let settled = host::settle(clock, &parts);
        let mut closed = Vec::new();
        for (&task, &usage) in tasks.iter().zip(&settled.usages) {
            if gone.contains(&task) {
                self.charge_up_to(task, usage);
                closed.push(task);
            }
        }
        self.take_back(&closed, settled.overbilled);
    }

    /// What a thread beside the gone ones has in the process clock: not to be settled now.
    fn part_in_clock(&mut self, task: TaskId) -> Settlement {
        let ended = self.tasks.get(task).is_some_and(Task::has_ended);
        let written = if ended {
            None
        } else {
            self.tasks.written(task)
        };
        let part = written.unwrap_or_else(|| self.billed(task));
        Settlement {
            billed: part,
            estimate: part,
        }
    }

    /// A machine's process is dead: settle its bill, reap it, let its tasks exit.
    pub(super) fn on_died(&mut self, id: MachineId) {
        let machine = self.machines.get_mut(id);
        let Some(process) = machine.and_then(|machine| machine.process.take()) else {
            return;
        };
        let witness = process.cpu_time().ok();
        let residual = witness.map(|witness| self.settle(id, witness));
        let Some(machine) = self.machines.get_mut(id) else {
            return;
        };
        let reaped = process.reap().ok();
        machine.settlement =
            witness
                .zip(residual)
                .map(|(witness, residual_ns)| machines::Settled {
                    witness_ns: witness.0,
                    residual_ns,
                    peak_resident_bytes: reaped
                        .as_ref()
                        .map_or(0, |reaped| reaped.peak_resident_bytes),
                });
        machine.state = State::Ended;
        machine.times.ended = Some(host::monotonic_ns());
        machine.directory = None;
        machine.memory = None;
        machine.go_at = None;
        let end = match (&machine.verdict, reaped.map(|reaped| reaped.exit)) {
            (Some(verdict), _) => verdict.clone(),
            (None, Some(Exit::Code(code))) => format!("exit {code} without a word"),
            (None, Some(Exit::Signal(signal))) => format!("signal {signal}"),
            (None, None) => "unknown".into(),
        };
        machine.verdict = Some(end.clone());
        self.tell_of(id, "machine_ended", &format!("has ended: {end}"));
        self.close_view(id);
        let mut living = Vec::new();
        for task in self.tasks.of_machine(id) {
            match self.framework.task(task) {
                Some(info) if info.alive => living.push(task),
                Some(_) => {}
                // Its birth was refused.
                None => self.tasks.remove(task),
            }
        }
        self.wait_with_restart(id);
        let home = self.home_to_remove(id);
        self.exit(&living, home);
        while let Some(surplus) = self.machines.surplus(KEPT_ENDED) {
            self.forget(surplus);
        }
        self.tell_if_all_ended();
    }

    /// No machine is left, and no release agent of theirs.
    pub(super) fn is_idle(&self) -> bool {
        self.machines.all_ended()
            && self.launching.is_empty()
            && self.agents == 0
            && self.under_way.is_none()
    }

    pub(super) fn tell_if_all_ended(&self) {
        if self.is_idle()
            && let Some(onlooker) = &self.onlooker
        {
            onlooker(Notice::AllEnded);
        }
    }

    /// Bill the last readings, none past the witness, then what is left of the witness to `control`.
    /// Returns that residual; below zero if more had been billed than the kernel saw.
    fn settle(&mut self, id: MachineId, witness: Nanoseconds) -> i64 {
        let tasks = self.tasks.of_machine(id);
        let parts: Vec<Settlement> = tasks.iter().map(|task| self.last_reading(*task)).collect();
        let settled = host::settle(witness, &parts);
        for (&task, &usage) in tasks.iter().zip(&settled.usages) {
            self.charge_up_to(task, usage);
        }
        let control = self
            .machines
            .get(id)
            .and_then(|m| m.tasks.get(&TaskKind::Control));
        if let Some(&control) = control {
            let usage = Nanoseconds(self.billed(control).0 + settled.residual.0);
            self.charge_up_to(control, usage);
            if let Some(task) = self.tasks.get_mut(control) {
                task.residual = settled.residual;
            }
        }
        let left = self.take_back(&tasks, settled.overbilled);
        settled.residual.0 as i64 - left.0 as i64
    }

    /// Under a hypervisor that steals CPU time an exact reading may have billed a running thread a little more
    /// than the kernel's clock shows in the end. The excess is credited to these tasks, the largest bills
    /// first. Returns what could not be.
    fn take_back(&mut self, tasks: &[TaskId], over: Nanoseconds) -> Nanoseconds {
        let khz = self.tasks.tsc_khz();
        let mut left = over;
        let mut by_bill = tasks.to_vec();
        by_bill.sort_by_key(|task| std::cmp::Reverse(self.billed(*task)));
        for task in by_bill {
            let credit = in_cycles(left, khz);
            let over = Usage {
                usage: credit.usage,
                cycles: credit.cycles,
            };
            // One that has exited keeps its closed bill.
            if let Ok(back) = self.framework.credit(task, over) {
                left = Nanoseconds(left.0 - back.usage.0);
            }
        }
        left
    }

    /// What a task of a dead process has been billed, and what its counter says it used. The bill of one
    /// that has exited before is closed.
    fn last_reading(&mut self, task: TaskId) -> Settlement {
        let billed = self.billed(task);
        let open = self.framework.task(task).is_some_and(|task| task.alive);
        self.tasks.look_first(task, &mut self.framework);
        let reading = if open { self.tasks.exact(task) } else { None };
        let estimate = reading.map_or(billed, |reading| reading.usage.max(billed));
        Settlement { billed, estimate }
    }

    fn charge_up_to(&mut self, task: TaskId, usage: Nanoseconds) {
        // Refused for one that has exited before, whose bill does not change here either.
        let _ = self
            .framework
            .charge(task, in_cycles(usage, self.tasks.tsc_khz()));
    }

    fn billed(&self, task: TaskId) -> Nanoseconds {
        self.framework
            .task(task)
            .map_or(Nanoseconds(0), |task| task.usage.usage)
    }

    /// Let tasks exit, and remove a group that they leave, unless something else is in it.
    fn exit(&mut self, tasks: &[TaskId], home: Option<GroupPath>) {
        if tasks.is_empty() {
            return;
        }
        let mut commands: Vec<_> = tasks.iter().map(|&task| Command::Exit { task }).collect();
        if let Some(group) = home {
            commands.push(Command::Rmdir { group });
            if self.framework.plan(&Credentials::ROOT, &commands).is_err() {
                commands.pop();
            }
        }
        self.begin(&Credentials::ROOT, &commands, Then::Nothing);
    }

    /// The group that a machine with namespaces was cloned into, where nobody has asked to be told when it is empty: who
    /// has asked removes it, as a release agent does, and may want to read its bill before.
    fn home_to_remove(&self, id: MachineId) -> Option<GroupPath> {
        let machine = self.machines.get(id)?;
        let control = machine.tasks.get(&TaskKind::Control)?;
        let name = format!("node_{}", machine.pid);
        let hierarchies = self.framework.hierarchies().into_iter();
        let with_ns = hierarchies.filter(|hierarchy| hierarchy.subsystems.contains(&NS));
        let with_ns: Vec<HierarchyName> = with_ns.map(|hierarchy| hierarchy.name).collect();
        let groups = self.framework.task(*control)?.groups.into_iter();
        let mut homes = groups.filter(|group| {
            with_ns.contains(group.hierarchy()) && group.name() == Some(name.as_str())
        });
        let home = homes
            .next()
            .filter(|_| !machine.asked.namespaces.is_empty())?;
        let asked = self.framework.group(&home).ok()?.notify_on_release;
        (!asked).then_some(home)
    }

    /// The supervisor ends: kill what lives, and leave no zombie.
    pub(super) fn bury_all(&mut self) {
        let deadline = Instant::now() + BURIAL_LIMIT;
        let living: Vec<MachineId> = self
            .machines
            .iter()
            .filter(|(_, machine)| machine.state != State::Ended)
            .map(|(id, _)| id)
            .collect();
        for &id in &living {
            self.kill(id, "its supervisor ended".into());
        }
        for id in living {
            let process = self.machines.get(id).and_then(|m| m.process.as_ref());
            if let Some(process) = process {
                while matches!(process.wait_without_reaping(true), Ok(None))
                    && Instant::now() < deadline
                {
                    std::thread::sleep(ENDING_POLL);
                }
                let _ = process.reap();
            }
        }
    }
}
