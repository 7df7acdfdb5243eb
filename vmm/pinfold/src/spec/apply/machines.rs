//! The machines of a spec beside those that there are.

use std::collections::{BTreeMap, HashMap};

use container_core::{
    Command, Credentials, Errno, Framework, GroupPath, HierarchyName, MachineName, Refusal,
    TaskKind, TaskName, ViewAccess,
};
use supervisor::api::KnownMachine;
use supervisor::{AgentAccess, Births};

use super::Moves;
use crate::spec::machine::restart_word;
use crate::spec::{MachineSpec, Spec};

/// Machines to start, and living ones to end.
///
/// A machine that has ended stays so: `vm start` is how it runs again.
///
/// # Errors
/// EBUSY for a machine of the spec that there is otherwise: what a machine is built of, and what its
/// agent sees, is fixed for its life.
pub(super) fn difference<'a>(
    spec: &'a Spec,
    target: &Framework,
    known: &[KnownMachine],
) -> Result<(Vec<&'a MachineSpec>, Vec<MachineName>), Refusal> {
    let by_name: HashMap<&MachineName, &KnownMachine> = known
        .iter()
        .map(|machine| (&machine.asked.name, machine))
        .collect();
    let hierarchies: Vec<HierarchyName> = target
        .hierarchies()
        .into_iter()
        .map(|hierarchy| hierarchy.name)
        .collect();
    let mut start = Vec::new();
    for machine in &spec.machines {
        match by_name.get(&machine.name) {
            None => start.push(machine),
            Some(running) => is_the_same(machine, running, &hierarchies)?,
        }
    }
    let wanted = |name: &MachineName| spec.machines.iter().any(|machine| machine.name == *name);
    let stop = known
        .iter()
        .filter(|machine| machine.alive && !wanted(&machine.asked.name));
    Ok((
        start,
        stop.map(|machine| machine.asked.name.clone()).collect(),
    ))
}

fn is_the_same(
    wanted: &MachineSpec,
    running: &KnownMachine,
    hierarchies: &[HierarchyName],
) -> Result<(), Refusal> {
    let asked = &running.asked;
    let (name, has, wants) = (&wanted.name, &asked.config, &wanted.config);
    let vsock = |config: &link::MachineConfig| match &config.vsock {
        None => "none".to_owned(),
        Some(vsock) => match &vsock.path {
            None => format!("cid {}", vsock.cid),
            Some(path) => format!("cid {} at {path}", vsock.cid),
        },
    };
    let agent = |agent: &Option<AgentAccess>| {
        let agent = agent.as_ref()?;
        let mut roots: Vec<&GroupPath> = agent.roots.iter().collect();
        roots.retain(|root| hierarchies.contains(root.hierarchy()));
        roots.sort();
        Some((agent.access, roots.into_iter().cloned().collect::<Vec<_>>()))
    };
    let said = |agent: &Option<(ViewAccess, Vec<GroupPath>)>| match agent {
        None => "none".to_owned(),
        Some((access, roots)) => {
            let word = match access {
                ViewAccess::Read => "read",
                ViewAccess::Delegate => "delegate",
            };
            let roots: Vec<String> = roots.iter().map(ToString::to_string).collect();
            format!(
                "{word} in {}",
                if roots.is_empty() {
                    "no group".into()
                } else {
                    roots.join(", ")
                }
            )
        }
    };
    let (agent_has, agent_wants) = (agent(&asked.agent), agent(&wanted.agent));
    let [was, is] = if has.memory_bytes != wants.memory_bytes {
        [has, wants].map(|config| format!("memory {} bytes", config.memory_bytes))
    } else if has.vcpus != wants.vcpus {
        [has, wants].map(|config| format!("{} vcpus", config.vcpus))
    } else if has.guest != wants.guest {
        ["one guest", "another"].map(str::to_owned)
    } else if agent_has != agent_wants {
        [agent_has, agent_wants].map(|agent| format!("agent {}", said(&agent)))
    } else if has != wants {
        [has, wants].map(|config| format!("vsock {}", vsock(config)))
    } else if asked.namespaces != wanted.namespaces {
        [asked.namespaces, wanted.namespaces].map(|kinds| format!("namespaces {kinds}"))
    } else if asked.restart != wanted.restart {
        [asked.restart, wanted.restart].map(|restart| format!("restart {}", restart_word(restart)))
    } else {
        return Ok(());
    };
    let (has, advice) = match running.alive {
        true => ("runs with", "stop it first, and remove it"),
        false => ("ran with", "remove it first"),
    };
    let rule = format!("machine {name} {has} {was} and the spec says {is}: {advice}");
    Err(Refusal::new(Errno::EBUSY, rule))
}

