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
The whole spec is one plan: groups are made, changed and removed, tasks moved, machines started and ended, or nothing is.
Of what is as the spec says, nothing is touched.

Examples:
  pinfold apply hosts.toml --dry-run       the changes, in the words of the commands that would make them
  pinfold apply hosts.toml
  pinfold apply hosts.toml --json | jq .started

Exit codes: 0 everything is as the spec says, 2 the spec is refused, FILE:LINE: and the rule.";
