//! `pinfold run`: a private supervisor, the machines of one spec, and the tree while they run.
//!
//! The order is the start's: the spec is refused or accepted whole before anything starts; then the
//! machine processes are forked, while this process still has one thread, and build their machines
//! while the supervisor's actors start beside them.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actor::{Address, Mailbox, mailbox};
use anyhow::Context;
use container_core::Framework;
use management::Report;
use supervisor::keeper::Request;
use supervisor::{
    Body, Config, Inherited, Launch, Notice, Placement, Program, StateDirectory, Supervisor,
};

use crate::batch;
use crate::cli::RunArgs;
use crate::console::Consoles;
use crate::lock::HostLock;
use crate::screen::Screen;
use crate::spec::{self, MachineSpec};
use crate::tree;

/// Messages that wait for this thread; past them consoles lose text and events are fetched later.
const MAILBOX: usize = 512;
/// How often the tree is drawn anew on a terminal.
const REDRAW: Duration = Duration::from_millis(200);
/// How often it is printed into a pipe.
const REPRINT: Duration = Duration::from_secs(1);

/// When it is shown first: the machines have started by then, and were not held up by it.
const FIRST_PICTURE: Duration = Duration::from_millis(60);

/// What this thread hears.
pub enum Message {
    /// From the supervisor.
    Supervisor(Notice),
    /// A line of answer to a command of `--commands`.
    Answer(String),
}

/// Run the machines of a spec file.
///
/// # Errors
/// A refusal of the spec, or a failure of the host.
pub fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let resources = host::topology::resources()?;
    let spec = spec::load(&args.spec, &resources)?;
    let mut framework = Framework::new(resources);
    let history = spec.check(&mut framework)?;
    let _lock = HostLock::shared()?;
    let kvm = hv::Hypervisor::open()?;
    host::raise_descriptor_limit()?;
    let launches = launch_all(args, &spec.machines, &kvm)?;

    let (inbox, mailbox) = mailbox(MAILBOX);
    let supervisor = Supervisor::start(Config {
        framework,
        history,
        onlooker: Some(onlooker(inbox.clone())),
        withhold_go: args.withhold_go.unwrap_or_default(),
    })?;
    let none = launches.is_empty();
    for launch in launches {
        supervisor
            .keeper()
            .send(Request::Launch(Box::new(launch)))?;
    }
    if args.commands {
        batch::start(supervisor.keeper().clone(), inbox)?;
    }
    let watched = Watch::new(args, &mailbox, supervisor.keeper()).until_all_ended(none)?;
    let report = supervisor.keeper().call(Request::Report)?;
    supervisor.end();
    conclude(args, &report, watched)
}

fn launch_all(
    args: &RunArgs,
    machines: &[MachineSpec],
    kvm: &hv::Hypervisor,
) -> anyhow::Result<Vec<Launch>> {
    let directory = StateDirectory::create(&runtime_directory())?;
    let body = match &args.machine_program {
        Some(path) => Body::Exec(path),
        None => Body::Fork(&machine_process),
    };
    let program = Program {
        kvm: kvm.as_fd(),
        body,
    };
    machines
        .iter()
        .map(|machine| {
            let kinds = machine.kinds();
            let by_kind = kinds
                .into_iter()
                .map(|kind| (kind, machine.groups_of(kind)))
                .collect();
            let (config, name) = (machine.config.clone(), machine.name.clone());
            supervisor::launch(&directory, config, name, Placement { by_kind }, &program)
                .context("no machine was let run")
        })
        .collect()
}

/// The life of a forked machine process.
fn machine_process(inherited: Inherited) -> u8 {
    machine::run(machine::Inheritance {
        listener: inherited.listener,
        kvm: inherited.kvm,
        console: inherited.console,
        tiny: machine::TinyImage {
            elf: firmware::ELF,
            page_table_root: firmware::PAGE_TABLE_ROOT,
            boot_page_address: firmware::BOOT_PAGE,
            boot_page: firmware::boot_page,
        },
    })
}

