//! `pinfold events`: what can be said to it.

use clap::Args;

use super::ServerArgs;

/// `pinfold events`
#[derive(Debug, Args)]
#[command(after_help = ABOUT_EVENTS)]
pub struct EventsArgs {
    /// Only what came after this number: EPOCH.SEQ as `--json` shows it, or SEQ alone
    #[arg(long, value_name = "N")]
    pub since: Option<String>,
    /// Go on as events happen, also over a restart of the supervisor
    #[arg(short, long)]
    pub follow: bool,
    /// Print JSON, an event a line
    #[arg(long)]
    pub json: bool,
    /// Whom to ask.
    #[command(flatten)]
    pub server: ServerArgs,
}

const ABOUT_EVENTS: &str = "\
Events are numbered in the order of commits, without holes. What the supervisor no longer has is told as a gap.

Examples:
  pinfold events
  pinfold events --follow
  pinfold events --json | jq -r 'select(.kind == \"released\") | .group'
  pinfold events --since 58

Without --since, --follow begins with what happens from now on.";
