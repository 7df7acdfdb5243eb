//! `pinfold group`: what is asked for, and recorded answers as they are shown.

mod waiting;

use clap::Parser;

use super::*;
use crate::cli::{Cli, Verb};

const GROUPS: &str = r#"[
    {"group":"placement:/gold","depth":1,"requested_cpus":"0-3","effective_cpus":"0-1","tasks":[],
     "notify_on_release":false,"own_usage_ns":null,"own_cycles":null,"removed_usage_ns":null,
     "usage_ns":null,"cycles":null},
    {"group":"placement:/gold/hot","depth":2,"requested_cpus":"0","effective_cpus":"0",
     "tasks":["web/vcpu0","web/vcpu1"],"notify_on_release":true,"own_usage_ns":null,"own_cycles":null,
     "removed_usage_ns":null,"usage_ns":null,"cycles":null}
]"#;

fn commands(words: &[&str]) -> Vec<String> {
    let words = ["pinfold", "group"].iter().chain(words);
    let Verb::Group(args) = Cli::try_parse_from(words).unwrap().verb else {
        panic!("not a group verb")
    };
    let GroupVerb::Change(change) = args.verb else {
        panic!("not a change")
    };
    change.commands().iter().map(words::command).collect()
}

#[test]
fn a_change_asks_for_what_its_command_line_says() {
    for line in [
        "group set placement:/gold cpuset.cpus 0-1",
        "group clone web/vcpu0 cpuset",
        "group rename placement:/gold gilt",
        "group chown placement:/gold 1000:100 750",
    ] {
        let words: Vec<_> = line.split(' ').skip(1).collect();
        assert_eq!(commands(&words), [line]);
    }
    let attach = [
        "attach",
        "placement:/gold",
        "web/vcpu0",
        "4711",
        "--dry-run",
    ];
    let expected = [
        "group attach placement:/gold web/vcpu0",
        "group attach placement:/gold 4711",
    ];
    assert_eq!(commands(&attach), expected);
    let mkdir = ["mkdir", "p:/a", "p:/a/b"];
    assert_eq!(commands(&mkdir), ["group mkdir p:/a", "group mkdir p:/a/b"]);
    assert_eq!(
        commands(&["set", "p:/a", "cpuset.cpus", "-1"]),
        ["group set p:/a cpuset.cpus -1"]
    );
}

#[test]
fn a_tree_that_begins_below_the_root_is_drawn_from_there() {
    let groups = serde_json::from_str(GROUPS).unwrap();
    let expected = "\
placement:/gold  cpus 0-3 -> 0-1
`- hot           cpus 0           web/vcpu0-1
";
    assert_eq!(picture(groups, Style::PLAIN), expected);
}

#[test]
fn groups_are_listed_with_cpus_and_tasks() {
    let expected = "\
group                cpus  effective  tasks
placement:/gold      0-3   0-1
placement:/gold/hot  0     0          2
";
    assert_eq!(list(serde_json::from_str(GROUPS).unwrap()), expected);
}

#[test]
fn tasks_are_listed_with_their_places_and_bills() {
    let recorded = r#"[
        {"name":"web/vcpu0","machine":"web","kind":"vcpu","tid":4711,"alive":true,
         "groups":["placement:/gold","billing:/a"],"requested_cpus":"0","observed_cpus":"0",
         "usage_ns":412345678,"cycles":1,"cycles_source":"tsc","accuracy":"exact","wait_ns":1000,"residual_ns":0},
        {"name":"web/io","machine":"web","kind":"io","tid":4712,"alive":false,
         "groups":["placement:/gold","billing:/a"],"requested_cpus":"","observed_cpus":"",
         "usage_ns":0,"cycles":0,"cycles_source":"tsc","accuracy":"exact","wait_ns":0,"residual_ns":0}
    ]"#;
    let expected = "\
task       tid    cpus  found on  used      waited    groups
web/vcpu0  4711   0     0         412.3 ms  1.000 us  placement:/gold billing:/a
web/io     ended                  0         0         placement:/gold billing:/a
";
    assert_eq!(
        list_tasks(serde_json::from_str(recorded).unwrap()),
        expected
    );
}

#[test]
fn a_dry_run_says_what_it_would_do_and_that_it_did_not() {
    let recorded = r#"{"generation":7,"committed":false,"effects":[
        {"effect":"pin","task":"web/vcpu0","cpus":"1","before":"0"},{"effect":"sample","task":"web/vcpu0"}]}"#;
    let expected = "\
would pin web/vcpu0 to CPUs 1, from 0
would read the counter of web/vcpu0 and bill it
2 effects on the host; nothing was changed
";
    assert_eq!(would(&serde_json::from_str(recorded).unwrap()), expected);
}