/// The groups that living machines with namespaces of their own were cloned into are no difference: make them in the
/// target as the machines did, by a birth and an end.
pub(super) fn keep_homes(
    spec: &Spec,
    framework: &Framework,
    target: &mut Framework,
) -> Result<(), Refusal> {
    for machine in spec
        .machines
        .iter()
        .filter(|one| !one.namespaces.is_empty())
    {
        let name = control(machine);
        let Some(living) = framework
            .task_by_name(&name)
            .and_then(|id| framework.task(id))
        else {
            continue;
        };
        let new = machine.to_new();
        let births = Births::new(target, &new, living.tid)?;
        let task = target.allocate_task();
        let mut commands = births.of(TaskKind::Control, task, living.tid, None);
        commands.push(Command::Exit { task });
        let plan = target.plan(&Credentials::ROOT, &commands)?;
        target.commit(plan)?;
    }
    Ok(())
}

fn control(machine: &MachineSpec) -> TaskName {
    TaskName {
        machine: machine.name.clone(),
        kind: TaskKind::Control,
    }
}

/// Where the tasks of the spec's living machines are to go, by hierarchy.
pub(super) fn moves(spec: &Spec, framework: &Framework) -> BTreeMap<HierarchyName, Moves> {
    let machines: HashMap<&MachineName, &MachineSpec> = spec
        .machines
        .iter()
        .map(|machine| (&machine.name, machine))
        .collect();
    let mut moves: BTreeMap<HierarchyName, Moves> = BTreeMap::new();
    for task in framework.tasks().filter(|task| task.alive) {
        let Some(machine) = machines.get(&task.name.machine) else {
            continue;
        };
        // Below its group, where its namespaces have put it, it is where it is to be.
        let named = framework.task_by_name(&control(machine));
        let named = named.and_then(|control| framework.task(control));
        let named = named.filter(|_| !machine.namespaces.is_empty());
        let home = named.map(|control| format!("node_{}", control.tid));
        let is_home = |at: &GroupPath, group: &GroupPath| {
            at.parent().as_ref() == Some(group) && home.is_some() && at.name() == home.as_deref()
        };
        for group in machine.groups_of(task.name.kind) {
            let is_in = |at: &GroupPath| *at == group || is_home(at, &group);
            if !task.groups.iter().any(is_in) {
                let hierarchy = moves.entry(group.hierarchy().clone()).or_default();
                hierarchy.insert(task.id, group);
            }
        }
    }
    moves
}

/// A socket's path is one machine's at a time.
pub(super) fn waits_for_socket(
    start: &[&MachineSpec],
    stop: &[MachineName],
    known: &[KnownMachine],
) -> Option<String> {
    let path = |config: &link::MachineConfig| config.vsock.as_ref()?.path.clone();
    let mut stopping = known
        .iter()
        .filter(|machine| stop.contains(&machine.asked.name));
    stopping.find_map(|old| {
        let taken = path(&old.asked.config)?;
        let new = start
            .iter()
            .find(|new| path(&new.config).as_ref() == Some(&taken))?;
        let (new, old) = (&new.name, &old.asked.name);
        Some(format!(
            "machine {new} has the vsock.path {taken} of machine {old}"
        ))
    })
}
