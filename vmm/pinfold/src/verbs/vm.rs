//! `pinfold vm`.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use management::api::{MachinePlan, StateRequest, WantedState};
use management::client::{Client, ClientError, GAP, route};
use management::{Event, Machine, Task};

use super::group::list_tasks;
use super::output::{harmless, print, show, table};
use super::progress::{Progress, Waited};
use super::words;
use crate::cli::{VmArgs, VmVerb};
use crate::units::{bytes, time};

mod file;

/// The end of a machine whose guest says that all is well.
const WELL: &str = "exit 0";

/// Make machines, look at them, change their state.
///
/// # Errors
/// A refusal, or no supervisor.
pub fn vm(args: &VmArgs) -> anyhow::Result<ExitCode> {
    let client = super::client(&args.server)?;
    match &args.verb {
        VmVerb::Create {
            file,
            dry_run,
            no_wait,
            json,
        } => {
            let (name, machine) = file::machine(file)?;
            create(&client, &name, &machine, (*dry_run, *no_wait), *json)?;
        }
        VmVerb::Ls { json } => show(&client.get("/v1/machines")?, *json, list)?,
        VmVerb::Show { name, json } => {
            let answer = client.get(&route::machine(name))?;
            let tasks: Vec<Task> = match json {
                true => Vec::new(),
                false => client.get("/v1/tasks")?.json()?,
            };
            show(&answer, *json, |machine| portrait(&machine, tasks))?;
        }
        VmVerb::Start { name } => go_to(&client, name, WantedState::Running)?,
        VmVerb::Pause { name } => go_to(&client, name, WantedState::Paused)?,
        VmVerb::Resume { name } => resume(&client, name)?,
        VmVerb::Stop { name, force, wait } => stop(&client, name, *force, *wait)?,
        VmVerb::Wait { name } => return wait(&client, name),
        VmVerb::Log { name, follow } => log(&client, name, *follow)?,
        VmVerb::Rm { name } => {
            client.delete(&route::machine(name))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Make a machine, and wait until its guest runs; or say what that would be.
fn create(
    client: &Client,
    name: &str,
    machine: &serde_json::Value,
    (dry_run, no_wait): (bool, bool),
    json: bool,
) -> anyhow::Result<()> {
    let query = match (dry_run, no_wait) {
        (true, _) => "?dry_run=true",
        (false, true) => "",
        (false, false) => "?wait=true",
    };
    let answer = client.post(&format!("{}{query}", route::machine(name)), machine)?;
    if dry_run {
        return show(&answer, json, |plan: MachinePlan| would_make(&plan));
    }
    if json {
        print(answer.text())?;
    }
    let machine: Machine = answer.json()?;
    match (no_wait || machine.go_after_ns.is_some(), machine.end) {
        (true, _) => Ok(()),
        (false, Some(end)) => anyhow::bail!("machine {name} has ended: {end}"),
        (false, None) => anyhow::bail!("machine {name} is still {}", machine.state),
    }
}

fn would_make(plan: &MachinePlan) -> String {
    let lines = plan.births.iter().map(words::birth);
    let lines = lines.chain([format!("start {}", plan.machine)]);
    let mut out: String = lines
        .map(|line| format!("would {}\n", harmless(&line)))
        .collect();
    out.push_str("nothing was changed\n");
    out
}

/// Have a machine go to a state, and wait until it is there. The supervisor has waited by the time it answers, and
/// answers all the same where the machine has ended on the way, or takes longer.
fn go_to(client: &Client, name: &str, state: WantedState) -> anyhow::Result<()> {
    let route = format!("{}/state?wait=true", route::machine(name));
    let request = StateRequest {
        state,
        force: false,
    };
    let machine: Machine = client.put(&route, &request)?.json()?;
    match (state, machine.end.as_deref()) {
        // A short life is one.
        (WantedState::Running, Some(WELL)) => Ok(()),
        (_, Some(end)) => anyhow::bail!("machine {name} has ended: {end}"),
        (WantedState::Running, None) if machine.state == "running" => Ok(()),
        (WantedState::Paused, None) if machine.state == "paused" => Ok(()),
        _ => anyhow::bail!("machine {name} is still {}", machine.state),
    }
}

/// To the API, going on and starting anew are one thing; who says resume does not mean the other.
fn resume(client: &Client, name: &str) -> anyhow::Result<()> {
    let machine: Machine = client.get(&route::machine(name))?.json()?;
    if machine.end.is_some() {
        let rule = format!("machine {name} has ended: `pinfold vm start {name}` starts it anew");
        return Err(container_core::Refusal::new(container_core::Errno::ESRCH, rule).into());
    }
    go_to(client, name, WantedState::Running)
}

fn stop(client: &Client, name: &str, force: bool, until_ended: bool) -> anyhow::Result<()> {
    let request = StateRequest {
        state: WantedState::Stopped,
        force,
    };
    client.put(&format!("{}/state", route::machine(name)), &request)?;
    if until_ended {
        until_end(client, name)?;
    }
    Ok(())
}

/// Print how a machine ended once it has.
fn wait(client: &Client, name: &str) -> anyhow::Result<ExitCode> {
    let end = until_end(client, name)?;
    print(&harmless(&end))?;
    Ok(match end.as_str() {
        WELL => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// Look at the machine at each event about it. The events are begun first, so that no end falls between. How it ends may
/// be known while its process still lives, and until that is dead the machine can be neither removed nor started.
fn until_end(client: &Client, name: &str) -> anyhow::Result<String> {
    let events = client.events(None)?;
    let end = |client: &Client| -> Result<Option<String>, ClientError> {
        let machine: Machine = client.get(&route::machine(name))?.json()?;
        Ok(match machine.state.as_str() {
            "ended" => machine.end,
            _ => None,
        })
    };
    if let Some(end) = end(client)? {
        return Ok(end);
    }
    let waited = Waited {
        what: format!("until {name} ends"),
        machines: vec![name.to_owned()],
        steps: 0,
    };
    let _shown = Progress::of(client, waited, false);
    for message in events {
        let message = message?;
        let about_it = message.event == GAP
            || message
                .json::<Event>()
                .is_ok_and(|event| event.machine.as_deref() == Some(name));
        if about_it && let Some(end) = end(client)? {
            return Ok(end);
        }
    }
    anyhow::bail!("the events have ended before machine {name}")
}

/// What the guest has written, or goes on to write.
fn log(client: &Client, name: &str, follow: bool) -> anyhow::Result<()> {
    let query = if follow { "?follow=true" } else { "" };
    let route = format!("{}/log{query}", route::machine(name));
    let mut out = io::stdout().lock();
    let terminal = out.is_terminal();
    // A character may come in two parts.
    let mut part = Vec::new();
    for bytes in client.stream(&route)? {
        let bytes = bytes?;
        if terminal {
            part.extend_from_slice(&bytes);
            out.write_all(harmless(&whole_characters(&mut part)).as_bytes())?;
        } else {
            out.write_all(&bytes)?;
        }
        out.flush()?;
    }
    let rest = String::from_utf8_lossy(&part);
    Ok(out.write_all(harmless(&rest).as_bytes())?)
}

/// Take what is complete off the front of the bytes, without the carriage returns of a serial line.
fn whole_characters(bytes: &mut Vec<u8>) -> String {
    let whole = match std::str::from_utf8(bytes) {
        // No length: the end of the bytes is the beginning of a character.
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    };
    let whole: Vec<u8> = bytes.drain(..whole).collect();
    String::from_utf8_lossy(&whole).replace('\r', "")
}

fn list(machines: Vec<Machine>) -> String {
    let row = |machine: Machine| {
        let ran = machine.ended_after_ns.map(time).unwrap_or_default();
        [
            machine.name,
            machine.state,
            machine.pid.to_string(),
            machine.end.unwrap_or_default(),
            ran,
        ]
    };
    let rows = machines.into_iter().map(row).collect();
    table(["machine", "state", "pid", "end", "after"], rows)
}

/// A machine with all that is known of it, then its tasks.
fn portrait(machine: &Machine, mut tasks: Vec<Task>) -> String {
    let after = |ns: Option<u64>| ns.map(time).unwrap_or_default();
    let memory = machine.resident_bytes.zip(machine.committed_bytes);
    let memory = memory.map(|(held, most)| format!("{} of {}", bytes(held), bytes(most)));
    let facts = [
        ("machine", machine.name.clone()),
        ("state", machine.state.clone()),
        ("pid", machine.pid.to_string()),
        ("threads announced after", after(machine.born_after_ns)),
        ("let run after", after(machine.go_after_ns)),
        ("first output after", after(machine.first_output_after_ns)),
        ("ended after", after(machine.ended_after_ns)),
        ("end", machine.end.clone().unwrap_or_default()),
        ("process clock", after(machine.witness_ns)),
        ("memory", memory.unwrap_or_default()),
        (
            "peak memory",
            machine.peak_resident_bytes.map(bytes).unwrap_or_default(),
        ),
    ];
    let known = facts.into_iter().filter(|(_, fact)| !fact.is_empty());
    let mut out: String = known
        .map(|(name, fact)| format!("{name:<24} {}\n", harmless(&fact)))
        .collect();
    // Of one that lives, the dead tasks may be of a life before.
    let ended = machine.end.is_some();
    tasks.retain(|task| task.machine == machine.name && (ended || task.alive));
    if !tasks.is_empty() {
        out.push('\n');
        out.push_str(&list_tasks(tasks));
    }
    out
}

#[cfg(test)]
mod tests;
