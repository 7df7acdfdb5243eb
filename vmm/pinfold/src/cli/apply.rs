//! `pinfold apply`: what can be said to it.

use std::path::PathBuf;

use clap::Args;

use super::ServerArgs;

/// `pinfold apply`
#[derive(Debug, Args)]
#[command(after_help = ABOUT_APPLY)]
pub struct ApplyArgs {
    /// The spec file (TOML): hierarchies, groups and machines
    pub spec: PathBuf,
    /// Print what would change, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Whom to ask.
    #[command(flatten)]
    pub server: ServerArgs,
}

const ABOUT_APPLY: &str = "\
The whole spec is in force, or nothing of it: groups are made, changed and removed and tasks moved in one plan, machines
are made and started, made anew where the spec has them otherwise, and ended and forgotten where it does not have them.
Of what is as the spec says, nothing is touched. What fails on the way is taken back, and what cannot be is said.

Examples:
  pinfold apply hosts.toml --dry-run       every effect before it happens, changes in the words of their commands
  pinfold apply hosts.toml
  pinfold apply hosts.toml --json | jq .started

Exit codes: 0 everything is as the spec says, 1 it failed on the host, as a machine that cannot be built, and was taken
back, 2 it is refused; where that is for a line of the spec, FILE:LINE: and the rule.";
