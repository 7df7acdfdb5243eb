//! Command lines, taken apart.

use std::path::PathBuf;
use std::time::Duration;

use clap::CommandFactory;

use super::*;

fn run(arguments: &[&str]) -> RunArgs {
    let words = ["pinfold", "run"].iter().chain(arguments);
    match Cli::try_parse_from(words).unwrap().verb {
        Verb::Run(args) => args,
        other => panic!("not a run: {other:?}"),
    }
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn run_takes_a_spec_a_report_and_a_timeout() {
    let args = run(&["a.toml", "--report", "r.json", "--timeout", "2.5"]);
    assert_eq!(args.spec, PathBuf::from("a.toml"));
    assert_eq!(args.report, Some(PathBuf::from("r.json")));
    assert_eq!(args.timeout, Some(Duration::from_millis(2500)));
    assert!(!args.commands && run(&["a.toml", "--commands"]).commands);
    assert_eq!((args.machine_program, args.withhold_go), (None, None));
}

#[test]
fn the_knobs_of_tests_work_and_are_not_in_the_help() {
    let args = run(&["a.toml", "--withhold-go", "300", "--machine-program", "/m"]);
    assert_eq!(args.withhold_go, Some(Duration::from_millis(300)));
    assert_eq!(args.machine_program, Some(PathBuf::from("/m")));
    let mut command = Cli::command();
    let help = command
        .find_subcommand_mut("run")
        .unwrap()
        .render_long_help();
    let help = help.to_string();
    assert!(!help.contains("withhold") && !help.contains("machine-program"));
}

#[test]
fn a_command_line_that_is_none_exits_with_2() {
    for words in [
        &["pinfold"][..],
        &["pinfold", "run"],
        &["pinfold", "run", "a", "--timeout", "0"],
        &["pinfold", "run", "a", "--timeout", "-1"],
        &["pinfold", "run", "a", "--timeout", "nan"],
        &["pinfold", "serve"],
    ] {
        let error = Cli::try_parse_from(words).unwrap_err();
        assert_eq!(error.exit_code(), i32::from(REFUSED), "{words:?}");
    }
}
