//! `pinfold hierarchy`: what can be said to it.

use clap::{Args, Subcommand};

use super::ServerArgs;

/// `pinfold hierarchy`
#[derive(Debug, Args)]
#[command(after_help = ABOUT_HIERARCHY, disable_help_subcommand = true)]
pub struct HierarchyArgs {
    /// What to do.
    #[command(subcommand)]
    pub verb: HierarchyVerb,
    /// Whom to ask.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// What can be done with hierarchies.
#[derive(Debug, Subcommand)]
pub enum HierarchyVerb {
    /// Mount a hierarchy and bind subsystems to it
    #[command(
        after_help = "A subsystem is bound to one hierarchy at most.\n\nExamples:\n  pinfold hierarchy mount placement cpuset\n  pinfold hierarchy mount billing cpuacct --dry-run"
    )]
    Mount {
        /// Its name
        name: String,
        /// What its groups mean: cpuset, cpuacct, cpu, freezer, memory, ns, debug
        #[arg(value_name = "SUBSYSTEM")]
        subsystems: Vec<String>,
        /// Print the effects, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Unmount a hierarchy
    #[command(
        after_help = "One that still has groups below its root lives on, and can be mounted again.\n\nExamples:\n  pinfold hierarchy umount billing"
    )]
    Umount {
        /// Its name
        name: String,
        /// Print the effects, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Give a hierarchy another set of subsystems
    #[command(
        after_help = "It has exactly these then: others that it had are free, and go on as at their root.\nRefused where it has groups below its root, and for a subsystem that another has.\n\nExamples:\n  pinfold hierarchy remount placement cpuset memory\n  pinfold hierarchy remount billing --dry-run"
    )]
    Remount {
        /// Its name
        name: String,
        /// What its groups mean from here on
        #[arg(value_name = "SUBSYSTEM")]
        subsystems: Vec<String>,
        /// Print the effects, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// List hierarchies
    #[command(after_help = "Examples:\n  pinfold hierarchy ls\n  pinfold hierarchy ls --json")]
    Ls {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

const ABOUT_HIERARCHY: &str = "\
A hierarchy is one tree of groups; every task stands in exactly one group of each.

Examples:
  pinfold hierarchy mount placement cpuset
  pinfold hierarchy mount billing cpuacct
  pinfold hierarchy ls";
