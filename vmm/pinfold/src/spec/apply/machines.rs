//! The machines of a spec beside those that there are.

use std::collections::{BTreeMap, HashMap, HashSet};

use container_core::{
    Command, Credentials, Framework, GroupPath, HierarchyName, MachineName, Refusal, TaskKind,
    TaskName, ViewAccess,
};
use supervisor::api::KnownMachine;
use supervisor::keeper::Amendment;
use supervisor::{AgentAccess, Births};

use super::Moves;
use crate::spec::{MachineSpec, Spec};

/// What is to become of machines.
pub(super) struct Difference<'a> {
    /// Not known.
    pub start: Vec<&'a MachineSpec>,
    /// Known, and built otherwise, or with another view of the groups for its guest: both are fixed for its life.
    pub replace: Vec<(&'a MachineSpec, String)>,
    /// Not in the spec.
    pub gone: Vec<MachineName>,
    /// The same, but for what may change while they live.
    pub amend: Vec<Amendment>,
}

/// The machines of a spec beside those that are known.
///
/// A machine that has ended and is as the spec says stays so: `vm start` is how it runs again.
pub(super) fn difference<'a>(
    spec: &'a Spec,
    target: &Framework,
    known: &[KnownMachine],
) -> Difference<'a> {
    let by_name: HashMap<&MachineName, &KnownMachine> = known
        .iter()
        .map(|machine| (&machine.asked.name, machine))
        .collect();
    let hierarchies: Vec<HierarchyName> = target
        .hierarchies()
        .into_iter()
        .map(|hierarchy| hierarchy.name)
        .collect();
    let (mut start, mut replace, mut amend) = (Vec::new(), Vec::new(), Vec::new());
    for machine in &spec.machines {
        let Some(running) = by_name.get(&machine.name) else {
            start.push(machine);
            continue;
        };
        match otherwise(machine, running, &hierarchies) {
            Some(why) => replace.push((machine, why)),
            None => amend.extend(amendment(machine, running)),
        }
    }
    let wanted: HashSet<&MachineName> = spec.machines.iter().map(|one| &one.name).collect();
    let gone = known.iter().map(|machine| &machine.asked.name);
    let gone = gone.filter(|name| !wanted.contains(name)).cloned();
    Difference {
        start,
        replace,
        gone: gone.collect(),
        amend,
    }
}

/// What changes of a machine that is built as the spec says: its restart, and where its tasks go at its next start. In
/// hierarchies that the spec does not name they stay where they are.
fn amendment(wanted: &MachineSpec, running: &KnownMachine) -> Option<Amendment> {
    let asked = &running.asked;
    let mut placement = asked.placement.clone();
    let mut differs = false;
    for kind in wanted.kinds() {
        let has = asked.placement.groups_of(kind);
        for group in wanted.groups_of(kind) {
            let mut same = has
                .iter()
                .filter(|has| has.hierarchy() == group.hierarchy());
            // Where no group is named, a task stands in the root.
            if same.next().map_or(!group.is_root(), |has| *has != group) {
                placement.put(kind, group);
                differs = true;
            }
        }
    }
    (differs || asked.restart != wanted.restart).then(|| Amendment {
        machine: wanted.name.clone(),
        restart: wanted.restart,
        placement,
    })
}

/// What of a machine is otherwise than the spec says, and fixed for its life.
fn otherwise(
    wanted: &MachineSpec,
    running: &KnownMachine,
    hierarchies: &[HierarchyName],
) -> Option<String> {
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
    } else {
        return None;
    };
    let has = if running.alive { "runs" } else { "ran" };
    Some(format!(
        "machine {name} {has} with {was} and the spec says {is}"
    ))
}

/// The groups that living machines with namespaces of their own were cloned into are no difference: make them in the
/// target as the machines did, by a birth and an end. Those of machines that are made anew go with these.
pub(super) fn keep_homes(
    spec: &Spec,
    replace: &[(&MachineSpec, String)],
    framework: &Framework,
    target: &mut Framework,
) -> Result<(), Refusal> {
    let stays = |one: &&MachineSpec| !replace.iter().any(|(other, _)| other.name == one.name);
    let machines = spec.machines.iter().filter(stays);
    for machine in machines.filter(|one| !one.namespaces.is_empty()) {
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
        target.rehearse(&Credentials::ROOT, &commands)?;
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
