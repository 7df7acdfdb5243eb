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
mod machines;
mod relax;

use std::collections::BTreeMap;

use container_core::{
    Command, Credentials, Errno, Framework, GroupPath, HierarchyName, MachineName, Refusal, TaskId,
};
use management::api;
use supervisor::api::Known;

use super::{MachineSpec, Spec, SpecError};

/// What is missing.
#[derive(Debug, Default)]
pub struct Wanted<'a> {
    /// The changes, in order: in force together or not at all.
    pub commands: Vec<api::Command>,
    /// Machines of the spec that are not known, to be started after the commands.
    pub start: Vec<&'a MachineSpec>,
    /// Living machines that the spec does not have, to be ended.
    pub stop: Vec<MachineName>,
    /// Why the commands and the starts have to wait until those in `stop` have ended; None where they
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
    let (start, stop) = machines::difference(spec, &target, &now.machines)?;
    machines::keep_homes(spec, &now.framework, &mut target)?;
    let (commands, waits) = match way(spec, &target, now.framework.clone(), &start) {
        Ok(commands) => (
            commands,
            machines::waits_for_socket(&start, &stop, &now.machines),
        ),
        Err(refused) if stop.is_empty() => return Err(refused),
        Err(refused) => {
            let rest = without(&now.framework, &stop)?;
            let commands = way(spec, &target, rest, &start)?;
            (commands, Some(refused.to_string()))
        }
    };
    let commands = commands
        .into_iter()
        .map(|command| shown(command, &now.framework));
    Ok(Wanted {
        commands: commands.collect(),
        start,
        stop,
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
    let plan = rest.plan(&Credentials::ROOT, &gone)?;
    rest.commit(plan)?;
    Ok(rest)
}

/// The commands that make the scratch as the target, and room for the machines that are to start.
fn way(
    spec: &Spec,
    target: &Framework,
    scratch: Framework,
    start: &[&MachineSpec],
) -> Result<Vec<Command>, ApplyError> {
    let mut way = Way {
        scratch,
        target,
        commands: Vec::new(),
    };
    for change in &spec.changes {
        if let Command::Mount { hierarchy, .. } = &change.command {
            way.mount(hierarchy, &change.command)
                .map_err(|refusal| SpecError {
                    file: spec.file.clone(),
                    line: Some(change.line),
                    message: refusal.to_string(),
                })?;
        }
    }
    let moves = machines::moves(spec, &way.scratch);
    for hierarchy in target.hierarchies() {
        let none = BTreeMap::new();
        let moves = moves.get(&hierarchy.name).unwrap_or(&none);
        groups::change(&mut way, &hierarchy.name, moves)?;
    }
    spec.try_births(&mut way.scratch, start.iter().copied())?;
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
        let plan = self
            .scratch
            .plan(&Credentials::ROOT, std::slice::from_ref(&command))?;
        self.scratch.commit(plan)?;
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
        self.set(group, file, &value)
    }

    /// A hierarchy that is there already is only held against what the spec wants of it.
    fn mount(&mut self, name: &HierarchyName, mount: &Command) -> Result<(), Refusal> {
        let there = self.scratch.hierarchies();
        match there.iter().find(|hierarchy| hierarchy.name == *name) {
            None => self.take(mount.clone()),
            Some(hierarchy) if !hierarchy.mounted => {
                let rule = format!(
                    "hierarchy {name} was unmounted and lives on with {} groups, which only a \
                     mount brings back: mount it, and apply again",
                    hierarchy.groups
                );
                Err(Refusal::new(Errno::EBUSY, rule))
            }
            Some(_) => {
                let again = std::slice::from_ref(mount);
                self.scratch.plan(&Credentials::ROOT, again).map(drop)
            }
        }
    }
}

/// What a control file holds, without the newline that ends it.
fn read(framework: &Framework, group: &GroupPath, file: &str) -> Result<String, Refusal> {
    let text = framework.read(&Credentials::ROOT, group, file)?;
    Ok(text.trim_end().to_owned())
}

/// A command as the API says it.
fn shown(command: Command, framework: &Framework) -> api::Command {
    let task_name = |task: TaskId| {
        let info = framework.task(task);
        info.map_or_else(|| task.to_string(), |info| info.name.to_string())
    };
    match command {
        Command::Mount {
            hierarchy,
            subsystems,
        } => {
            let hierarchy = hierarchy.to_string();
            api::Command::Mount {
                hierarchy,
                subsystems,
            }
        }
        Command::Mkdir { group } => api::Command::Mkdir {
            group: group.to_string(),
        },
        Command::Rmdir { group } => api::Command::Rmdir {
            group: group.to_string(),
        },
        Command::Chown {
            group,
            uid,
            gid,
            mode,
        } => {
            let group = group.to_string();
            api::Command::Chown {
                group,
                uid,
                gid,
                mode,
            }
        }
        Command::Write { group, file, value } => {
            let group = group.to_string();
            api::Command::Set { group, file, value }
        }
        Command::Attach { group, task } => api::Command::Attach {
            group: group.to_string(),
            task: task_name(task),
        },
        other => unreachable!("the way to a spec has no {other:?}"),
    }
}

#[cfg(test)]
mod tests;
