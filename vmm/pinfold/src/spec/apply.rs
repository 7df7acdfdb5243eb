//! From what there is to what a whole spec says: one plan, machines to end and machines to start.
//!
//! A spec is declarative for the hierarchies that it names. In these, what it does not say is as in a
//! supervisor that has just started with it: a group that it does not have is removed, a control file
//! that it does not have is as in a new group. Other hierarchies, and tasks in them, are left alone.
//! Files that are no state (`cpuacct.usage`, whose only write is a reset) are not compared.
//!
//! ```text
//!   the spec ──committed into a new framework──▶ target ─┐
//!                                                        ├─ groups: the commands, one at a time,
//!   what there is ──a copy of the framework──▶ scratch ──┘          played on the scratch
//! ```
//!
//! So there is one set of rules, the framework's: what the spec itself breaks is found in the first
//! commit, with its line; what the way from here to there would break, on the scratch copy, before
//! anything has happened. In the end the scratch has to be as the target, or there is no plan.

mod groups;
mod hierarchies;
mod machines;
mod relax;

use std::collections::BTreeMap;

use container_core::{
    Command, Credentials, Framework, GroupPath, HierarchyName, MachineName, Refusal, TaskId,
};
use supervisor::api::Known;
use supervisor::keeper::Amendment;

use super::{MachineSpec, Spec, SpecError};

/// What of a freezer is as a spec says it, at any time; its state is what has become of that.
const SELF_FREEZING: &str = "freezer.self_freezing";

/// What is missing.
#[derive(Debug, Default)]
pub struct Wanted<'a> {
    /// The changes, in order: in force together or not at all.
    pub commands: Vec<Command>,
    /// From what they lead to back to what there was; None where there is no way back.
    pub back: Option<Vec<Command>>,
    /// Machines of the spec that are not known, to be made after the commands.
    pub start: Vec<&'a MachineSpec>,
    /// Machines of the spec that are there otherwise, to be made anew, and what is otherwise.
    pub replace: Vec<(&'a MachineSpec, String)>,
    /// Machines that the spec does not have, to be ended and forgotten.
    pub gone: Vec<MachineName>,
    /// What changes of machines that stay.
    pub amend: Vec<Amendment>,
    /// Why the commands and the starts have to wait until those in `gone` and `replace` have ended; None where they
    /// need not.
    pub waits: Option<String>,
}

/// Why there is no way from here to there.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The spec itself breaks a rule.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// What there is and the spec do not go together.
    #[error(transparent)]
    State(#[from] Refusal),
}

/// The difference between what there is and what a spec says; nothing where all is as it says.
///
/// The spec was loaded for the resources of `now.framework.host()`.
///
/// # Errors
/// [`ApplyError`]; then nothing is to be done.
pub fn difference<'a>(spec: &'a Spec, now: &Known) -> Result<Wanted<'a>, ApplyError> {
    let mut target = Framework::new(now.framework.host().clone());
    spec.check(&mut target)?;
    let machines::Difference {
        start,
        replace,
        gone,
        amend,
    } = machines::difference(spec, &target, &now.machines);
    machines::keep_homes(spec, &replace, &now.framework, &mut target)?;
    let new: Vec<&MachineSpec> = start
        .iter()
        .copied()
        .chain(replace.iter().map(|(machine, _)| *machine))
        .collect();
    let living = now.machines.iter().filter(|machine| machine.alive);
    let ending: Vec<MachineName> = living
        .map(|machine| &machine.asked.name)
        .filter(|name| gone.contains(name) || replace.iter().any(|(of, _)| of.name == **name))
        .cloned()
        .collect();
    let in_place = replace
        .iter()
        .find(|(machine, _)| ending.contains(&machine.name))
        .map(|(_, why)| why.clone());
    let beside = match &in_place {
        Some(why) => Err(why.clone()),
        None => match way(spec, &target, &now.framework, &new) {
            Ok(way) => Ok(way),
            Err(refused) if ending.is_empty() => return Err(refused),
            Err(refused) => Err(refused.to_string()),
        },
    };
    let (way, waits) = match beside {
        Ok(way) => (
            way,
            machines::waits_for_socket(&start, &ending, &now.machines),
        ),
        Err(why) => {
            let rest = without(&now.framework, &ending)?;
            (way(spec, &target, &rest, &new)?, Some(why))
        }
    };
    Ok(Wanted {
        commands: way.0,
        back: way.1,
        start,
        replace,
        gone,
        amend,
        waits,
    })
}

