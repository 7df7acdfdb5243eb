//! `pinfold agent`: ask the agent in a guest, by way of the run that has the machine.

use std::process::ExitCode;

use crate::cli::{AgentArgs, REFUSED};
use crate::lock;
use crate::run::socket;

/// Ask, and print the answer.
///
/// # Errors
/// No run is there, or it gives no answer. That the guest does not answer, or declines, is a refusal.
pub fn agent(args: &AgentArgs) -> anyhow::Result<ExitCode> {
    let path = args.socket.clone().unwrap_or_else(lock::socket_path);
    let question = format!("agent {} {}", args.ask.word(), args.machine);
    let answer = socket::ask(&path, &question)?;
    let of = |word: &str| answer.strip_prefix(&format!("{word} {question}: "));
    match (of("ok"), of("refused")) {
        (Some(said), _) => {
            println!("{said}");
            Ok(ExitCode::SUCCESS)
        }
        (_, Some(why)) => {
            eprintln!("pinfold: {why}");
            Ok(ExitCode::from(REFUSED))
        }
        _ => anyhow::bail!("an answer to something else: {answer}"),
    }
}
