//! The words of the API in those of the keeper, and back.

use container_core::{
    Command, Framework, GroupPath, HierarchyInfo, HierarchyName, TaskId, TaskName,
};
use management::api;

use super::ask::Client;
use super::metrics::Operation;
use super::problem::Refused;
use crate::keeper::{Planned, PlannedBirth, PlannedEffect, Request};

/// Commands of one plan, at most.
const MAX_COMMANDS: usize = 10_000;

impl Client {
    /// Understand a plan. A refusal names the command.
    ///
    /// # Errors
    /// What the names in it are refused with; ESRCH for a task that there is not; E2BIG for too many.
    pub(super) async fn commands(&self, all: Vec<api::Command>) -> Result<Vec<Command>, Refused> {
        if all.len() > MAX_COMMANDS {
            let rule = format!("{} commands are past {MAX_COMMANDS}", all.len());
            return Err(Refused::new("E2BIG", rule));
        }
        let mut commands = Vec::with_capacity(all.len());
        for (index, command) in all.into_iter().enumerate() {
            let operation = Operation::of(&command);
            let understood = self.command(command).await;
            commands.push(understood.map_err(|Refused(mut problem)| {
                self.requests.count_refused(operation, &problem.errno);
                problem.command = Some(index);
                Refused(problem)
            })?);
        }
        Ok(commands)
    }

    async fn command(&self, command: api::Command) -> Result<Command, Refused> {
        use api::Command as C;
        Ok(match command {
            C::Mount {
                hierarchy,
                subsystems,
            } => Command::Mount {
                hierarchy: hierarchy.parse()?,
                subsystems,
            },
            C::Umount { hierarchy } => Command::Unmount {
                hierarchy: hierarchy.parse()?,
            },
            C::Remount {
                hierarchy,
                subsystems,
            } => Command::Remount {
                hierarchy: hierarchy.parse()?,
                subsystems,
            },
            C::Mkdir { group } => Command::Mkdir {
                group: group.parse()?,
            },
            C::Rmdir { group } => Command::Rmdir {
                group: group.parse()?,
            },
            C::Rename { group, to } => Command::Rename {
                group: group.parse()?,
                to,
            },
            C::Chown {
                group,
                uid,
                gid,
                mode,
            } => Command::Chown {
                group: group.parse()?,
                uid,
                gid,
                mode,
            },
            C::Set { group, file, value } => Command::Write {
                group: group.parse()?,
                file,
                value,
            },
            C::Attach { group, task } => Command::Attach {
                group: group.parse()?,
                task: self.task(task).await?,
            },
            C::Clone { task, subsystem } => Command::Clone {
                task: self.task(task).await?,
                subsystem,
            },
        })
    }

    /// A living task by `MACHINE/KIND` or thread id.
    ///
    /// # Errors
    /// EINVAL for what is neither, ESRCH where none of that name lives.
    pub(super) async fn task(&self, name: String) -> Result<TaskId, Refused> {
        let is_decimal = name.bytes().all(|byte| byte.is_ascii_digit());
        if name.contains('/') {
            name.parse::<TaskName>()?;
        } else if !is_decimal || name.parse::<u32>().is_err() {
            let rule = format!("task {name:?} is neither MACHINE/KIND nor a thread id");
            return Err(Refused::new("EINVAL", rule));
        }
        let found = self.ask(|reply| Request::Find(name.clone(), reply)).await?;
        found.ok_or_else(|| Refused::new("ESRCH", format!("no task {name} lives")))
    }
}

/// A group by the parts of a path: its hierarchy, and what follows, without a slash at its head.
///
/// # Errors
/// EINVAL or ENAMETOOLONG for what no group can be called.
pub fn group(hierarchy: &str, path: &str) -> Result<GroupPath, Refused> {
    let hierarchy: HierarchyName = hierarchy.parse()?;
    Ok(GroupPath::new(hierarchy, &format!("/{path}"))?)
}

pub fn hierarchy(info: &HierarchyInfo) -> api::Hierarchy {
    api::Hierarchy {
        name: info.name.to_string(),
        subsystems: info.subsystems.iter().map(ToString::to_string).collect(),
        groups: info.groups,
        mounted: info.mounted,
    }
}

pub fn plan(planned: &Planned) -> api::Plan {
    api::Plan {
        generation: planned.generation.0,
        effects: planned.effects.iter().map(effect).collect(),
        committed: planned.committed,
        took_ns: planned.took_ns,
    }
}

/// A command as a client says it. Of a task that is not of this framework only its id is known.
pub fn command(command: &Command, framework: &Framework) -> api::Command {
    use api::Command as C;
    let task_name = |task: &TaskId| {
        let info = framework.task(*task);
        info.map_or_else(|| task.to_string(), |info| info.name.to_string())
    };
    match command.clone() {
        Command::Mount {
            hierarchy,
            subsystems,
        } => C::Mount {
            hierarchy: hierarchy.to_string(),
            subsystems,
        },
        Command::Unmount { hierarchy } => C::Umount {
            hierarchy: hierarchy.to_string(),
        },
        Command::Remount {
            hierarchy,
            subsystems,
        } => C::Remount {
            hierarchy: hierarchy.to_string(),
            subsystems,
        },
        Command::Mkdir { group } => C::Mkdir {
            group: group.to_string(),
        },
        Command::Rmdir { group } => C::Rmdir {
            group: group.to_string(),
        },
        Command::Rename { group, to } => C::Rename {
            group: group.to_string(),
            to,
        },
        Command::Chown {
            group,
            uid,
            gid,
            mode,
        } => C::Chown {
            group: group.to_string(),
            uid,
            gid,
            mode,
        },
        Command::Write { group, file, value } => C::Set {
            group: group.to_string(),
            file,
            value,
        },
        Command::Attach { group, task } => C::Attach {
            group: group.to_string(),
            task: task_name(&task),
        },
        Command::Clone { task, subsystem } => C::Clone {
            task: task_name(&task),
            subsystem,
        },
        Command::Fork { .. } | Command::Reserve { .. } | Command::Exit { .. } => {
            unreachable!("tasks are born and end unasked: no client has a word for {command:?}")
        }
    }
}

/// A task that is to be born.
pub fn birth(birth: &PlannedBirth) -> api::Birth {
    api::Birth {
        task: birth.task.to_string(),
        groups: birth.groups.iter().map(ToString::to_string).collect(),
        cpus: birth.cpus.map(|cpus| cpus.to_string()),
    }
}

pub fn effect(effect: &PlannedEffect) -> api::Effect {
    match effect {
        PlannedEffect::Pin { task, cpus, before } => api::Effect::Pin {
            task: task.to_string(),
            cpus: cpus.to_string(),
            before: before.map(|cpus| cpus.to_string()),
        },
        PlannedEffect::Freeze { task } => api::Effect::Freeze {
            task: task.to_string(),
        },
        PlannedEffect::Thaw { task } => api::Effect::Thaw {
            task: task.to_string(),
        },
        PlannedEffect::Sample { task } => api::Effect::Sample {
            task: task.to_string(),
        },
        PlannedEffect::Limit { group, limits } => api::Effect::Limit {
            group: group.to_string(),
            limits: limits.map(|limits| api::CpuLimits {
                shares: limits.shares,
                quota_us: limits.quota_us,
                period_us: limits.period_us,
            }),
        },
        PlannedEffect::Enroll { task, group } => api::Effect::Enroll {
            task: task.to_string(),
            group: group.as_ref().map(ToString::to_string),
        },
    }
}
