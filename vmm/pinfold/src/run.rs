//! `pinfold run`: a private supervisor, the machines of one spec, and the tree while they run.
//!
//! The order is the start's: machine processes are forked while this process still has one thread
//! ([`nursery`]), the spec is refused or accepted whole before a machine is built, and the machines are
//! built while the supervisor's actors start beside them. Then this thread looks on ([`watch`]).

mod batch;
mod console;
mod nursery;
pub mod socket;
mod watch;

use std::process::ExitCode;
use std::sync::Arc;

use actor::{Address, mailbox};
use anyhow::Context;
use container_core::Framework;
use management::Report;
use supervisor::keeper::Request;
use supervisor::{Config, Notice, Supervisor};

use crate::cli::RunArgs;
use crate::lock::HostLock;
use crate::screen::Screen;
use crate::spec;
use crate::tree;
use nursery::Nursery;
pub use watch::tells;
use watch::{Watch, Watched};

/// Messages that wait for this thread; past them consoles lose text and events are fetched later.
const MAILBOX: usize = 512;
/// What this thread hears.
pub enum Message {
    /// From the supervisor.
    Supervisor(Notice),
    /// A command of `--commands` has been read; its answer follows.
    Asked,
    /// A line of answer to a command of `--commands`.
    Answer(String),
}

/// Run the machines of a spec file.
///
/// # Errors
/// A refusal of the spec, or a failure of the host.
pub fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let spent_before = host::own_cpu_time();
    // A spec is refused for its own faults first, also where there is no KVM to run it.
    let nursery = hv::Hypervisor::open().map(|kvm| Nursery::open(args, kvm));
    let resources = host::topology::resources()?;
    let spec = spec::load(&args.spec, &resources)?;
    spec.starts_once()?;
    let mut framework = Framework::new(resources);
    let history = spec.check(&mut framework)?;
    let cpu_controller = args.cpu.chosen()?;
    if let Some(socket) = &args.socket {
        spec.keeps_from_guests(socket).map_err(anyhow::Error::msg)?;
    }
    let _lock = HostLock::shared()?;
    host::raise_descriptor_limit()?;
    let launches = nursery??.launch_all(&spec.machines)?;

    let (inbox, mailbox) = mailbox(MAILBOX);
    let supervisor = Supervisor::start(Config {
        framework,
        history,
        onlooker: Some(onlooker(inbox.clone())),
        spent_before,
        withhold_go: args.withhold_go.unwrap_or_default(),
        cpu_controller,
        machine_program: None,
    })?;
    for launch in launches {
        supervisor
            .keeper()
            .send(Request::Launch(Box::new(launch)))?;
    }
    if args.commands {
        batch::start(supervisor.keeper().clone(), inbox)?;
    }
    let socket = args.socket.as_deref();
    let _socket = socket
        .map(|path| socket::start(path, supervisor.keeper().clone()))
        .transpose()?;
    let watched = Watch::new(args, &mailbox, supervisor.keeper()).until_all_ended()?;
    let report = supervisor.keeper().call(Request::Report)?;
    supervisor.end();
    conclude(args, &report, watched)
}

fn onlooker(inbox: Address<Message>) -> supervisor::Onlooker {
    Arc::new(move |notice| {
        let _ = inbox.try_send(Message::Supervisor(notice));
    })
}

/// The final bill, the report, and the exit code: 0 if every machine ended with `exit 0`.
fn conclude(args: &RunArgs, report: &Report, watched: Watched) -> anyhow::Result<ExitCode> {
    let mut screen = Screen::new();
    screen.print(&tree::bill(report, screen.style()));
    if let Some(path) = &args.report {
        let json = serde_json::to_vec_pretty(report)?;
        std::fs::write(path, json)
            .with_context(|| format!("the report cannot be written to {}", path.display()))?;
    }
    let well = report
        .machines
        .iter()
        .all(|machine| machine.end.as_deref() == Some("exit 0"));
    let good = well && !watched.timed_out;
    if watched.timed_out {
        eprintln!("pinfold: the time limit has passed, machines that still ran were killed");
    }
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
