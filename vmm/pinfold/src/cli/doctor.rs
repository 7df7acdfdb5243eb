//! `pinfold doctor`: what can be said to it.

use std::path::PathBuf;

use clap::Args;

/// `pinfold doctor`
#[derive(Debug, Args)]
#[command(after_help = ABOUT_DOCTOR)]
pub struct DoctorArgs {
    /// Also check this spec file, without starting anything
    pub spec: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

const ABOUT_DOCTOR: &str = "\
Exit codes: 0 when nothing stands in the way, 2 when something does.

Examples:
  pinfold doctor
  pinfold doctor examples/two-groups.toml
  pinfold doctor --json | jq '.checks[] | select(.state != \"good\")'";
