//! The command line: what can be asked for, and what the exit code says. One file a noun.

mod agent;
mod apply;
mod cpu;
mod doctor;
mod events;
mod group;
mod hierarchy;
mod pages;
mod run;
mod serve;
mod top;
mod vm;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use management::client::ClientError;

use crate::lock::LockError;
use crate::spec::SpecError;

pub use agent::{AgentArgs, AgentAsk};
pub use apply::ApplyArgs;
pub use cpu::CpuArgs;
pub use doctor::DoctorArgs;
pub use events::EventsArgs;
pub use group::{GroupArgs, GroupChange, GroupVerb};
pub use hierarchy::{HierarchyArgs, HierarchyVerb};
pub use pages::{CompletionArgs, ManArgs};
pub use run::RunArgs;
pub use serve::ServeArgs;
pub use top::TopArgs;
pub use vm::{VmArgs, VmVerb};

/// What was asked for cannot be: a refusal, or a command line that is none.
pub const REFUSED: u8 = 2;

/// Runs virtual machines whose every thread stands in a group that pins and bills it
#[derive(Debug, Parser)]
#[command(name = "pinfold", version, after_help = ABOUT_GROUPS, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What Pinfold can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the machines of a spec file, show their groups, and end when they end
    Run(RunArgs),
    /// Be the host's supervisor
    Serve(ServeArgs),
    /// Make the supervisor's groups and machines those of a spec file
    Apply(ApplyArgs),
    /// Machines: make, look at, start, stop, remove
    Vm(VmArgs),
    /// Hierarchies: mount, unmount, remount, list
    Hierarchy(HierarchyArgs),
    /// Groups: look at, make, change, move tasks into
    Group(GroupArgs),
    /// What has happened, and what happens
    Events(EventsArgs),
    /// Show groups, CPUs and machines as they change
    Top(TopArgs),
    /// Ask the agent in a guest
    Agent(AgentArgs),
    /// Say what this host can do, and whether it would run a spec file
    Doctor(DoctorArgs),
    /// Write a shell's completions to standard output
    Completion(CompletionArgs),
    /// Write the manual pages
    Man(ManArgs),
    /// Be a machine process, with what a supervisor hands down
    #[command(hide = true)]
    Machine,
}

/// Which supervisor is asked.
#[derive(Debug, Args)]
pub struct ServerArgs {
    /// The supervisor's socket [default: $XDG_RUNTIME_DIR/pinfold.sock, else /run/pinfold.sock]
    #[arg(
        long,
        value_name = "PATH",
        env = "PINFOLD_SOCKET",
        global = true,
        hide_env_values = true
    )]
    pub socket: Option<PathBuf>,
}

const ABOUT_GROUPS: &str = "\
A group holds tasks, the threads of machines: it pins them to CPUs (cpuset) and bills them (cpuacct).
A hierarchy is one tree of groups; every task stands in exactly one group of each hierarchy, so that
one tree can pin a vCPU and another bill it. A group is written HIERARCHY:/path, a task MACHINE/vcpu0.

Examples:
  pinfold doctor                           can this host run machines, and where?
  pinfold run examples/one-vm.toml         the smallest spec
  pinfold run examples/two-groups.toml     two trees, two machines, release events
  pinfold apply SPEC --dry-run             what would a spec change on a host with a supervisor?
  pinfold group tree                       its groups, their CPUs, bills and tasks
  pinfold group attach placement:/gold web/vcpu0

Exit codes: 0 done, 1 a failure, 2 a refusal; a refusal names the rule and the errno in one line, and nothing is changed.
Next: `pinfold run --help`, `pinfold group --help`, and the comments in examples/*.toml.";

/// Say on stderr what went wrong; 2 for a refusal, 1 for a failure.
pub fn explain(error: &anyhow::Error) -> ExitCode {
    // A spec's refusal stands alone in the form that editors follow to its line.
    if error.is::<SpecError>() {
        eprintln!("{error}");
        return ExitCode::from(REFUSED);
    }
    let io_error = error.downcast_ref::<io::Error>();
    if io_error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe) {
        // Whoever read has seen enough.
        return ExitCode::FAILURE;
    }
    eprintln!("pinfold: {error:#}");
    let refused_by_server = error.downcast_ref().is_some_and(ClientError::is_refusal);
    let served = matches!(
        error.downcast_ref(),
        Some(LockError::Served(_) | LockError::Taken(_))
    );
    if refused_by_server
        || served
        || error.is::<hv::HvError>()
        || error.is::<cpu::NoController>()
        || error.is::<container_core::Refusal>()
    {
        ExitCode::from(REFUSED)
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests;
