//! `pinfold completion` and `pinfold man`, both made of the command line's own definition.

use std::process::ExitCode;

use anyhow::Context;
use clap::CommandFactory;

use super::output::print;
use crate::cli::{Cli, CompletionArgs, ManArgs};

/// Print a shell's completions.
///
/// # Errors
/// Nobody reads them.
pub fn completion(args: &CompletionArgs) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "pinfold", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

/// Write the manual pages into a directory, a page a verb.
///
/// # Errors
/// It cannot be written to.
pub fn man(args: &ManArgs) -> anyhow::Result<ExitCode> {
    let shown = args.directory.display();
    std::fs::create_dir_all(&args.directory)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), &args.directory))
        .with_context(|| format!("the manual pages cannot be written to {shown}"))?;
    Ok(ExitCode::SUCCESS)
}
