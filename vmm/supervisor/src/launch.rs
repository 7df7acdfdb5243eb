//! Starting a machine process and the supervisor's end of its link.
//!
//! The supervisor makes the machine's listener and connects to it before the process exists; the process inherits the listener, finds its supervisor waiting there, and is told
//! what to build. Processes are started early, while the supervisor still has one thread: a fork then
//! costs a tenth of a millisecond and no exec. The first is started before it is known what it is to
//! build: it makes what every machine has while the spec is read.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use container_core::{Bytes, GroupPath, MachineName, TaskKind, ViewAccess};
use host::{HostError, Namespaces, Process};
use link::{Link, LinkError, Listener, MachineConfig, ToMachine, ToSupervisor, VERSION};
use rustix::pipe::{PipeFlags, pipe_with};

/// Descriptor numbers under which a replaced machine program finds what it inherits.
pub const LISTENER_FD: i32 = 3;
/// See [`LISTENER_FD`].
pub const CONSOLE_FD: i32 = 4;
/// See [`LISTENER_FD`].
pub const KVM_FD: i32 = 5;

/// Into which groups the threads of a machine go, one group a hierarchy.
#[derive(Clone, Debug, Default)]
pub struct Placement {
    /// By thread. A thread that is not named here goes where `control` goes.
    pub by_kind: BTreeMap<TaskKind, Vec<GroupPath>>,
}

impl Placement {
    /// The groups of one thread.
    pub fn groups_of(&self, kind: TaskKind) -> &[GroupPath] {
        let groups = self
            .by_kind
            .get(&kind)
            .or_else(|| self.by_kind.get(&TaskKind::Control));
        groups.map_or(&[], Vec::as_slice)
    }

    /// From now on a thread goes into this group of its hierarchy, in place of the one that it had there.
    pub fn put(&mut self, kind: TaskKind, group: GroupPath) {
        let mut groups = self.groups_of(kind).to_vec();
        groups.retain(|other| other.hierarchy() != group.hierarchy());
        groups.push(group);
        self.by_kind.insert(kind, groups);
    }

    /// Follow the renaming of a group.
    pub fn rename(&mut self, from: &GroupPath, to: &GroupPath) {
        for group in self.by_kind.values_mut().flatten() {
            *group = group.after_rename(from, to);
        }
    }
}

/// What the agent of a machine's guest may do.
#[derive(Clone, Debug)]
pub struct AgentAccess {
    /// Look, or change as well.
    pub access: ViewAccess,
    /// What it takes for the root, one group a hierarchy.
    pub roots: Vec<GroupPath>,
}

/// A machine that is to be.
#[derive(Clone, Debug)]
pub struct NewMachine {
    /// Its name.
    pub name: MachineName,
    /// What its process builds.
    pub config: MachineConfig,
    /// Where its threads go.
    pub placement: Placement,
    /// What its guest's agent may do; None where it has none.
    pub agent: Option<AgentAccess>,
    /// Namespaces that its process has of its own.
    pub namespaces: Namespaces,
    /// What follows its end.
    pub restart: Restart,
}

/// What a machine's process may hold beside its guest's memory: heap, stacks, and pages of the program that it has
/// written to. It is some 1.5 MiB with one vCPU and 3 MiB with 64.
const PROCESS_MEMORY: Bytes = Bytes(8 << 20);
/// What it may hold more with a vsock device, for bytes of the guest's that nobody on the host reads: 64 connections of
/// 256 KiB and 960 of 4 KiB (`devices::vsock`), which is 20 MiB, and the connections themselves.
const VSOCK_MEMORY: Bytes = Bytes(32 << 20);

/// What a machine may come to need of the host's memory.
pub fn memory_needed(config: &MachineConfig) -> Bytes {
    let vsock = config.vsock.as_ref().map_or(Bytes(0), |_| VSOCK_MEMORY);
    Bytes(config.memory_bytes) + PROCESS_MEMORY + vsock
}

/// When a machine that has ended is started again. One that was ended by an order is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// Never.
    #[default]
    No,
    /// After any end but `exit 0` and `stopped`.
    OnFailure,
    /// After any end.
    Always,
}

impl Restart {
    /// As specs and answers say it.
    pub fn word(self) -> &'static str {
        match self {
            Restart::No => "no",
            Restart::OnFailure => "on-failure",
            Restart::Always => "always",
        }
    }
}

/// The program that the supervisor starts machine processes with.
#[derive(Debug)]
pub struct MachineProgram {
    /// The program.
    pub path: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// An open /dev/kvm, for all of them.
    pub kvm: OwnedFd,
}

/// A machine process that has just been started, on its way to the keeper.
#[derive(Debug)]
pub struct Launch {
    /// What it was told to build, and what else the machine is to be.
    pub machine: NewMachine,
    /// Its process.
    pub process: Process,
    /// The supervisor's end of its link.
    pub link: Link<ToMachine, ToSupervisor>,
    /// The read end of its console.
    pub console: OwnedFd,
    /// CLOCK_MONOTONIC just before the process was started; of one that was kept ready, when it was asked for.
    pub spawned_ns: u64,
}