/// A copy in which these machines have ended.
fn without(framework: &Framework, machines: &[MachineName]) -> Result<Framework, Refusal> {
    let mut rest = framework.clone();
    let gone = framework
        .tasks()
        .filter(|task| task.alive && machines.contains(&task.name.machine));
    let gone: Vec<Command> = gone.map(|task| Command::Exit { task: task.id }).collect();
    rest.rehearse(&Credentials::ROOT, &gone)?;
    Ok(rest)
}

/// The commands that make what there is as the target, with room for the machines that are to start; and those that lead
/// back, if there is a way.
type ThereAndBack = (Vec<Command>, Option<Vec<Command>>);

fn way(
    spec: &Spec,
    target: &Framework,
    now: &Framework,
    new: &[&MachineSpec],
) -> Result<ThereAndBack, ApplyError> {
    let mut way = Way {
        scratch: now.clone(),
        target,
        commands: Vec::new(),
    };
    let names = target.hierarchies().into_iter();
    let names: Vec<HierarchyName> = names.map(|hierarchy| hierarchy.name).collect();
    hierarchies::bring(&mut way, &names).map_err(|(name, refusal)| {
        let mounts = |command: &Command| matches!(command, Command::Mount { hierarchy, .. } if hierarchy == name);
        let change = spec.changes.iter().find(|change| mounts(&change.command));
        SpecError {
            file: spec.file.clone(),
            line: change.map(|change| change.line),
            message: refusal.to_string(),
        }
    })?;
    let moves = machines::moves(spec, &way.scratch);
    for name in &names {
        let none = BTreeMap::new();
        groups::change(&mut way, name, moves.get(name).unwrap_or(&none))?;
    }
    let back = match way.commands.is_empty() {
        true => Some(Vec::new()),
        false => back(&names, now, way.scratch.clone()).ok(),
    };
    spec.try_births(&mut way.scratch, new.iter().copied())?;
    Ok((way.commands, back))
}

/// The commands that make these hierarchies of the scratch as they were.
fn back(
    names: &[HierarchyName],
    was: &Framework,
    scratch: Framework,
) -> Result<Vec<Command>, Refusal> {
    let mut way = Way {
        scratch,
        target: was,
        commands: Vec::new(),
    };
    let was_there = |name: &&HierarchyName| was.hierarchies().iter().any(|one| one.name == **name);
    let (there, new): (Vec<&HierarchyName>, Vec<_>) = names.iter().partition(was_there);
    for name in new {
        groups::unmount(&mut way, name)?;
    }
    hierarchies::bring_back(&mut way, &there)?;
    for name in there {
        let mut moves = Moves::new();
        for group in was.walk(name)? {
            for task in group.tasks {
                let is_in = way.scratch.task(task).filter(|task| task.alive);
                if is_in.is_some_and(|task| !task.groups.contains(&group.path)) {
                    moves.insert(task, group.path.clone());
                }
            }
        }
        groups::change(&mut way, name, &moves)?;
    }
    Ok(way.commands)
}

/// The task and the group of its hierarchy that it goes to.
type Moves = BTreeMap<TaskId, GroupPath>;

/// Commands, each played on the scratch as it is found.
struct Way<'a> {
    scratch: Framework,
    target: &'a Framework,
    commands: Vec<Command>,
}

impl Way<'_> {
    fn take(&mut self, command: Command) -> Result<(), Refusal> {
        self.scratch
            .rehearse(&Credentials::ROOT, std::slice::from_ref(&command))?;
        self.commands.push(command);
        Ok(())
    }

    /// Write a file, unless it reads so.
    fn set(&mut self, group: &GroupPath, file: &str, value: &str) -> Result<(), Refusal> {
        if read(&self.scratch, group, file)? == value {
            return Ok(());
        }
        // Nothing written is nothing done; a line of nothing clears.
        let value = if value.is_empty() { "\n" } else { value };
        self.take(Command::Write {
            group: group.clone(),
            file: file.to_owned(),
            value: value.to_owned(),
        })
    }

    /// Write what the target has.
    fn set_as_wanted(&mut self, group: &GroupPath, file: &str) -> Result<(), Refusal> {
        let value = read(self.target, group, file)?;
        if file != SELF_FREEZING {
            return self.set(group, file, &value);
        }
        if read(&self.scratch, group, file)? == value {
            return Ok(());
        }
        let state = if value == "1" { "FROZEN" } else { "THAWED" };
        self.set(group, "freezer.state", state)
    }
}

/// What a control file holds, without the newline that ends it.
fn read(framework: &Framework, group: &GroupPath, file: &str) -> Result<String, Refusal> {
    let text = framework.read(&Credentials::ROOT, group, file)?;
    Ok(text.trim_end().to_owned())
}

#[cfg(test)]
mod tests;
