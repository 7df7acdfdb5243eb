//! Births: from a machine's announcement to its `Go`.
//!
//! A machine announces its threads and waits. What it says counts only as far as the kernel bears it
//! out: each announced tid must stand in the process's own task directory, and each thread that
//! stands there must have been announced, so that nothing of the process runs outside a group. All
//! its threads are then born, attached in every hierarchy and pinned in one plan; `Go` follows its
//! commit. A machine that fails any of this is killed before its guest has run an instruction.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use container_core::{Credentials, TaskId, TaskKind, TaskName, Tid};
use host::{ProcessMemory, TaskDirectory};
use link::{Thread, ThreadKind, ToMachine};

use super::machines::{Machine, MachineId, State};
use super::tasks::Task;
use super::{Keeper, Then};
use crate::runner::Job;
use crate::{Births, Launch, NewMachine, wire};

/// From a machine's start to its announcement.
pub(super) const BIRTH_LIMIT: Duration = Duration::from_secs(10);

impl Keeper {
    /// A machine's process has been started: have it watched.
    pub(super) fn on_launch(&mut self, launch: Launch) -> MachineId {
        let pidfd = launch.process.as_fd().try_clone_to_owned();
        let (name, agent) = (launch.machine.name.clone(), launch.machine.agent.clone());
        let mut machine = Machine::new(launch.machine, launch.process, launch.spawned_ns);
        machine.due = Some((
            Instant::now() + BIRTH_LIMIT,
            "did not announce its threads in time",
        ));
        let machine = self.machines.add(machine);
        if let Some(agent) = &agent
            && let Err(why) = self.open_view(machine, agent)
        {
            self.kill(machine, format!("its guest has no view: {why}"));
        }
        let watched = pidfd.is_ok_and(|pidfd| {
            let (link, console) = (launch.link, launch.console);
            let watch = wire::Watch {
                machine,
                name,
                link,
                pidfd,
                console,
                agent: agent.is_some(),
            };
            self.wire
                .try_send(wire::Request::Watch(Box::new(watch)))
                .is_ok()
        });
        if !watched {
            self.kill(
                machine,
                "it could not be watched: too many machines at once".into(),
            );
        }
        machine
    }

    /// A machine announces its threads.
    pub(super) fn on_born(&mut self, id: MachineId, threads: &[Thread]) {
        let Some(machine) = self.machines.get_mut(id) else {
            return;
        };
        machine.times.born = Some(host::monotonic_ns());
        // Told to end while it was being born, it may be ending by now, one thread after the other: it enters no guest,
        // and has until its birth was due to be gone.
        let end_ordered = machine.end_ordered;
        if let Err(why) = complete(machine.asked.config.vcpus, threads) {
            return self.kill(id, format!("announced no valid set of threads: {why}"));
        }
        let directory = match verified(machine, threads) {
            Ok(directory) => directory,
            Err(_) if end_ordered => return,
            Err(why) => return self.kill(id, format!("lied about its threads: {why}")),
        };
        match machine.process.as_ref().map(ProcessMemory::open) {
            Some(Ok(memory)) => machine.memory = Some(memory),
            Some(Err(error)) => {
                return self.kill(id, format!("its memory cannot be watched: {error}"));
            }
            None => return,
        }
        if let Err(why) = has_its_namespaces(&machine.asked, &directory) {
            return self.kill(id, why);
        }
        let (asked, pid) = (machine.asked.clone(), machine.pid);
        let births = match Births::new(&self.framework, &asked, Tid(pid)) {
            Ok(births) => births,
            Err(refusal) => return self.kill(id, refusal.to_string()),
        };
        let mut threads = threads.to_vec();
        births.sort(&mut threads, |thread| task_kind(thread.kind));
        let mut commands = Vec::new();
        for thread in threads {
            let (kind, tid) = (task_kind(thread.kind), Tid(thread.tid));
            match self.born_task(id, &directory, kind, tid) {
                Ok(task) => commands.append(&mut births.of(kind, task, tid, None)),
                Err(_) if end_ordered => return,
                Err(why) => return self.kill(id, why),
            }
        }
        if let Some(machine) = self.machines.get_mut(id) {
            machine.directory = Some(directory);
            machine.state = State::Placing;
            machine.due = None;
        }
        self.begin(&Credentials::ROOT, &commands, Then::Place(id));
    }

    /// Take a verified thread in; it is yet to be born.
    pub(super) fn born_task(
        &mut self,
        id: MachineId,
        directory: &TaskDirectory,
        kind: TaskKind,
        tid: Tid,
    ) -> Result<TaskId, String> {
        let machine = self.machines.get_mut(id).ok_or("no such machine")?;
        let name = TaskName {
            machine: machine.name().clone(),
            kind,
        };
        let thread = directory
            .open_thread(tid)
            .map_err(|error| format!("{name}: {error}"))?;
        let record =
            Task::new(id, name.clone(), thread).map_err(|error| format!("{name}: {error}"))?;
        let task = self.framework.allocate_task();
        self.tasks.insert(task, record);
        machine.tasks.insert(kind, task);
        Ok(task)
    }

    /// All threads of a machine stand in their groups, pinned.
    pub(super) fn on_placed(&mut self, id: MachineId) {
        let Some(machine) = self.machines.get_mut(id) else {
            return;
        };
        let tasks: Vec<TaskId> = machine.tasks.values().copied().collect();
        if self.withhold_go.is_zero() {
            self.go(id);
        } else {
            machine.go_at = Some(Instant::now() + self.withhold_go);
            self.tell_of(
                id,
                "machine_withheld",
                "stands in its groups and is held back",
            );
        }
        self.open_counters(&tasks);
    }