/// What runs as the machine process, and the /dev/kvm it is given.
pub struct Program<'a> {
    /// An open /dev/kvm.
    pub kvm: BorrowedFd<'a>,
    /// What runs.
    pub body: Body<'a>,
    /// Namespaces that it has of its own from its beginning.
    pub namespaces: Namespaces,
}

/// What runs as the machine process.
pub enum Body<'a> {
    /// This function, in a fork of this process, which must have one thread. Its value is the exit code.
    Fork(&'a dyn Fn(Inherited) -> u8),
    /// Another program with these arguments, and what it inherits at [`LISTENER_FD`] and up.
    Exec(&'a Path, &'a [OsString]),
}

/// What a forked machine process has been given.
#[derive(Debug)]
pub struct Inherited {
    /// Its link's listener, with the supervisor already in the backlog.
    pub listener: Listener,
    /// The write end of its console.
    pub console: OwnedFd,
    /// An open /dev/kvm.
    pub kvm: OwnedFd,
}

/// Why a machine process could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The listener, the console pipe or the link.
    #[error("a machine process's link cannot be set up: {0}")]
    Link(#[source] io::Error),
    /// What to build does not fit a frame, or the process is gone.
    #[error("machine {machine} cannot be told what to build: {source}")]
    Create {
        /// Which machine.
        machine: MachineName,
        /// What the link said.
        source: LinkError,
    },
    /// fork or exec.
    #[error("a machine process cannot be started: {0}")]
    Process(#[source] HostError),
}

/// A machine process that waits to be told what to build, with what does not depend on that already made.
/// It is killed and reaped when it is dropped unused.
#[derive(Debug)]
pub struct Ready {
    parts: Option<Parts>,
}

#[derive(Debug)]
struct Parts {
    process: Process,
    link: Link<ToMachine, ToSupervisor>,
    console: OwnedFd,
    spawned_ns: u64,
}

impl Ready {
    /// Start a process.
    ///
    /// # Errors
    /// [`LaunchError`]; nothing is left behind.
    pub fn start(program: &Program<'_>) -> Result<Self, LaunchError> {
        let (listener, link) = Listener::private().map_err(LaunchError::Link)?;
        let (console, console_end) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
            .map_err(|errno| LaunchError::Link(errno.into()))?;
        let spawned_ns = host::monotonic_ns();
        let process = start(program, &listener, &console_end).map_err(LaunchError::Process)?;
        Ok(Ready {
            parts: Some(Parts {
                process,
                link,
                console,
                spawned_ns,
            }),
        })
    }

    /// Its process's number.
    #[cfg(test)]
    pub(crate) fn pid(&self) -> Option<u32> {
        self.parts.as_ref().map(|parts| parts.process.pid())
    }

    /// Whether it still waits.
    pub fn is_alive(&self) -> bool {
        let process = self.parts.as_ref().map(|parts| &parts.process);
        process.is_some_and(|process| matches!(process.wait_without_reaping(true), Ok(None)))
    }

    /// Tell it what to build. Its threads do nothing for the guest until the keeper says `Go`.
    ///
    /// # Errors
    /// [`LaunchError::Create`]; the process is killed.
    pub fn create(mut self, machine: NewMachine) -> Result<Launch, LaunchError> {
        let order = ToMachine::Create {
            version: VERSION,
            machine: machine.config.clone(),
        };
        let parts = self
            .parts
            .take()
            .expect("parts are taken by this method alone, which consumes");
        if let Err(source) = parts.link.send(&order) {
            self.parts = Some(parts);
            let machine = machine.name;
            return Err(LaunchError::Create { machine, source });
        }
        Ok(Launch {
            machine,
            process: parts.process,
            link: parts.link,
            console: parts.console,
            spawned_ns: parts.spawned_ns,
        })
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        if let Some(parts) = &self.parts {
            // It has neither memory nor vCPUs, and is gone at once.
            let _ = parts.process.kill();
            let _ = parts.process.wait_without_reaping(false);
            let _ = parts.process.reap();
        }
    }
}

fn start(
    program: &Program<'_>,
    listener: &Listener,
    console: &OwnedFd,
) -> Result<Process, HostError> {
    let (listener, console) = (listener.as_fd(), console.as_fd());
    match program.body {
        Body::Fork(machine) => host::fork_process_in(
            program.namespaces,
            &[listener, console, program.kvm],
            || {
                let own = |fd: BorrowedFd<'_>| fd.try_clone_to_owned();
                match (own(listener), own(console), own(program.kvm)) {
                    (Ok(listener), Ok(console), Ok(kvm)) => machine(Inherited {
                        listener: Listener::from_fd(listener),
                        console,
                        kvm,
                    }),
                    _ => OUT_OF_DESCRIPTORS,
                }
            },
        ),
        Body::Exec(path, args) => {
            let keep = [
                (listener, LISTENER_FD),
                (console, CONSOLE_FD),
                (program.kvm, KVM_FD),
            ];
            host::spawn_process_in(program.namespaces, path, args, &keep)
        }
    }
}

/// Exit code of a machine process that could not take what it was given.
const OUT_OF_DESCRIPTORS: u8 = 71;
