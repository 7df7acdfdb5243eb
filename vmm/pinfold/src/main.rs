//! Pinfold: virtual machines whose every thread stands in a group.

mod cli;
mod doctor;
mod lock;
mod machine_process;
mod run;
mod screen;
mod serve;
mod spec;
mod top;
mod tree;
mod units;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Verb};

fn main() -> ExitCode {
    host::share_malloc_arena();
    let outcome = match &Cli::parse().verb {
        Verb::Run(args) => run::run(args),
        Verb::Apply(args) => verbs::apply(args),
        Verb::Vm(args) => verbs::vm(args),
        Verb::Hierarchy(args) => verbs::hierarchy(args),
        Verb::Group(args) => verbs::group(args),
        Verb::Events(args) => verbs::events(args),
        Verb::Agent(args) => verbs::agent(args),
        Verb::Doctor(args) => doctor::doctor(args),
        Verb::Top(args) => top::top(args),
        Verb::Serve(args) => serve::serve(args),
        Verb::Machine => machine_process::inherit(),
        Verb::Completion(args) => verbs::completion(args),
        Verb::Man(args) => verbs::man(args),
    };
    outcome.unwrap_or_else(|error| cli::explain(&error))
}
