//! `run --commands`: the command line's own group verbs, a line each, from standard input.
//!
//! ```text
//! group attach placement:/gold web/vcpu0
//! group set placement:/gold cpuset.cpus 0-1
//! group mkdir placement:/silver ; group attach placement:/silver web/vcpu1
//! ```
//!
//! Commands joined by ` ; ` are one plan: all of them are in force, or none. Each line is answered by one
//! line, in order: `ok LINE: N effects in T ns` or `refused LINE: RULE`; `group get` and `report` answer
//! with what was asked for.

use std::io::{self, BufRead};
use std::time::Instant;

use actor::Address;
use agent_protocol::{Answer, Ask};
use container_core::{Command, Credentials, GroupPath};
use supervisor::keeper::{Order, Request};

use super::Message;

/// Longest line that is read, in bytes.
pub const MAX_LINE: u64 = 64 * 1024;

/// Read standard input on a thread of its own until it ends.
///
/// # Errors
/// What thread creation returns.
pub fn start(keeper: Address<Request>, answers: Address<Message>) -> io::Result<()> {
    std::thread::Builder::new()
        .name("commands".into())
        .spawn(move || serve(&keeper, &answers))
        .map(drop)
}

fn serve(keeper: &Address<Request>, answers: &Address<Message>) {
    let mut input = io::stdin().lock();
    loop {
        let mut line = String::new();
        match io::Read::take(&mut input, MAX_LINE).read_line(&mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let told = answers
            .send(Message::Asked)
            .and_then(|()| answers.send(Message::Answer(answer(keeper, line))));
        if told.is_err() {
            return;
        }
    }
}

/// Carry a line out: `ok …`, `refused …` or `report …`, one line.
pub fn answer(keeper: &Address<Request>, line: &str) -> String {
    carry_out(keeper, line).unwrap_or_else(|why| format!("refused {line}: {why}"))
}

fn carry_out(keeper: &Address<Request>, line: &str) -> Result<String, String> {
    let gone = |_| "the supervisor has ended".to_owned();
    match line.split_whitespace().collect::<Vec<_>>()[..] {
        ["report"] => {
            let report = keeper.call(Request::Report).map_err(gone)?;
            let json = serde_json::to_string(&report).map_err(|error| error.to_string())?;
            return Ok(format!("report {json}"));
        }
        ["group", "get", group, file] => {
            let (by, group, file) = (Credentials::ROOT, parse_group(group)?, file.to_owned());
            let read = keeper.call(|reply| Request::Read {
                by,
                group,
                file,
                reply,
            });
            let text = read.map_err(gone)?.map_err(|refusal| refusal.to_string())?;
            return Ok(format!("ok {line}: {}", text.trim_end().replace('\n', " ")));
        }
        ["agent", ask, name] => return ask_agent(keeper, line, ask, name),
        ["vm", "stop", name] => return order(keeper, line, name, Order::Stop),
        ["vm", "stop", "--force", name] => return order(keeper, line, name, Order::Kill),
        ["vm", "pause", name] => return order(keeper, line, name, Order::Pause),
        ["vm", "resume", name] => return order(keeper, line, name, Order::Resume),
        _ => {}
    }
    let commands = line
        .split(" ; ")
        .map(|one| command(keeper, one.trim()))
        .collect::<Result<Vec<_>, _>>()?;
    let by = Credentials::ROOT;
    let done = keeper
        .call(|reply| Request::Plan {
            by,
            commands,
            generation: None,
            dry_run: false,
            reply,
        })
        .map_err(gone)?;
    let done = done.map_err(|error| error.to_string())?;
    Ok(format!(
        "ok {line}: {} effects in {} ns",
        done.effects.len(),
        done.took_ns.unwrap_or_default()
    ))
}

fn order(
    keeper: &Address<Request>,
    line: &str,
    name: &str,
    order: Order,
) -> Result<String, String> {
    let machine = name
        .parse()
        .map_err(|refusal: container_core::Refusal| refusal.to_string())?;
    let given = keeper.call(|reply| Request::Order {
        by: Credentials::ROOT,
        machine,
        order,
        reply,
    });
    given
        .map_err(|closed| closed.to_string())?
        .map_err(|error| error.to_string())?;
    Ok(format!("ok {line}"))
}

/// Ask the guest of a machine; the session in the supervisor bounds the wait.
fn ask_agent(
    keeper: &Address<Request>,
    line: &str,
    ask: &str,
    name: &str,
) -> Result<String, String> {
    let ask = match ask {
        "ping" => Ask::Ping,
        "info" => Ask::Info,
        "shutdown" => Ask::Shutdown,
        other => return Err(format!("agent {other}: expected ping, info or shutdown")),
    };
    let machine = name
        .parse()
        .map_err(|refusal: container_core::Refusal| refusal.to_string())?;
    let asked = Instant::now();
    let answer = keeper.call(|reply| Request::AskAgent {
        by: Credentials::ROOT,
        machine,
        ask,
        reply,
    });
    let took = asked.elapsed();
    let answer = answer
        .map_err(|_| "the machine has ended".to_owned())?
        .map_err(|error| error.to_string())?;
    Ok(match answer {
        Answer::Pong => format!("ok {line}: answered in {} us", took.as_micros()),
        Answer::Info {
            agent,
            vcpus,
            uptime_ns,
        } => {
            let uptime = crate::units::time(uptime_ns);
            format!("ok {line}: {agent}, {vcpus} vCPUs, up {uptime}")
        }
        Answer::Ending => format!("ok {line}: the guest is ending"),
        Answer::Declined { why } => return Err(format!("the guest declines: {why}")),
    })
}

fn command(keeper: &Address<Request>, text: &str) -> Result<Command, String> {
    let task = |name: &str| {
        let found = keeper.call(|reply| Request::Find(name.to_owned(), reply));
        found
            .ok()
            .flatten()
            .ok_or_else(|| format!("no task {name} (ESRCH)"))
    };
    match text.split_whitespace().collect::<Vec<_>>()[..] {
        ["group", "mkdir", group] => Ok(Command::Mkdir {
            group: parse_group(group)?,
        }),
        ["group", "rmdir", group] => Ok(Command::Rmdir {
            group: parse_group(group)?,
        }),
        ["group", "attach", group, name] => Ok(Command::Attach {
            group: parse_group(group)?,
            task: task(name)?,
        }),
        ["group", "clone", name, subsystem] => Ok(Command::Clone {
            task: task(name)?,
            subsystem: subsystem.to_owned(),
        }),
        ["group", "set", group, file, ref value @ ..] => Ok(Command::Write {
            group: parse_group(group)?,
            file: file.to_owned(),
            value: value.join(" "),
        }),
        _ => Err(
            "expected group mkdir|rmdir|attach|clone|set|get, vm stop|pause|resume, agent ping|info|shutdown, or report"
                .into(),
        ),
    }
}

fn parse_group(text: &str) -> Result<GroupPath, String> {
    text.parse()
        .map_err(|refusal: container_core::Refusal| refusal.to_string())
}
