//! The way from one spec to another, played on the framework that a supervisor would have.

mod groups;
mod hierarchies;
mod machines;
mod properties;
mod refused;

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

const P: &str = "[hierarchy.p]\nsubsystems = ['cpuset']\n";

fn group(path: &str, files: &str) -> String {
    format!("[group.'p:{path}']\nfiles = {{ {files} }}\n")
}

/// An exclusive set.
fn own(path: &str, cpus: &str) -> String {
    group(
        path,
        &format!("'cpuset.cpus' = '{cpus}', 'cpuset.cpu_exclusive' = 1"),
    )
}

fn cpus(path: &str, cpus: &str) -> String {
    group(path, &format!("'cpuset.cpus' = '{cpus}'"))
}

fn vm(name: &str, vcpus: u16, groups: &str) -> String {
    format!(
        "[vm.{name}]\nmemory = '64M'\nvcpus = {vcpus}\nguest = {{ tiny = ['forever'] }}\ngroups = [{groups}]\n"
    )
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

/// What a supervisor does with a difference: one plan, and the machines. Having gone there and back, it is as it was.
fn carried_out(now: &mut Known, wanted: &Wanted<'_>) {
    let replaced = wanted.replace.iter().map(|(machine, _)| &machine.name);
    let ending: Vec<MachineName> = wanted.gone.iter().chain(replaced).cloned().collect();
    if wanted.waits.is_some() {
        ended(now, &ending);
    }
    let before = state(&now.framework);
    commit(&mut now.framework, &wanted.commands).unwrap();
    let mut taken_back = now.framework.clone();
    let back = wanted.back.as_ref().expect("a way back");
    commit(&mut taken_back, back).unwrap();
    assert_eq!(state(&taken_back), before, "{back:#?}");
    if wanted.waits.is_none() {
        ended(now, &ending);
    }
    let anew = wanted.replace.iter().map(|(machine, _)| *machine);
    for machine in wanted.start.iter().copied().chain(anew) {
        born(now, machine);
    }
    for change in &wanted.amend {
        let mut machines = now.machines.iter_mut();
        let machine = machines.find(|machine| machine.asked.name == change.machine);
        let asked = &mut machine.unwrap().asked;
        asked.restart = change.restart;
        asked.placement = change.placement.clone();
    }
}

/// Nothing is left to do.
fn is_nothing(wanted: &Wanted<'_>) -> bool {
    wanted.commands.is_empty()
        && wanted.start.is_empty()
        && wanted.replace.is_empty()
        && wanted.gone.is_empty()
        && wanted.amend.is_empty()
        && wanted.waits.is_none()
}

/// Commands as one reads them.
fn lines(now: &Known, wanted: &Wanted<'_>) -> Vec<String> {
    let line = |command: &Command| match command {
        Command::Mount {
            hierarchy,
            subsystems,
        } => {
            format!("mount {hierarchy} {}", subsystems.join(","))
        }
        Command::Remount {
            hierarchy,
            subsystems,
        } => {
            format!("remount {hierarchy} {}", subsystems.join(","))
        }
        Command::Mkdir { group } => format!("mkdir {group}"),
        Command::Rmdir { group } => format!("rmdir {group}"),
        Command::Write { group, file, value } => {
            format!(
                "set {group} {} {}",
                file.rsplit('.').next().unwrap(),
                value.trim_end()
            )
        }
        Command::Attach { group, task } => {
            format!("attach {group} {}", now.framework.task(*task).unwrap().name)
        }
        Command::Chown {
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
    let taken = lines(&now, &wanted);
    carried_out(&mut now, &wanted);
    assert_eq!(
        state(&now.framework),
        state(&started(&to).framework),
        "{taken:#?}"
    );
    let again = difference(&to, &now).unwrap();
    assert!(is_nothing(&again), "{again:#?}");
    taken
}
