//! `pinfold agent`: ask the agent in a guest, by way of whoever has the machine: a supervisor, or a run.

use std::process::ExitCode;
use std::time::Instant;

use management::api::{AgentAnswer, AgentRequest, Question};
use management::client::{ClientError, route};

use super::output::{harmless, print};
use crate::cli::{AgentArgs, AgentAsk, REFUSED};
use crate::run::socket;
use crate::units::time;

/// Ask, and print the answer.
///
/// # Errors
/// Nobody is there, or gives no answer. That the guest does not answer, or declines, is a refusal.
pub fn agent(args: &AgentArgs) -> anyhow::Result<ExitCode> {
    let client = super::client(&args.server)?;
    let route = format!("{}/agent", route::machine(&args.machine));
    let question = AgentRequest {
        ask: match args.ask {
            AgentAsk::Ping => Question::Ping,
            AgentAsk::Info => Question::Info,
            AgentAsk::Shutdown => Question::Shutdown,
        },
    };
    let asked = Instant::now();
    let answer = match client.post(&route, &question) {
        // A run answers lines, and takes a request for one that it does not know.
        Err(ClientError::Protocol(_) | ClientError::NoServer { .. }) => {
            return by_line(args, client.socket());
        }
        other => other?,
    };
    let took = u64::try_from(asked.elapsed().as_nanos()).unwrap_or(u64::MAX);
    let said = match answer.json()? {
        AgentAnswer::Pong => format!("answered in {}", time(took)),
        AgentAnswer::Info {
            agent,
            vcpus,
            uptime_ns,
        } => format!("{agent}, {vcpus} vCPUs, up {}", time(uptime_ns)),
        AgentAnswer::Ending => "the guest is ending".to_owned(),
        AgentAnswer::Declined { why } => {
            eprintln!("pinfold: the guest declines: {}", harmless(&why));
            return Ok(ExitCode::from(REFUSED));
        }
    };
    print(&harmless(&said))?;
    Ok(ExitCode::SUCCESS)
}

/// Ask a run.
fn by_line(args: &AgentArgs, path: &std::path::Path) -> anyhow::Result<ExitCode> {
    let question = format!("agent {} {}", args.ask.word(), args.machine);
    let answer = socket::ask(path, &question)?;
    let of = |word: &str| answer.strip_prefix(&format!("{word} {question}: "));
    match (of("ok"), of("refused")) {
        (Some(said), _) => {
            print(said)?;
            Ok(ExitCode::SUCCESS)
        }
        (_, Some(why)) => {
            eprintln!("pinfold: {why}");
            Ok(ExitCode::from(REFUSED))
        }
        _ => anyhow::bail!("an answer to something else: {answer}"),
    }
}