/// Where short-lived state goes: `$XDG_RUNTIME_DIR`, else /run for root, else the temporary directory.
pub fn runtime_directory() -> PathBuf {
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(directory) if !directory.is_empty() => directory.into(),
        _ if rustix::process::geteuid().is_root() => "/run".into(),
        _ => std::env::temp_dir(),
    }
}

fn onlooker(inbox: Address<Message>) -> supervisor::Onlooker {
    Arc::new(move |notice| {
        let _ = inbox.try_send(Message::Supervisor(notice));
    })
}

/// How the watch ended.
struct Watched {
    timed_out: bool,
}

/// This thread, looking on.
struct Watch<'a> {
    args: &'a RunArgs,
    mailbox: &'a Mailbox<Message>,
    keeper: &'a Address<Request>,
    screen: Screen,
    consoles: Consoles,
}

impl<'a> Watch<'a> {
    fn new(args: &'a RunArgs, mailbox: &'a Mailbox<Message>, keeper: &'a Address<Request>) -> Self {
        let (screen, consoles) = (Screen::new(), Consoles::default());
        Watch {
            args,
            mailbox,
            keeper,
            screen,
            consoles,
        }
    }

    /// Show what happens until no machine is left; past the time limit, kill what is.
    fn until_all_ended(mut self, none: bool) -> anyhow::Result<Watched> {
        let mut deadline = self.args.timeout.map(|timeout| Instant::now() + timeout);
        let interval = if self.screen.is_live() {
            REDRAW
        } else {
            REPRINT
        };
        let mut next_picture = Instant::now() + FIRST_PICTURE;
        let mut timed_out = false;
        while !none {
            let until = deadline.map_or(next_picture, |deadline| deadline.min(next_picture));
            match self.mailbox.recv_until(until)? {
                Some(Message::Supervisor(Notice::AllEnded)) => break,
                Some(message) => self.on_message(message),
                None => {}
            }
            let now = Instant::now();
            if now >= next_picture {
                next_picture = now + interval;
                let picture = tree::tree(&self.keeper.call(Request::Report)?, self.screen.style());
                if self.screen.is_live() {
                    self.screen.draw(&picture)
                } else {
                    self.screen.print(&picture)
                }
            }
            if deadline.is_some_and(|deadline| now >= deadline) {
                (deadline, timed_out) = (None, true);
                self.kill_all()?;
            }
        }
        while let Ok(Some(message)) = self.mailbox.try_recv() {
            self.on_message(message);
        }
        if let Some(rest) = self.consoles.rest() {
            self.screen.print(&rest);
        }
        Ok(Watched { timed_out })
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::Supervisor(Notice::Console { machine, bytes }) => {
                if let Some(lines) = self.consoles.take(machine.as_str(), &bytes) {
                    self.screen.print(&lines);
                }
            }
            Message::Supervisor(Notice::Event(event)) if tells(&event.kind) => {
                self.screen.print(&tree::event(&event));
            }
            Message::Supervisor(Notice::Event(_) | Notice::AllEnded) => {}
            Message::Answer(line) => self.screen.print(&line),
        }
    }

    fn kill_all(&self) -> anyhow::Result<()> {
        let report = self.keeper.call(Request::Report)?;
        for machine in report.machines {
            let Ok(machine) = machine.name.parse() else {
                continue;
            };
            self.keeper.call(|reply| Request::Stop {
                machine,
                force: true,
                reply,
            })?;
        }
        Ok(())
    }
}

/// The kinds of event that are worth a line of their own; the report has them all.
fn tells(kind: &str) -> bool {
    !matches!(
        kind,
        "mounted" | "group_created" | "file_written" | "task_born" | "task_moved"
    )
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
    let ends: BTreeMap<_, _> = report
        .machines
        .iter()
        .map(|machine| (&machine.name, machine.end.as_deref()))
        .collect();
    let good = !watched.timed_out && ends.values().all(|end| *end == Some("exit 0"));
    if watched.timed_out {
        eprintln!("pinfold: the time limit has passed, machines that still ran were killed");
    }
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
