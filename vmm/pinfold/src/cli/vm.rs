//! `pinfold vm`: what can be said to it.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ServerArgs;

/// `pinfold vm`
#[derive(Debug, Args)]
#[command(after_help = ABOUT_VM, disable_help_subcommand = true)]
pub struct VmArgs {
    /// What to do.
    #[command(subcommand)]
    pub verb: VmVerb,
    /// Whom to ask.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// What can be done with machines.
#[derive(Debug, Subcommand)]
pub enum VmVerb {
    /// Make the machine of a file, and start it
    #[command(after_help = ABOUT_CREATE)]
    Create {
        /// A spec file (TOML) with one `[vm.NAME]` and nothing else
        file: PathBuf,
        /// Print what each of its threads would be, and make nothing
        #[arg(long, conflicts_with = "no_wait")]
        dry_run: bool,
        /// Return as soon as its process has been told what to build
        #[arg(long)]
        no_wait: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List machines, the ended ones included
    #[command(after_help = "Examples:\n  pinfold vm ls\n  pinfold vm ls --json | jq -r '.[].name'")]
    Ls {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a machine and its tasks
    #[command(
        after_help = "Examples:\n  pinfold vm show web\n  pinfold vm show web --json | jq .end"
    )]
    Show {
        /// The machine
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Start a machine that has ended
    #[command(
        after_help = "It is the same machine, in a process of its own.\n\nExamples:\n  pinfold vm start web"
    )]
    Start {
        /// The machine
        name: String,
    },
    /// Take a machine's vCPUs out of the guest
    #[command(after_help = "Examples:\n  pinfold vm pause web\n  pinfold vm resume web")]
    Pause {
        /// The machine
        name: String,
    },
    /// Let a paused machine's vCPUs enter the guest again
    #[command(after_help = "Examples:\n  pinfold vm resume web")]
    Resume {
        /// The machine
        name: String,
    },
    /// End a machine
    #[command(after_help = ABOUT_STOP)]
    Stop {
        /// The machine
        name: String,
        /// Kill it, unasked
        #[arg(long)]
        force: bool,
        /// Return when it has ended
        #[arg(long)]
        wait: bool,
    },
    /// Wait until a machine has ended, and say how
    #[command(after_help = ABOUT_WAIT)]
    Wait {
        /// The machine
        name: String,
    },
    /// Print the end of what a guest has written to its serial port
    #[command(after_help = ABOUT_LOG)]
    Log {
        /// The machine
        name: String,
        /// Go on as it writes more
        #[arg(short, long)]
        follow: bool,
    },
    /// Forget a machine that has ended
    #[command(
        after_help = "Its bill stays where it was billed.\n\nExamples:\n  pinfold vm rm web\n  pinfold vm stop --force --wait web && pinfold vm rm web"
    )]
    Rm {
        /// The machine
        name: String,
    },
}

const ABOUT_VM: &str = "\
Examples:
  pinfold vm create web.toml
  pinfold vm ls
  pinfold vm log -f web
  pinfold vm stop web && pinfold vm wait web
  pinfold vm rm web

Machines of a whole spec: `pinfold apply`. What the threads of a machine cost: `pinfold vm show`, `pinfold group tree`.";

const ABOUT_CREATE: &str = "\
The smallest file:
  [vm.hello]
  memory = \"64M\"
  vcpus = 1
  guest = { tiny = [\"exit\"] }

The groups that it names have to be there: `pinfold group mkdir`. Relative paths in it are relative to the file.

It returns once the machine's guest runs, or says why it does not.

Examples:
  pinfold vm create hello.toml
  pinfold vm create hello.toml --dry-run    the groups and CPUs of each thread, or the rule that would refuse it
  pinfold vm create hello.toml --json | jq .pid

Exit codes: 0 it runs or has run, 1 it could not be started, 2 it is refused.";

const ABOUT_STOP: &str = "\
Without --force the machine is told to end in good order, which the guest may put off; `pinfold vm wait` waits for it.
One that has ended and waits for its restart is not started again.

Examples:
  pinfold vm stop web
  pinfold vm stop --force --wait web";

const ABOUT_WAIT: &str = "\
Prints the end: `exit 0`, `signal 9`, `fault ...`.

Examples:
  pinfold vm wait web && echo well

Exit codes: 0 it ended with `exit 0`, 1 with anything else, 2 there is no such machine.";

const ABOUT_LOG: &str = "\
The supervisor keeps the last 64 KiB. With --follow it goes on until the machine has ended; what is written after a
restart by its policy follows too.
On a terminal, characters that could steer it are shown as a stand-in; in a pipe the bytes are as the guest wrote them.

Examples:
  pinfold vm log web | tail
  pinfold vm log -f web";
