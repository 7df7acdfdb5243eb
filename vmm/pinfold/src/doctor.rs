//! `pinfold doctor`: what stands between this host and its machines, and what to do about it.
//!
//! Looks and judges; changes nothing and starts nothing. What is looked at is in `probe`.

mod probe;

use std::fmt::Write;
use std::process::ExitCode;

use serde::Serialize;

use crate::cli::{DoctorArgs, REFUSED};
use crate::screen::{Screen, Style};

/// One thing that was looked at.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Check {
    /// What was looked at, in one word.
    name: &'static str,
    state: State,
    /// What was found.
    found: String,
    /// What to do about it, or what follows from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Good,
    /// Machines run, but something is less than it could be.
    Warning,
    /// No machine, or not this spec, would be let run.
    Refused,
}

/// The same in JSON.
#[derive(Serialize)]
struct Findings<'a> {
    refused: bool,
    checks: &'a [Check],
}

impl Check {
    fn new(name: &'static str, state: State, found: impl Into<String>) -> Self {
        Check {
            name,
            state,
            found: found.into(),
            advice: None,
        }
    }

    fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// Look at the host, and at a spec if one is named.
///
/// # Errors
/// Findings that cannot be written as JSON, which none are known to be.
pub fn doctor(args: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let checks = probe::all(args.spec.as_deref());
    let refused = checks.iter().any(|check| check.state == State::Refused);
    let mut screen = Screen::new();
    if args.json {
        let findings = Findings {
            refused,
            checks: &checks,
        };
        screen.print(&serde_json::to_string_pretty(&findings)?);
    } else {
        screen.print(&render(&checks, screen.style()));
    }
    Ok(ExitCode::from(if refused { REFUSED } else { 0 }))
}

/// A line a check, its advice below it, and the verdict. Nothing is cut: a terminal wraps.
fn render(checks: &[Check], style: Style) -> String {
    let mut out = String::new();
    for check in checks {
        let mark = match (check.state, style.utf8) {
            (State::Good, true) => '✓',
            (State::Good, false) => '+',
            (State::Warning, _) => '!',
            (State::Refused, true) => '✗',
            (State::Refused, false) => 'x',
        };
        let _ = writeln!(out, "{mark} {:<11} {}", check.name, check.found);
        if let Some(advice) = &check.advice {
            let _ = writeln!(out, "{:14}{advice}", "");
        }
    }
    let refusals = checks
        .iter()
        .filter(|check| check.state == State::Refused)
        .count();
    out.push_str(match refusals {
        0 => "\nNothing stands in the way.\n",
        1 => "\nOne thing stands in the way.\n",
        _ => "\nSeveral things stand in the way.\n",
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks() -> Vec<Check> {
        vec![
            Check::new("cpus", State::Good, "0-1"),
            Check::new("perf", State::Warning, "no task clock").advise("run as root"),
            Check::new("kvm", State::Refused, "/dev/kvm is absent"),
        ]
    }

    #[test]
    fn each_check_has_its_mark_and_the_verdict_stands_last() {
        let expected = "\
✓ cpus        0-1
! perf        no task clock
              run as root
✗ kvm         /dev/kvm is absent

One thing stands in the way.
";
        let style = Style {
            width: 20,
            utf8: true,
        };
        assert_eq!(render(&checks(), style), expected);
        let ascii = render(&checks()[..2], Style::PLAIN);
        assert!(ascii.is_ascii() && ascii.starts_with("+ cpus"));
        assert!(ascii.ends_with("\nNothing stands in the way.\n"));
    }

    #[test]
    fn the_json_has_the_same_words() {
        let json = serde_json::to_string(&Findings {
            refused: true,
            checks: &checks()[1..2],
        });
        let expected = "{\"refused\":true,\"checks\":[{\"name\":\"perf\",\"state\":\"warning\",\
                        \"found\":\"no task clock\",\"advice\":\"run as root\"}]}";
        assert_eq!(json.unwrap(), expected);
    }
}
