//! `pinfold group`: what can be said to it.

use std::str::FromStr;

use clap::{Args, Subcommand};
use container_core::GroupPath;

use super::ServerArgs;

/// `pinfold group`
#[derive(Debug, Args)]
#[command(after_help = ABOUT_GROUP, disable_help_subcommand = true)]
pub struct GroupArgs {
    /// What to do.
    #[command(subcommand)]
    pub verb: GroupVerb,
    /// Whom to ask.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// What can be done with groups.
#[derive(Debug, Subcommand)]
pub enum GroupVerb {
    /// Show groups as trees, with their CPUs, bills and tasks
    #[command(
        after_help = "Examples:\n  pinfold group tree\n  pinfold group tree placement:/gold\n  pinfold group tree --json | jq -r '.[] | select(.tasks == []) | .group'"
    )]
    Tree {
        /// Only this one and those below it; left out: every hierarchy
        group: Option<GroupPath>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List the groups directly below one
    #[command(after_help = "Examples:\n  pinfold group ls\n  pinfold group ls placement:/gold")]
    Ls {
        /// Which; left out: the root groups of all hierarchies
        group: Option<GroupPath>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List the tasks in a group
    #[command(
        after_help = "Those of groups below it are not among them.\n\nExamples:\n  pinfold group tasks placement:/gold\n  pinfold group tasks billing:/tenant-a --json | jq 'map(.usage_ns) | add'"
    )]
    Tasks {
        /// Which
        group: GroupPath,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print a control file, or the names of all
    #[command(
        after_help = "With --wait='populated 1' cgroup.events is printed when nobody is left in the group or below.\n\nExamples:\n  pinfold group get billing:/tenant-a cpuacct.usage\n  pinfold group get placement:/gold cpuset.cpus\n  pinfold group get placement:/gold\n  pinfold group get billing:/tenant-a cgroup.events --wait"
    )]
    Get {
        /// Of this group
        group: GroupPath,
        /// Which; left out: the names of the files that it has
        file: Option<String>,
        /// Of cgroup.events: print it when it is otherwise; with a LINE, when that line is not in it, which may be at once
        #[arg(long, value_name = "LINE", num_args = 0..=1, require_equals = true, requires = "file")]
        wait: Option<Option<String>>,
    },
    /// A change.
    #[command(flatten)]
    Change(GroupChange),
}

/// What changes groups.
#[derive(Debug, Subcommand)]
pub enum GroupChange {
    /// Make groups, in one plan
    #[command(
        after_help = "A new group of a cpuset has no CPUs until `group set`, as in the kernel.\n\nExamples:\n  pinfold group mkdir placement:/gold placement:/gold/hot"
    )]
    Mkdir {
        /// Which, parents first
        #[arg(required = true, value_name = "GROUP")]
        groups: Vec<GroupPath>,
        /// Print the effects, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Remove groups that have neither tasks nor children, in one plan
    #[command(after_help = "Examples:\n  pinfold group rmdir placement:/gold/hot placement:/gold")]
    Rmdir {
        /// Which, children first
        #[arg(required = true, value_name = "GROUP")]
        groups: Vec<GroupPath>,
        /// Print the effects, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Write a control file
    #[command(
        after_help = "Examples:\n  pinfold group set placement:/gold cpuset.cpus 0-1\n  pinfold group set placement:/gold cpuset.cpus 0 --dry-run\n  pinfold group set placement:/gold notify_on_release 1"
    )]
    Set {
        /// Of this group
        group: GroupPath,
        /// Which
        file: String,
        /// What
        #[arg(allow_hyphen_values = true)]
        value: String,
        /// Print the effects, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Move tasks into a group, in one plan
    #[command(
        after_help = "A task is pinned before it runs there, and what it has used so far is billed to where it was.\n\nExamples:\n  pinfold group attach placement:/gold web/vcpu0\n  pinfold group attach placement:/gold web/vcpu0 web/vcpu1 --dry-run\n  pinfold group attach placement:/gold 4711"
    )]
    Attach {
        /// Into which
        group: GroupPath,
        /// MACHINE/vcpu0, or a thread id
        #[arg(required = true, value_name = "TASK")]
        tasks: Vec<String>,
        /// Print the effects, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Make a group below a task's own, and move the task there
    #[command(
        after_help = "Prints the group: its name is `node_` and the thread id.\n\nExamples:\n  pinfold group clone web/vcpu1 cpuset"
    )]
    Clone {
        /// MACHINE/vcpu0, or a thread id
        task: String,
        /// In whose hierarchy
        subsystem: String,
        /// Print the effects, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Give a group another name within its parent
    #[command(after_help = "Examples:\n  pinfold group rename placement:/gold gilt")]
    Rename {
        /// Which
        group: GroupPath,
        /// The name, not a path
        name: String,
        /// Print the effects, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Hand a group over to a user
    #[command(after_help = "Examples:\n  pinfold group chown placement:/gold 1000:1000 755")]
    Chown {
        /// Which
        group: GroupPath,
        /// The new owner
        #[arg(value_name = "UID:GID")]
        owner: Owner,
        /// Permission bits, in octal
        #[arg(value_parser = mode)]
        mode: u16,
        /// Print the effects, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
}

/// A user and a group of users, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group of users.
    pub gid: u32,
}

impl FromStr for Owner {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text
            .split_once(':')
            .and_then(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)));
        let (uid, gid) = numbers.ok_or("two numbers are expected, as 1000:1000")?;
        Ok(Owner { uid, gid })
    }
}

fn mode(text: &str) -> Result<u16, String> {
    u16::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| "an octal number up to 777 is expected, as 755".to_owned())
}

const ABOUT_GROUP: &str = "\
A group is written HIERARCHY:/path, a task MACHINE/vcpu0 or as its thread id. Every change is planned first and is in force
whole or not at all; --dry-run prints what it would do on the host.

Examples:
  pinfold group tree
  pinfold group mkdir placement:/gold
  pinfold group set placement:/gold cpuset.cpus 0-1
  pinfold group attach placement:/gold web/vcpu0 --dry-run
  pinfold group get billing:/tenant-a cpuacct.usage

Exit codes: 0 in force, 1 a failure (everything is as it was), 2 a refusal, with the rule and the errno.";
