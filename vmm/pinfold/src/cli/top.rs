//! `pinfold top`: what can be said to it.

use std::path::PathBuf;

use clap::Args;

use super::ServerArgs;

/// `pinfold top`
#[derive(Debug, Args)]
#[command(after_help = ABOUT_TOP)]
pub struct TopArgs {
    /// Print one frame as text and end
    #[arg(long)]
    pub once: bool,
    /// Show the report in FILE, or several one after the other, in place of a supervisor's (for tests)
    #[arg(long, value_name = "FILE", hide = true)]
    pub report: Vec<PathBuf>,
    /// Whom to ask.
    #[command(flatten)]
    pub server: ServerArgs,
}

const ABOUT_TOP: &str = "\
Keys: q ends, ? explains, arrows or j k move, Enter folds, Tab goes to the next hierarchy or pane, s sorts by name,
usage or wait, t shows tasks as rows. p on a group asks for CPUs, shows what that would do, and does it only after y.

CPU% and wait% are of one CPU, over the last second; wait is time spent ready to run without a host CPU.
With --once the frame has the size of the terminal, or what COLUMNS and LINES say.

Examples:
  pinfold top
  COLUMNS=120 LINES=40 pinfold top --once | less

Exit codes: 0 done, 1 no supervisor or no terminal.";
