//! `pinfold agent`: what can be said to it.

use clap::{Args, ValueEnum};

use super::ServerArgs;

/// `pinfold agent`
#[derive(Debug, Args)]
#[command(after_help = ABOUT_AGENT)]
pub struct AgentArgs {
    /// What to ask
    pub ask: AgentAsk,
    /// The machine
    pub machine: String,
    /// Where to ask: a supervisor, or a run with `--socket`
    #[command(flatten)]
    pub server: ServerArgs,
}

/// What a guest's agent can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AgentAsk {
    /// Whether it answers
    Ping,
    /// Who it is, and for how long
    Info,
    /// To end its guest in good order
    Shutdown,
}

impl AgentAsk {
    /// The word for it on a command line.
    pub fn word(self) -> &'static str {
        match self {
            AgentAsk::Ping => "ping",
            AgentAsk::Info => "info",
            AgentAsk::Shutdown => "shutdown",
        }
    }
}

const ABOUT_AGENT: &str = "\
The machine needs `agent = \"read\"` or `agent = \"delegate\"` in its spec. It is looked for in the supervisor that
listens at the socket, or in the run there: `pinfold run --socket PATH SPEC`.

Examples:
  pinfold agent ping web
  pinfold agent info web
  pinfold agent shutdown web
  pinfold run --socket /run/mine.sock examples/guest-agent.toml &
  pinfold agent ping web --socket /run/mine.sock

Exit codes: 0 answered, 1 nobody is there, 2 the guest has not answered in 5 s, declines, or has no agent.";