    /// Let the vCPUs of a placed machine enter their guest.
    pub(super) fn go(&mut self, id: MachineId) {
        // Whom it is to hold comes first.
        let go_at = self.holds_owed.contains(&id).then(|| self.hold_again_at());
        if let Some(machine) = self.machines.get_mut(id) {
            machine.go_at = go_at.flatten();
        }
        if go_at.is_some() {
            return;
        }
        self.say(id, ToMachine::Go);
        let Some(machine) = self.machines.get_mut(id) else {
            return;
        };
        if machine.verdict.is_none() {
            machine.state = State::Running;
            machine.times.go = Some(host::monotonic_ns());
            self.tell_of(id, "machine_started", "stands in its groups and runs");
        }
    }

    /// Have exact counters opened, off the path to `Go`. Where the runner is too busy, the tasks stay on
    /// their sampled counts and say so.
    pub(super) fn open_counters(&mut self, tasks: &[TaskId]) {
        let tids = tasks
            .iter()
            .filter_map(|task| Some((*task, self.tasks.get(*task)?.thread()?.tid())))
            .collect();
        let _ = self.runner.try_send(Job::OpenCounters(tids));
    }
}

/// A machine announces each of its vCPUs, io, control, and whatever KVM has started.
fn complete(vcpus: u16, threads: &[Thread]) -> Result<(), String> {
    let expected = (0..vcpus)
        .map(ThreadKind::Vcpu)
        .chain([ThreadKind::Io, ThreadKind::Control]);
    for kind in expected {
        if !threads.iter().any(|thread| thread.kind == kind) {
            return Err(format!("{} is missing", task_word(kind)));
        }
    }
    match threads
        .iter()
        .find(|t| matches!(t.kind, ThreadKind::Vcpu(index) if index >= vcpus))
    {
        Some(thread) => Err(format!("{}, of {vcpus} vCPUs", task_word(thread.kind))),
        None => Ok(()),
    }
}

/// The announced threads are exactly the ones that the kernel lists.
fn verified(machine: &Machine, threads: &[Thread]) -> Result<TaskDirectory, String> {
    let pid = machine.pid;
    let process = machine.process.as_ref().ok_or("it is dead")?;
    let directory = TaskDirectory::open(process).map_err(|error| error.to_string())?;
    let listed = directory.tids().map_err(|error| error.to_string())?;
    for thread in threads {
        if !listed.contains(&Tid(thread.tid)) {
            return Err(format!(
                "{} is said to be thread {}, which process {pid} does not have",
                task_word(thread.kind),
                thread.tid
            ));
        }
        if thread.kind == ThreadKind::Control && thread.tid != pid {
            return Err(format!(
                "control is said to be thread {}, not {pid}",
                thread.tid
            ));
        }
    }
    match listed
        .iter()
        .find(|tid| !threads.iter().any(|thread| thread.tid == tid.0))
    {
        Some(stranger) => Err(format!(
            "thread {} of process {pid} is not announced",
            stranger.0
        )),
        None => Ok(directory),
    }
}

/// Whether every thread of the process is in namespaces of exactly those kinds that were asked for.
fn has_its_namespaces(asked: &NewMachine, directory: &TaskDirectory) -> Result<(), String> {
    let wanted = asked.namespaces;
    if wanted.is_empty() {
        return Ok(());
    }
    match host::own_namespaces(directory) {
        Ok(own) if own == wanted => Ok(()),
        Ok(own) => Err(format!(
            "was to have namespaces of its own of the kinds {wanted}, and has {own}"
        )),
        Err(error) => Err(format!("its namespaces cannot be seen: {error}")),
    }
}

/// The framework's word for a kind of thread.
pub(super) fn task_kind(kind: ThreadKind) -> TaskKind {
    match kind {
        ThreadKind::Vcpu(index) => TaskKind::Vcpu(index),
        ThreadKind::Io => TaskKind::Io,
        ThreadKind::Control => TaskKind::Control,
        ThreadKind::Kvm(ordinal) => TaskKind::Kvm(ordinal),
    }
}

fn task_word(kind: ThreadKind) -> String {
    task_kind(kind).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_announces_each_vcpu_io_and_control() {
        let all = [
            ThreadKind::Vcpu(0),
            ThreadKind::Vcpu(1),
            ThreadKind::Io,
            ThreadKind::Control,
        ];
        let threads = |kinds: &[ThreadKind]| -> Vec<Thread> {
            kinds
                .iter()
                .zip(1..)
                .map(|(&kind, tid)| Thread { kind, tid })
                .collect()
        };
        assert_eq!(complete(2, &threads(&all)), Ok(()));
        assert_eq!(
            complete(2, &threads(&all[1..])),
            Err("vcpu0 is missing".into())
        );
        assert_eq!(complete(1, &threads(&all)), Err("vcpu1, of 1 vCPUs".into()));
        assert_eq!(
            complete(2, &threads(&all[..3])),
            Err("control is missing".into())
        );
    }

    #[test]
    fn a_process_that_is_not_in_the_namespaces_it_was_to_have_is_found_out() {
        let own = host::Process::open(std::process::id()).unwrap();
        let directory = TaskDirectory::open(&own).unwrap();
        let asked = |kinds: &[host::Namespace]| {
            let namespaces = kinds.iter().copied().collect();
            let machine = crate::keeper::stage::new_machine("web");
            has_its_namespaces(
                &NewMachine {
                    namespaces,
                    ..machine
                },
                &directory,
            )
        };
        assert_eq!(asked(&[]), Ok(()));
        let why = asked(&[host::Namespace::Net, host::Namespace::Uts]).unwrap_err();
        let rule = "was to have namespaces of its own of the kinds uts, net, and has none";
        assert_eq!(why, rule);
    }
}
