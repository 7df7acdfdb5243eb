//! The way from one spec to another, played on the framework that a supervisor would have.

mod properties;
mod refused;
mod ways;

use container_core::{Command, GroupPath, TaskId, TaskKind, Tid};

use super::*;
use crate::spec::understand;
use supervisor::Births;
use supervisor::api::KnownMachine;

/// Six CPUs, one memory node.
fn host() -> container_core::HostResources {
    container_core::HostResources {
        allowed_cpus: (0..6).collect(),
        present_cpus: (0..6).collect(),
        possible_cpus: 8,
        mems: (0..1).collect(),
    }
}

fn spec(text: &str) -> Spec {
    let spec = understand(std::path::Path::new("s.toml"), text, &host());
    spec.unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A supervisor that has started with a spec.
fn started(spec: &Spec) -> Known {
    let mut now = Known {
        framework: Framework::new(host()),
        machines: Vec::new(),
    };
    spec.check(&mut now.framework).unwrap();
    for machine in &spec.machines {
        born(&mut now, machine);
    }
    now
}

fn commit(framework: &mut Framework, commands: &[Command]) -> Result<(), Refusal> {
    let plan = framework.plan(&Credentials::ROOT, commands)?;
    framework.commit(plan).map(drop)
}

fn born(now: &mut Known, machine: &MachineSpec) {
    let new = machine.to_new();
    let mut tasks = machine
        .kinds()
        .into_iter()
        .map(|kind| (kind, now.framework.allocate_task()))
        .collect::<Vec<_>>();
    let tid = |task: TaskId| Tid(1000 + task.0 as u32);
    let control = tasks.iter().find(|(kind, _)| *kind == TaskKind::Control);
    let births = Births::new(&now.framework, &new, tid(control.unwrap().1)).unwrap();
    births.sort(&mut tasks, |(kind, _)| *kind);
    let births = tasks
        .iter()
        .flat_map(|(kind, task)| births.of(*kind, *task, tid(*task), None));
    let commands: Vec<Command> = births.collect();
    commit(&mut now.framework, &commands).unwrap();
    now.machines.push(KnownMachine {
        asked: machine.to_new(),
        alive: true,
    });
}

fn ended(now: &mut Known, names: &[MachineName]) {
    now.framework = without(&now.framework, names).unwrap();
    now.machines
        .retain(|machine| !names.contains(&machine.asked.name));
}

/// What a supervisor does with a difference: one plan, and the machines.
fn carried_out(now: &mut Known, wanted: &Wanted<'_>) {
    if wanted.waits.is_some() {
        ended(now, &wanted.stop);
    }
    let commands: Vec<Command> = wanted
        .commands
        .iter()
        .map(|c| asked(&now.framework, c))
        .collect();
    commit(&mut now.framework, &commands).unwrap();
    if wanted.waits.is_none() {
        ended(now, &wanted.stop);
    }
    for machine in &wanted.start {
        born(now, machine);
    }
}

/// The other way round than [`shown`].
fn asked(framework: &Framework, command: &api::Command) -> Command {
    let group = |path: &String| -> GroupPath { path.parse().unwrap() };
    match command.clone() {
        api::Command::Mount {
            hierarchy,
            subsystems,
        } => Command::Mount {
            hierarchy: hierarchy.parse().unwrap(),
            subsystems,
        },
        api::Command::Mkdir { group: path } => Command::Mkdir {
            group: group(&path),
        },
        api::Command::Rmdir { group: path } => Command::Rmdir {
            group: group(&path),
        },
        api::Command::Chown {
            group: path,
            uid,
            gid,
            mode,
        } => Command::Chown {
            group: group(&path),
            uid,
            gid,
            mode,
        },
        api::Command::Set {
            group: path,
            file,
            value,
        } => Command::Write {
            group: group(&path),
            file,
            value,
        },
        api::Command::Attach { group: path, task } => Command::Attach {
            group: group(&path),
            task: framework.task_by_name(&task.parse().unwrap()).unwrap(),
        },
        other => panic!("{other:?}"),
    }
}

/// Commands as one reads them.
fn lines(wanted: &Wanted<'_>) -> Vec<String> {
    let line = |command: &api::Command| match command {
        api::Command::Mount {
            hierarchy,
            subsystems,
        } => {
            format!("mount {hierarchy} {}", subsystems.join(","))
        }
        api::Command::Mkdir { group } => format!("mkdir {group}"),
        api::Command::Rmdir { group } => format!("rmdir {group}"),
        api::Command::Set { group, file, value } => {
            format!(
                "set {group} {} {}",
                file.rsplit('.').next().unwrap(),
                value.trim_end()
            )
        }
        api::Command::Attach { group, task } => format!("attach {group} {task}"),
        api::Command::Chown {
            group,
            uid,
            gid,
            mode,
        } => {
            format!("chown {group} {uid} {gid} {mode:o}")
        }
        other => panic!("{other:?}"),
    };
    wanted.commands.iter().map(line).collect()
}

/// Everything that can be seen of groups, their files, owners and tasks, where the spec has a word.
fn state(framework: &Framework) -> Vec<String> {
    let mut state = Vec::new();
    let mut hierarchies = framework.hierarchies();
    hierarchies.sort_by_key(|hierarchy| hierarchy.name.to_string());
    for hierarchy in hierarchies {
        state.push(format!("{} {:?}", hierarchy.name, hierarchy.subsystems));
        for group in framework.walk(&hierarchy.name).unwrap() {
            let tasks = group
                .tasks
                .iter()
                .map(|task| framework.task(*task).unwrap().name.to_string());
            let mut tasks: Vec<String> = tasks.collect();
            tasks.sort();
            state.push(format!(
                "{} {:?} {tasks:?}",
                group.path,
                framework.owner(&group.path)
            ));
            for file in framework.files(&group.path).unwrap() {
                if file != "tasks" && !file.starts_with("debug.") && !file.starts_with("cpuacct.") {
                    let text = read(framework, &group.path, file).unwrap();
                    state.push(format!("{} {file} {text:?}", group.path));
                }
            }
        }
    }
    state
}

/// From one spec to another: what there is in the end is what a new supervisor would have, and there is
/// nothing more to do. The commands are those of the way.
fn goes(from: &str, to: &str) -> Vec<String> {
    let (from, to) = (spec(from), spec(to));
    let mut now = started(&from);
    let wanted = difference(&to, &now).unwrap();
    let taken = lines(&wanted);
    carried_out(&mut now, &wanted);
    assert_eq!(
        state(&now.framework),
        state(&started(&to).framework),
        "{taken:#?}"
    );
    let again = difference(&to, &now).unwrap();
    assert_eq!(lines(&again), Vec::<String>::new());
    assert!(again.start.is_empty() && again.stop.is_empty() && again.waits.is_none());
    taken
}
