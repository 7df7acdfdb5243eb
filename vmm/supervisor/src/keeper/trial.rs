//! Would a machine be granted? Asked before any process of its exists.
//!
//! All its tasks are born and placed on a trial plan, which leaves no trace, beside those of the machines that are not
//! born yet: so two machines that are each granted the last seat are not both started.

use std::collections::{BTreeMap, HashMap};

use container_core::{
    Command, CpuSet, Credentials, Effect, Errno, Framework, MachineName, Refusal, TaskId, TaskKind,
    TaskName, Tid, ViewId,
};
use link::MAX_VCPUS;

use super::lifecycle::Launching;
use super::machines::{Machines, State};
use super::{Keeper, PlannedBirth};
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
        self.has_descriptors_for(std::slice::from_ref(machine), &[])?;
        if let Some(view) = open_view(&mut self.framework, machine)? {
            self.framework.close_view(view);
        }
        let unborn = unborn(&self.machines, &self.launching);
        let tried = tried_beside(&mut self.framework, &unborn, &[machine]);
        tried
            .map(drop)
            .inspect_err(|refusal| self.framework.count_failure(refusal))
    }

    /// The limit of open descriptors is a limit of machines: past it a counter or a link could not be opened. Those of
    /// `gone` will have given theirs back.
    pub(super) fn has_descriptors_for(
        &self,
        machines: &[NewMachine],
        gone: &[MachineName],
    ) -> Result<(), Refusal> {
        let needs = |vcpus: u16| {
            DESCRIPTORS_A_MACHINE + (u64::from(vcpus) + OTHER_THREADS) * DESCRIPTORS_A_THREAD
        };
        let living = self.machines.iter().map(|(_, machine)| machine);
        let living = living.filter(|m| m.process.is_some() && !gone.contains(m.name()));
        let held: u64 = living
            .map(|machine| machine.asked.config.vcpus)
            .chain(self.launching.values().map(|one| one.machine.config.vcpus))
            .map(needs)
            .sum();
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let mut wanted = OWN_DESCRIPTORS + held;
        for machine in machines {
            wanted += needs(machine.config.vcpus);
            if let Some(limit) = limit.filter(|limit| wanted > *limit) {
                let name = &machine.name;
                let rule = format!(
                    "machine {name} would have the supervisor hold {wanted} descriptors, and its limit is {limit}"
                );
                return Err(Refusal::new(Errno::EAGAIN, rule));
            }
        }
        Ok(())
    }
}

/// Open the view of a machine's guest, if it has one.
///
/// # Errors
/// What the framework refuses it for.
pub(super) fn open_view(
    framework: &mut Framework,
    machine: &NewMachine,
) -> Result<Option<ViewId>, Refusal> {
    let Some(agent) = &machine.agent else {
        return Ok(None);
    };
    let view = framework.open_view(machine.name.clone(), agent.access, &agent.roots);
    view.map(Some)
        .map_err(|refusal| refusal.of(&format!("the view of {}'s guest", machine.name)))
}

/// The machines whose tasks are still to be born.
pub(super) fn unborn<'a>(
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

pub(super) fn is_possible(machine: &NewMachine) -> Result<(), Refusal> {
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

/// The births of machines after those of others; without them where one of those would not be born, for which these are
/// not held up.
///
/// # Errors
/// What the groups refuse these, with the task that it strikes.
pub(super) fn tried_beside(
    framework: &mut Framework,
    others: &[&NewMachine],
    machines: &[&NewMachine],
) -> Result<Vec<PlannedBirth>, Refusal> {
    match try_births(framework, others, machines) {
        Err(None) => try_births(framework, &[], machines),
        tried => tried,
    }
    .map_err(|refusal| refusal.unwrap_or_else(|| unreachable!("there are no others")))
}

/// The births of machines after those of others; None for a refusal that strikes one of the others.
fn try_births(
    framework: &mut Framework,
    others: &[&NewMachine],
    machines: &[&NewMachine],
) -> Result<Vec<PlannedBirth>, Option<Refusal>> {
    let mut trial = Trial::default();
    for other in others {
        trial.add(framework, other).map_err(|_| None)?;
    }
    let (own_commands, own_tasks) = (trial.commands.len(), trial.planned.len());
    for machine in machines {
        trial.add(framework, machine).map_err(Some)?;
    }
    let plan = match framework.plan(&Credentials::ROOT, &trial.commands) {
        Ok(plan) => plan,
        Err(refusal) if refusal.command < own_commands => return Err(None),
        Err(refusal) => {
            let name = &trial.names[refusal.command];
            return Err(Some(refusal.of(&format!("task {name}"))));
        }
    };
    let pins: HashMap<TaskId, CpuSet> = plan
        .effects()
        .iter()
        .filter_map(|effect| match effect {
            Effect::Pin { task, cpus, .. } => Some((*task, *cpus)),
            _ => None,
        })
        .collect();
    let own = trial.planned.drain(own_tasks..);
    Ok(own
        .map(|(task, planned)| PlannedBirth {
            cpus: pins.get(&task).copied(),
            ..planned
        })
        .collect())
}

/// Births to try, and whose each command is.
#[derive(Default)]
struct Trial {
    commands: Vec<Command>,
    names: Vec<TaskName>,
    planned: Vec<(TaskId, PlannedBirth)>,
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
            let name = TaskName {
                machine: machine.name.clone(),
                kind,
            };
            self.names.resize(self.commands.len(), name.clone());
            let planned = PlannedBirth {
                task: name,
                groups: machine.placement.groups_of(kind).to_vec(),
                cpus: None,
            };
            self.planned.push((task, planned));
        }
        Ok(())
    }
}
