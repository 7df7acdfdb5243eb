//! `pinfold serve`: what can be said to it.

use std::path::PathBuf;

use clap::Args;

use super::CpuArgs;

/// `pinfold serve`
#[derive(Debug, Args)]
#[command(after_help = ABOUT_SERVE)]
pub struct ServeArgs {
    /// Where to listen [default: $XDG_RUNTIME_DIR/pinfold.sock, else /run/pinfold.sock]
    #[arg(
        long,
        value_name = "PATH",
        env = "PINFOLD_SOCKET",
        hide_env_values = true
    )]
    pub socket: Option<PathBuf>,
    /// Where to keep what outlives a supervisor [default: /var/lib/pinfold for root, else beside the socket]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    #[command(flatten)]
    pub cpu: CpuArgs,
}

const ABOUT_SERVE: &str = "\
The host's supervisor: it has the groups and the machines, and answers the other verbs and the API at its socket (mode
0660). One at a time serves a host, and no private run beside it. SIGTERM ends it, and its machines with it: they are
asked to stop and have 10 s. It says that it is ready as systemd expects (Type=notify), and writes its log to standard
error: lines on a terminal, else JSON; as a service of systemd's to the journal. A reader who stands still costs lines,
which are counted, and holds nobody up.

Examples:
  pinfold serve &
  pinfold apply examples/two-groups.toml
  curl --unix-socket /run/pinfold.sock http://pinfold/v1/machines

Exit codes: 0 ended as told, 1 a failure, 2 another supervisor has the host, or there is no KVM.";
