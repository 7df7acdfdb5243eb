//! Pinfold: virtual machines whose every thread stands in a group.

mod agent;
mod cli;
mod doctor;
mod lock;
mod run;
mod screen;
mod spec;
mod top;
mod tree;
mod units;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Verb};

fn main() -> ExitCode {
    host::share_malloc_arena();
    let outcome = match &Cli::parse().verb {
        Verb::Run(args) => run::run(args),
        Verb::Agent(args) => agent::agent(args),
        Verb::Doctor(args) => doctor::doctor(args),
        Verb::Top(args) => top::top(args),
    };
    outcome.unwrap_or_else(|error| cli::explain(&error))
}
