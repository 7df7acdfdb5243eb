//! Would a machine be granted? Asked before any process of its exists.
//!
//! All its tasks are born and placed on a trial plan, which leaves no trace, beside those of the machines that are not
//! born yet: so two machines that are each granted the last seat are not both started.

use std::collections::BTreeMap;

use container_core::{
    Command, Credentials, Errno, Framework, MachineName, Refusal, TaskKind, TaskName, Tid,
};
use link::MAX_VCPUS;

use super::Keeper;
use super::lifecycle::Launching;
use super::machines::{Machines, State};
use crate::{Births, NewMachine};

/// Descriptors that the supervisor holds of a thread: its directory, its schedstat, its counter.
const DESCRIPTORS_A_THREAD: u64 = 3;
/// And of a machine beside its threads: link, console, two pidfds, the task directory, its memory, its agents' streams.
const DESCRIPTORS_A_MACHINE: u64 = 10;
/// Threads beside the vCPUs: io, control, KVM's.
const OTHER_THREADS: u64 = 4;
/// What the supervisor needs for itself and its clients.
const OWN_DESCRIPTORS: u64 = 256;

impl Keeper {
    /// Try the births of all its tasks, and its guest's view.
    ///
    /// # Errors
    /// EINVAL for what no machine can be, EAGAIN for one too many, and what the groups refuse, with the task that it
    /// would have struck.
    pub(super) fn try_birth(&mut self, machine: &NewMachine) -> Result<(), Refusal> {
        is_possible(machine)?;
        self.has_descriptors_for(machine)?;
        if let Some(agent) = &machine.agent {
            let name = machine.name.clone();
            let view = self
                .framework
                .open_view(name, agent.access, &agent.roots)
                .map_err(|refusal| refusal.of("the view of its guest"))?;
            self.framework.close_view(view);
        }
        let unborn = unborn(&self.machines, &self.launching);
        let tried = match try_births(&mut self.framework, &unborn, machine) {
            // One of the others will not be born: this one is not held up for it.
            Err(None) => try_births(&mut self.framework, &[], machine),
            tried => tried,
        };
        tried.map_err(|refusal| {
            let refusal = refusal.unwrap_or_else(|| unreachable!("there are no others"));
            self.framework.count_failure(&refusal);
            refusal
        })
    }

    /// The limit of open descriptors is a limit of machines: past it a counter or a link could not be opened.
    fn has_descriptors_for(&self, machine: &NewMachine) -> Result<(), Refusal> {
        let needs = |vcpus: u16| {
            DESCRIPTORS_A_MACHINE + (u64::from(vcpus) + OTHER_THREADS) * DESCRIPTORS_A_THREAD
        };
        let living = self.machines.iter().filter(|(_, m)| m.process.is_some());
        let held: u64 = living
            .map(|(_, machine)| machine.asked.config.vcpus)
            .chain(self.launching.values().map(|one| one.machine.config.vcpus))
            .map(needs)
            .sum();
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let wanted = OWN_DESCRIPTORS + held + needs(machine.config.vcpus);
        match limit.filter(|limit| wanted > *limit) {
            None => Ok(()),
            Some(limit) => Err(Refusal::new(
                Errno::EAGAIN,
                format!(
                    "machine {} would have the supervisor hold {wanted} descriptors, and its limit is {limit}",
                    machine.name
                ),
            )),
        }
    }
}

/// The machines whose tasks are still to be born.
fn unborn<'a>(
    machines: &'a Machines,
    launching: &'a BTreeMap<MachineName, Launching>,
) -> Vec<&'a NewMachine> {
    let starting = machines.iter().filter_map(|(_, machine)| {
        let waits = machine.state == State::Starting && machine.verdict.is_none();
        waits.then_some(&machine.asked)
    });
    starting
        .chain(launching.values().map(|one| &one.machine))
        .collect()
}

fn is_possible(machine: &NewMachine) -> Result<(), Refusal> {
    let (name, config) = (&machine.name, &machine.config);
    let rule = if config.name != name.as_str() {
        format!(
            "machine {name} is told to build one named {:?}",
            config.name
        )
    } else if config.vcpus == 0 || config.vcpus > MAX_VCPUS {
        format!(
            "machine {name} has {} vCPUs, not 1 to {MAX_VCPUS}",
            config.vcpus
        )
    } else {
        return Ok(());
    };
    Err(Refusal::new(Errno::EINVAL, rule))
}

/// The births of a machine after those of others; None for a refusal that strikes one of the others.
fn try_births(
    framework: &mut Framework,
    others: &[&NewMachine],
    machine: &NewMachine,
) -> Result<(), Option<Refusal>> {
    let mut trial = Trial::default();
    for other in others {
        trial.add(framework, other).map_err(|_| None)?;
    }
    let own = trial.commands.len();
    trial.add(framework, machine).map_err(Some)?;
    let refusal = match framework.plan(&Credentials::ROOT, &trial.commands) {
        Ok(_) => return Ok(()),
        Err(refusal) => refusal,
    };
    if refusal.command < own {
        return Err(None);
    }
    let name = &trial.names[refusal.command];
    Err(Some(refusal.of(&format!("task {name}"))))
}

/// Births to try, and whose each command is.
#[derive(Default)]
struct Trial {
    commands: Vec<Command>,
    names: Vec<TaskName>,
}

impl Trial {
    fn add(&mut self, framework: &mut Framework, machine: &NewMachine) -> Result<(), Refusal> {
        // No thread has it: the kernel's are below 2^22.
        let mut unused = u32::MAX - self.commands.len() as u32;
        let mut tid = || {
            unused -= 1;
            Tid(unused)
        };
        let control = tid();
        let births = Births::new(framework, machine, control)?;
        let vcpus = (0..machine.config.vcpus).map(TaskKind::Vcpu);
        let mut kinds: Vec<_> = vcpus.chain([TaskKind::Io, TaskKind::Control]).collect();
        births.sort(&mut kinds, |kind| *kind);
        for kind in kinds {
            let tid = if kind == TaskKind::Control {
                control
            } else {
                tid()
            };
            let task = framework.allocate_task();
            self.commands.append(&mut births.of(kind, task, tid, None));
            let machine = machine.name.clone();
            let name = TaskName { machine, kind };
            self.names.resize(self.commands.len(), name);
        }
        Ok(())
    }
}
