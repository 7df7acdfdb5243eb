//! `pinfold serve`: the host's supervisor, until it is told to end.
//!
//! Takes the host (its lock), binds the management socket, starts the supervisor's actors and says that it is ready.
//! From then on this thread serves the API, writes the log, and waits for SIGTERM or SIGINT, all in one loop: with
//! keeper, wire and runner there are four threads, whatever the number of machines. At the end machines are asked to
//! stop, and those that do not in time are killed: a later supervisor cannot take them over yet.

mod log;

use std::collections::HashSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use container_core::{Credentials, Framework};
use rustix::fs::Mode;
use sd_notify::NotifyState;
use signal_hook::consts::{SIGINT, SIGTERM};
use supervisor::keeper::{Order, Request};
use supervisor::{Config, MachineProgram, Supervisor};
use tokio::io::AsyncReadExt;

use crate::cli::ServeArgs;
use crate::lock::{self, HostLock};
use crate::spec::door::Language;

/// Machines have this long to end when the supervisor does.
const GRACE: Duration = Duration::from_secs(10);
/// How often they are looked at then.
const LOOK: Duration = Duration::from_millis(20);
/// After that, whoever reads the log has this long for its last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Serve until told to end.
///
/// # Errors
/// Another supervisor has the host, there is no KVM, or the socket cannot be bound.
pub fn serve(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()?;
    runtime.block_on(host(args))
}

async fn host(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let spent_before = host::own_cpu_time();
    let kvm = hv::Hypervisor::open()?;
    let resources = host::topology::resources()?;
    let _lock = HostLock::exclusive()?;
    host::raise_descriptor_limit()?;
    let _state = state_directory(args.state_dir.as_deref())?;
    let path = args.socket.clone().unwrap_or_else(lock::socket_path);
    let socket = Socket::bind(&path)?;
    let mut signals = signals()?;
    let (notes, mut log) = log::open()?;
    let (onlooker, feed) = supervisor::api::feed();
    let supervisor = Supervisor::start(Config {
        framework: Framework::new(resources),
        history: Vec::new(),
        onlooker: Some(notes.onlooker(onlooker)),
        spent_before,
        withhold_go: Duration::ZERO,
        machine_program: Some(MachineProgram {
            path: PathBuf::from("/proc/self/exe"),
            args: vec!["machine".into()],
            kvm: kvm.into_fd(),
        }),
    })?;
    let listener = socket.listener.try_clone()?;
    let keeper = supervisor.keeper().clone();
    let owner = rustix::process::geteuid().as_raw();
    let serving = async {
        notes.say(format!("ready at {}", path.display()));
        let _ = sd_notify::notify(false, &[NotifyState::Ready]);
        let told = signals.read_u8();
        supervisor::api::serve(listener, keeper, feed, Arc::new(Language), owner, told).await??;
        notes.say("ending");
        let _ = sd_notify::notify(false, &[NotifyState::Stopping]);
        stop_machines(&supervisor).await
    };
    let outcome = tokio::select! {
        outcome = serving => outcome,
        // Not before `notes` are gone.
        () = log.write() => Ok(()),
    };
    supervisor.end();
    drop(notes);
    let _ = tokio::time::timeout(LAST_LINES, log.write()).await;
    outcome.map(|()| ExitCode::SUCCESS)
}

/// A byte for each signal that tells to end.
fn signals() -> io::Result<tokio::net::UnixStream> {
    let (heard, told) = UnixStream::pair()?;
    for signal in [SIGTERM, SIGINT] {
        signal_hook::low_level::pipe::register(signal, told.try_clone()?)?;
    }
    heard.set_nonblocking(true)?;
    tokio::net::UnixStream::from_std(heard)
}

/// Ask all machines to end, and wait for them a while.
async fn stop_machines(supervisor: &Supervisor) -> anyhow::Result<()> {
    let deadline = Instant::now() + GRACE;
    // By process: one whose process was still being started is asked once it is there.
    let mut asked = HashSet::new();
    loop {
        let report = supervisor.keeper().call(Request::State)?;
        let is_over = report
            .machines
            .iter()
            .all(|machine| machine.state == "ended");
        for machine in report.machines {
            // An ended one may wait for its restart, which the order calls off.
            if !asked.insert(machine.pid) {
                continue;
            }
            let machine = machine.name.parse()?;
            // One that has ended is no failure.
            let _ = supervisor.keeper().call(|reply| Request::Order {
                by: Credentials::ROOT,
                machine,
                order: Order::Stop,
                reply,
            })?;
        }
        if is_over || Instant::now() >= deadline {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Where what outlives a supervisor is to be: the owner's alone.
fn state_directory(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let path = given.map_or_else(lock::state_directory, Path::to_owned);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&path)
        .with_context(|| format!("the state directory {}", path.display()))?;
    Ok(path)
}

/// The management socket, removed when it is dropped.
struct Socket {
    path: PathBuf,
    listener: UnixListener,
}

impl Socket {
    /// Bind it, for the owner and the owner's group. One that nobody listens at any more is replaced.
    fn bind(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        if let Ok(about) = fs::symlink_metadata(path) {
            let stale = about.file_type().is_socket() && UnixStream::connect(path).is_err();
            anyhow::ensure!(stale, "the socket {shown} is in use, or no socket");
            fs::remove_file(path).with_context(|| format!("the socket {shown} of old"))?;
        }
        // There is no moment at which others could connect: the mask makes it 0660 from the start.
        let mask = rustix::process::umask(Mode::from_raw_mode(0o117));
        let bound = UnixListener::bind(path);
        rustix::process::umask(mask);
        let listener = bound.with_context(|| format!("the socket {shown} cannot be bound"))?;
        Ok(Socket {
            path: path.to_owned(),
            listener,
        })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}
