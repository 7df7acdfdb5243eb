//! `pinfold completion` and `pinfold man`: what can be said to them.

use std::path::PathBuf;

use clap::Args;
use clap_complete::Shell;

/// `pinfold completion`
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pinfold completion bash > /etc/bash_completion.d/pinfold\n  source <(pinfold completion zsh)"
)]
pub struct CompletionArgs {
    /// Whose
    pub shell: Shell,
}

/// `pinfold man`
#[derive(Debug, Args)]
#[command(
    after_help = "A page a verb: pinfold.1, pinfold-run.1, pinfold-vm-create.1, ...\n\nExamples:\n  pinfold man /usr/local/share/man/man1 && man pinfold-run"
)]
pub struct ManArgs {
    /// Where; made if it is not there
    pub directory: PathBuf,
}
