//! `pinfold apply`.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use management::api::{Applied, ApplyRequest};
use management::client::{Client, ClientError};

use super::output::{harmless, show};
use super::progress::{Progress, Waited, is_seen};
use super::words;
use crate::cli::{ApplyArgs, REFUSED};

/// The longest that an apply may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(600);
const DRY_RUN: &str = "/v1/apply?dry_run=true";

/// Have the supervisor make its groups and machines those of a spec.
///
/// # Errors
/// No such file, no supervisor, or a refusal that is not about a line of the spec.
pub fn apply(args: &ApplyArgs) -> anyhow::Result<ExitCode> {
    let shown = args.spec.display();
    let spec = std::fs::read_to_string(&args.spec).with_context(|| format!("{shown}"))?;
    // Paths in a spec are relative to it, and the supervisor's working directory is another.
    let file = std::path::absolute(&args.spec)?.display().to_string();
    // Machines that do not end when they are told to take their time.
    let client = super::client(&args.server)?.with_answer_limit(ANSWER_LIMIT);
    let route = match args.dry_run {
        true => DRY_RUN,
        false => "/v1/apply",
    };
    let request = ApplyRequest {
        spec,
        file: file.clone(),
    };
    let progress = match args.dry_run {
        true => None,
        false => progress(&client, &request, args.json),
    };
    let answer = client.post(route, &request);
    drop(progress);
    match answer {
        Ok(answer) => {
            show(&answer, args.json, |applied| {
                told(&applied, args.dry_run, &args.spec)
            })?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => match about_a_line(&error, &file, &args.spec) {
            Some(line) => {
                eprintln!("{line}");
                Ok(ExitCode::from(REFUSED))
            }
            None => Err(error.into()),
        },
    }
}

/// Show the machines come and go. How many will is what a dry run says; what is wrong with the spec, the apply itself.
fn progress(client: &Client, request: &ApplyRequest, json: bool) -> Option<Progress> {
    if !is_seen(json) {
        return None;
    }
    let would = client.post(DRY_RUN, request).ok()?;
    let would: Applied = would.json().ok()?;
    let machines = [would.stopped, would.started].concat();
    let waited = Waited {
        what: "apply".into(),
        steps: machines.len() as u64,
        machines,
    };
    Progress::of(client, waited, json)
}

/// A refusal of the spec in the form that editors follow to its line, with the file's name as it was given.
fn about_a_line(error: &ClientError, file: &str, given: &Path) -> Option<String> {
    let ClientError::Refused(problem) = error else {
        return None;
    };
    let rest = problem.detail.strip_prefix(file)?;
    rest.starts_with(':').then(|| {
        format!(
            "{}{}",
            given.display(),
            harmless(rest.trim_end()).replace('\n', " ")
        )
    })
}

/// What was done, or would be: the changes as commands, what they do on the host, and the machines.
fn told(applied: &Applied, dry_run: bool, spec: &Path) -> String {
    let commands = applied.commands.iter().map(words::command);
    let effects = applied.plan.effects.iter().map(words::effect);
    let stops = applied.stopped.iter().map(|name| {
        let mut replaced = applied.replaced.iter();
        match replaced.find(|one| one.machine == *name) {
            Some(one) => format!("stop {name}, to be made anew: {}", one.why),
            None => format!("stop {name}"),
        }
    });
    let starts = applied.started.iter().map(|name| format!("start {name}"));
    let births = applied.births.iter().map(words::birth);
    let removals = applied.removed.iter().map(|name| format!("remove {name}"));
    let amended = applied.amended.iter().flat_map(|change| {
        let name = &change.machine;
        let restart = change.restart.as_ref();
        let restart = restart.map(|restart| format!("have {name} restart: {restart}"));
        let groups = change
            .groups
            .then(|| format!("have {name} stand where the spec says at its next start"));
        restart.into_iter().chain(groups)
    });
    let lines = commands.chain(effects).chain(stops).chain(starts);
    let lines = lines.chain(births).chain(amended).chain(removals);
    let would = if dry_run { "would " } else { "" };
    let lines = lines.map(|line| format!("{would}{}\n", harmless(&line)));
    let mut out: String = lines.collect();
    if out.is_empty() {
        out = format!("everything is as {} says\n", spec.display());
    } else if dry_run {
        out.push_str("nothing was changed\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use management::api::Problem;

    use super::*;

    #[test]
    fn an_apply_is_told_in_the_words_of_commands() {
        let recorded = r#"{
            "commands":[{"op":"mkdir","group":"placement:/gold"},
                        {"op":"set","group":"placement:/gold","file":"cpuset.cpus","value":"0"}],
            "plan":{"generation":3,"committed":false,
                    "effects":[{"effect":"pin","task":"web/vcpu0","cpus":"0","before":"0-1"}]},
            "stopped":["old","web"],"removed":["old"],
            "replaced":[{"machine":"web","why":"machine web runs with 1 vcpus and the spec says 2 vcpus"}],
            "started":["db","web"],
            "births":[{"task":"db/io","groups":["placement:/gold","billing:/a"],"cpus":"0"},
                      {"task":"web/io","groups":[]}],
            "amended":[{"machine":"a","restart":"always","groups":true}]}"#;
        let applied: Applied = serde_json::from_str(recorded).unwrap();
        let done = "\
group mkdir placement:/gold
group set placement:/gold cpuset.cpus 0
pin web/vcpu0 to CPUs 0, from 0-1
stop old
stop web, to be made anew: machine web runs with 1 vcpus and the spec says 2 vcpus
start db
start web
place db/io in placement:/gold, billing:/a, on CPUs 0
place web/io in no group
have a restart: always
have a stand where the spec says at its next start
remove old
";
        let spec = Path::new("a.toml");
        assert_eq!(told(&applied, false, spec), done);
        let dry = told(&applied, true, spec);
        assert!(dry.starts_with("would group mkdir placement:/gold\n"));
        assert!(dry.ends_with("would remove old\nnothing was changed\n"));
        let nothing = told(&Applied::default(), true, spec);
        assert_eq!(nothing, "everything is as a.toml says\n");
    }

    #[test]
    fn a_refusal_about_a_line_names_the_file_as_it_was_given() {
        let refused = |detail: &str| {
            ClientError::Refused(Problem {
                detail: detail.into(),
                ..Problem::default()
            })
        };
        let line = |detail| about_a_line(&refused(detail), "/x/a.toml", Path::new("a.toml"));
        assert_eq!(line("/x/a.toml:7: no").as_deref(), Some("a.toml:7: no"));
        assert_eq!(line("no machine web"), None);
    }
}
