//! `pinfold group`.

use std::process::ExitCode;

use container_core::GroupPath;
use management::api::{Command, GroupView, Hierarchy, Plan, PlanRequest};
use management::client::{Client, ClientError, route};
use management::{Group, Report, Task};

use super::output::{harmless, print, table};
use super::words;
use crate::cli::{GroupArgs, GroupChange, GroupVerb};
use crate::screen::{Screen, Style};
use crate::tree;
use crate::units::{cycles, time};

/// A file is waited for so long before it is asked for again: well below what an answer may take.
const WAIT_SECONDS: u32 = 30;

/// Look at groups, or change them.
///
/// # Errors
/// A refusal, or no supervisor.
pub fn group(args: &GroupArgs) -> anyhow::Result<ExitCode> {
    let client = super::client(&args.server)?;
    match &args.verb {
        GroupVerb::Tree { group, json } => {
            let groups = whole_trees(&client, group.as_ref())?;
            let picture = |groups| picture(groups, Screen::new().style());
            show(groups, *json, picture)?;
        }
        GroupVerb::Ls { group, json } => show(children(&client, group.as_ref())?, *json, list)?,
        GroupVerb::Tasks { group, json } => show(tasks_in(&client, group)?, *json, list_tasks)?,
        GroupVerb::Get { group, file, wait } => {
            let group = group.to_string();
            let text = match (file, wait) {
                (Some(file), Some(line)) => otherwise(&client, &group, file, line.as_deref())?,
                (Some(file), None) => {
                    let answer = client.get(&route::file(&group, file))?;
                    if answer.is_torn() {
                        eprintln!(
                            "pinfold: tasks came to {group} or left it while they were listed: the list is torn"
                        );
                    }
                    answer.text().to_owned()
                }
                (None, _) => {
                    let view: GroupView = client.get(&route::group(&group))?.json()?;
                    view.files.join("\n")
                }
            };
            print(&harmless(&text))?;
        }
        GroupVerb::Change(asked) => {
            let dry_run = asked.is_dry_run();
            change(&client, asked.commands(), dry_run)?;
            if let GroupChange::Clone { task, .. } = asked
                && !dry_run
            {
                print(&harmless(&clone_of(&client, task)?))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A file when it is not any more as it is now; with a line, when it is without that one.
fn otherwise(
    client: &Client,
    group: &str,
    file: &str,
    line: Option<&str>,
) -> Result<String, ClientError> {
    let route = route::file(group, file);
    // What cannot be waited for is refused at once.
    let mut answer = client.get(&format!("{route}?wait=0"))?;
    let is_there = |text: &str| line.is_none_or(|line| text.lines().any(|other| other == line));
    while is_there(answer.text()) {
        let Some(tag) = answer.tag() else {
            let what = format!("{file} came without a tag");
            return Err(ClientError::Protocol(what));
        };
        match client.get_other(&format!("{route}?wait={WAIT_SECONDS}"), tag)? {
            Some(other) if line.is_none() => return Ok(other.text().to_owned()),
            Some(other) => answer = other,
            None => {}
        }
    }
    Ok(answer.text().to_owned())
}

/// Something put together of several answers.
fn show<T: serde::Serialize>(
    what: T,
    json: bool,
    for_people: impl FnOnce(T) -> String,
) -> anyhow::Result<()> {
    let text = match json {
        true => serde_json::to_string(&what)?,
        false => for_people(what),
    };
    Ok(print(&text)?)
}

impl GroupChange {
    fn is_dry_run(&self) -> bool {
        match self {
            GroupChange::Mkdir { dry_run, .. }
            | GroupChange::Rmdir { dry_run, .. }
            | GroupChange::Set { dry_run, .. }
            | GroupChange::Attach { dry_run, .. }
            | GroupChange::Clone { dry_run, .. }
            | GroupChange::Rename { dry_run, .. }
            | GroupChange::Chown { dry_run, .. } => *dry_run,
        }
    }

    /// What it asks for, as one plan.
    fn commands(&self) -> Vec<Command> {
        let each = |groups: &[GroupPath], command: fn(String) -> Command| {
            groups
                .iter()
                .map(|group| command(group.to_string()))
                .collect()
        };
        match self {
            GroupChange::Mkdir { groups, .. } => each(groups, |group| Command::Mkdir { group }),
            GroupChange::Rmdir { groups, .. } => each(groups, |group| Command::Rmdir { group }),
            GroupChange::Set {
                group, file, value, ..
            } => vec![Command::Set {
                group: group.to_string(),
                file: file.clone(),
                value: value.clone(),
            }],
            GroupChange::Attach { group, tasks, .. } => {
                let attach = |task: &String| Command::Attach {
                    group: group.to_string(),
                    task: task.clone(),
                };
                tasks.iter().map(attach).collect()
            }
            GroupChange::Clone {
                task, subsystem, ..
            } => vec![Command::Clone {
                task: task.clone(),
                subsystem: subsystem.clone(),
            }],
            GroupChange::Rename { group, name, .. } => vec![Command::Rename {
                group: group.to_string(),
                to: name.clone(),
            }],
            GroupChange::Chown {
                group, owner, mode, ..
            } => vec![Command::Chown {
                group: group.to_string(),
                uid: owner.uid,
                gid: owner.gid,
                mode: *mode,
            }],
        }
    }
}

/// Make a change, or print what it would do. A change that was made says nothing, as mkdir(1) does.
pub fn change(client: &Client, commands: Vec<Command>, dry_run: bool) -> anyhow::Result<()> {
    let request = PlanRequest {
        commands,
        generation: None,
    };
    if dry_run {
        let plan: Plan = client.post("/v1/plan?dry_run=true", &request)?.json()?;
        print(&would(&plan))?;
    } else {
        client.post("/v1/plan", &request)?;
    }
    Ok(())
}

/// The effects that a plan would have.
fn would(plan: &Plan) -> String {
    let mut out = String::new();
    for effect in &plan.effects {
        out.push_str(&format!("would {}\n", words::effect(effect)));
    }
    let effects = words::count(plan.effects.len(), "effect");
    out.push_str(&format!("{effects} on the host; nothing was changed\n"));
    out
}

/// The group that a clone has just made for its task.
fn clone_of(client: &Client, task: &str) -> Result<String, ClientError> {
    let task: Task = client.get(&route::task(task))?.json()?;
    let own = format!("/node_{}", task.tid);
    let made = task.groups.into_iter().find(|group| group.ends_with(&own));
    Ok(made.unwrap_or_default())
}

/// A group and all below it; without one, those of all hierarchies.
fn whole_trees(client: &Client, group: Option<&GroupPath>) -> Result<Vec<Group>, ClientError> {
    let below = |group: &str| -> Result<Vec<Group>, ClientError> {
        let route = format!("{}?recursive=true", route::group(group));
        let view: GroupView = client.get(&route)?.json()?;
        Ok([vec![view.group], view.below].concat())
    };
    if let Some(group) = group {
        return below(&group.to_string());
    }
    let mut groups = Vec::new();
    for hierarchy in client.get("/v1/hierarchies")?.json::<Vec<Hierarchy>>()? {
        groups.extend(below(&format!("{}:/", hierarchy.name))?);
    }
    Ok(groups)
}

/// The groups directly below one; without one, the roots.
fn children(client: &Client, group: Option<&GroupPath>) -> Result<Vec<Group>, ClientError> {
    let depth = group.map_or(0, |group| group.depth() + 1);
    let mut groups = whole_trees(client, group)?;
    groups.retain(|group| group.depth == depth);
    Ok(groups)
}

/// The living tasks in a group, which has to exist.
fn tasks_in(client: &Client, group: &GroupPath) -> Result<Vec<Task>, ClientError> {
    let group = group.to_string();
    client.get(&route::group(&group))?;
    let mut tasks: Vec<Task> = client.get("/v1/tasks")?.json()?;
    tasks.retain(|task| task.alive && task.groups.contains(&group));
    Ok(tasks)
}

fn picture(mut groups: Vec<Group>, style: Style) -> String {
    // A tree that begins below the root is drawn as if it did not.
    let above = groups.first().map_or(0, |group| group.depth);
    for group in &mut groups {
        group.depth = group.depth.saturating_sub(above);
    }
    let report = Report {
        groups,
        ..Report::default()
    };
    tree::tree(&report, style)
        .trim_start_matches('\n')
        .to_owned()
}

fn list(groups: Vec<Group>) -> String {
    let number = |tasks: usize| match tasks {
        0 => String::new(),
        tasks => tasks.to_string(),
    };
    let row = |group: Group| {
        [
            group.group,
            group.requested_cpus.unwrap_or_default(),
            group.effective_cpus.unwrap_or_default(),
            number(group.tasks.len()),
            group.usage_ns.map(time).unwrap_or_default(),
            group.cycles.map(cycles).unwrap_or_default(),
        ]
    };
    let heads = ["group", "cpus", "effective", "tasks", "used", "cycles"];
    table(heads, groups.into_iter().map(row).collect())
}

/// Tasks with their places and bills; also for `vm show`.
pub fn list_tasks(tasks: Vec<Task>) -> String {
    let row = |task: Task| {
        let tid = match task.alive {
            true => task.tid.to_string(),
            false => "ended".to_owned(),
        };
        [
            task.name,
            tid,
            task.requested_cpus,
            task.observed_cpus,
            time(task.usage_ns),
            time(task.wait_ns),
            task.groups.join(" "),
        ]
    };
    let heads = [
        "task", "tid", "cpus", "found on", "used", "waited", "groups",
    ];
    table(heads, tasks.into_iter().map(row).collect())
}

#[cfg(test)]
mod tests;
