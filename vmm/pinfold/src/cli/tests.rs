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
        &["pinfold", "serve", "a"],
    ] {
        let error = Cli::try_parse_from(words).unwrap_err();
        assert_eq!(error.exit_code(), i32::from(REFUSED), "{words:?}");
    }
}

/// Every command that has no subcommands and is for people, with its words.
fn leaves(command: &clap::Command, words: &str, out: &mut Vec<(String, clap::Command)>) {
    if !command.has_subcommands() {
        out.push((words.to_owned(), command.clone()));
    }
    let shown = |below: &&clap::Command| !below.is_hide_set();
    for below in command.get_subcommands().filter(shown) {
        leaves(below, &format!("{words} {}", below.get_name()), out);
    }
}

fn all() -> Vec<(String, clap::Command)> {
    let mut command = Cli::command();
    command.build();
    let mut out = Vec::new();
    leaves(&command, "pinfold", &mut out);
    out
}

/// The command of an example, without what a shell does with it and without a remark.
fn example(line: &str) -> Option<Vec<&str>> {
    let line = line.trim().split("  ").next()?;
    let words: Vec<_> = line.split_whitespace().collect();
    let shell = ["|", ">", "&&", "&"];
    let end = words.iter().position(|word| shell.contains(word));
    let words = &words[..end.unwrap_or(words.len())];
    (words.first() == Some(&"pinfold")).then(|| words.to_vec())
}

#[test]
fn every_verb_has_examples_and_they_are_command_lines() {
    for (words, mut command) in all() {
        let help = command.render_long_help().to_string();
        let (_, examples) = help.split_once("Examples:").unwrap_or_default();
        let examples: Vec<_> = examples.lines().filter_map(example).collect();
        let mut of_it = examples.iter().map(|example| example.join(" "));
        assert!(
            of_it.any(|example| example.starts_with(&words)),
            "{words}:\n{help}"
        );
        for example in examples {
            let parsed = Cli::try_parse_from(&example);
            assert!(parsed.is_ok(), "{}", example.join(" "));
        }
    }
}

#[test]
fn every_listing_has_json_and_every_change_a_dry_run() {
    let with = |flag: &str| {
        let leaves = all();
        let having = leaves.iter().filter(|(_, command)| {
            let mut arguments = command.get_arguments();
            arguments.any(|argument| argument.get_long() == Some(flag))
        });
        having
            .map(|(words, _)| words.trim_start_matches("pinfold ").to_owned())
            .collect::<Vec<_>>()
    };
    for listing in [
        "vm ls",
        "vm show",
        "hierarchy ls",
        "group tree",
        "group ls",
        "group tasks",
        "events",
    ] {
        assert!(with("json").contains(&listing.to_owned()), "{listing}");
    }
    let changes = [
        "mkdir", "rmdir", "set", "attach", "clone", "rename", "chown",
    ];
    let changes = changes.map(|verb| format!("group {verb}"));
    let dry = with("dry-run");
    for change in changes.iter().map(String::as_str).chain([
        "apply",
        "hierarchy mount",
        "hierarchy umount",
        "hierarchy remount",
    ]) {
        assert!(dry.contains(&change.to_owned()), "{change}");
    }
}

#[test]
fn the_socket_may_stand_before_and_after_the_verb() {
    for words in [
        ["pinfold", "vm", "--socket", "/s", "ls"],
        ["pinfold", "vm", "ls", "--socket", "/s"],
    ] {
        match Cli::try_parse_from(words).unwrap().verb {
            Verb::Vm(args) => assert_eq!(args.server.socket, Some(PathBuf::from("/s"))),
            other => panic!("not a vm verb: {other:?}"),
        }
    }
}

#[test]
fn what_no_supervisor_needs_to_be_asked_about_is_refused_at_once() {
    for line in [
        "group attach placement:/gold",
        "group mkdir gold",
        "group mkdir placement:gold",
        "group mkdir placement:/a/../b",
        "group chown p:/a root 755",
        "group chown p:/a 0:0 1777",
        "group chown p:/a 0:0 8",
        "vm stop",
        "agent exec web",
        "completion tcl",
    ] {
        let words = ["pinfold"].into_iter().chain(line.split(' '));
        let error = Cli::try_parse_from(words).unwrap_err();
        assert_eq!(error.exit_code(), i32::from(REFUSED), "{line}");
    }
}
