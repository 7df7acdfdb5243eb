//! Freezing, told as short stories. The properties are in `properties.rs`.

#![allow(
    clippy::unwrap_used,
    reason = "clippy takes only test functions for tests"
)]

mod support;

use container_core::*;
use support::*;

/// `f` has the freezer, and the groups `a`, `a/b` and `c`.
fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.run(&[mount("f", &["freezer"])]);
    bench.run(&["f:/a", "f:/a/b", "f:/c"].map(mkdir));
    bench
}

fn state(group: &str, to: &str) -> Command {
    write(group, "freezer.state", to)
}

/// The three files, and the bit of `cgroup.events`.
fn files(bench: &Bench, group: &str) -> String {
    let read = |file: &str| bench.read(group, file);
    let events = read("cgroup.events");
    let frozen = events.lines().last().unwrap();
    let flags = [
        read("freezer.self_freezing"),
        read("freezer.parent_freezing"),
    ];
    format!("{} {} {frozen}", read("freezer.state"), flags.join(" "))
}

/// Groups of a list of events that became frozen or thawed.
fn told(events: &[Event]) -> Vec<String> {
    let told = events.iter().filter_map(|event| match event {
        Event::GroupFrozen { group } => Some(format!("{group} frozen")),
        Event::GroupThawed { group } => Some(format!("{group} thawed")),
        _ => None,
    });
    told.collect()
}

#[test]
fn a_group_is_frozen_once_its_last_vcpu_is_out() {
    let mut bench = bench();
    let [one, two, io] = ["web/vcpu0", "db/vcpu0", "web/io"].map(|name| bench.fork(name, None));
    let moves = [
        attach("f:/a", one),
        attach("f:/a/b", two),
        attach("f:/a", io),
    ];
    let (effects, _) = bench.run(&moves);
    assert_eq!(effects, []);
    let (effects, events) = bench.run(&[state("f:/a", "FROZEN\n")]);
    assert_eq!(effects, [one, two].map(|task| Effect::Freeze { task }));
    assert_eq!(told(&events), <[&str; 0]>::default());
    assert_eq!(files(&bench, "f:/a"), "FREEZING 1 0 frozen 0");
    assert_eq!(files(&bench, "f:/a/b"), "FREEZING 0 1 frozen 0");
    let events = bench.framework.note_held(two, true).unwrap();
    assert_eq!(told(&events), ["f:/a/b frozen"]);
    assert_eq!(files(&bench, "f:/a"), "FREEZING 1 0 frozen 0");
    assert_eq!(files(&bench, "f:/a/b"), "FROZEN 0 1 frozen 1");
    let events = bench.framework.note_held(one, true).unwrap();
    assert_eq!(told(&events), ["f:/a frozen"]);
    assert_eq!(files(&bench, "f:/a"), "FROZEN 1 0 frozen 1");
    assert_eq!(bench.read("f:/", "cgroup.events"), "populated 1\nfrozen 0");
    let (effects, events) = bench.run(&[state("f:/a", " THAWED ")]);
    assert_eq!(effects, [one, two].map(|task| Effect::Thaw { task }));
    assert_eq!(told(&events), ["f:/a thawed", "f:/a/b thawed"]);
    assert_eq!(files(&bench, "f:/a/b"), "THAWED 0 0 frozen 0");
}

#[test]
fn entering_freezes_and_leaving_thaws() {
    let mut bench = bench();
    let task = bench.fork("web/vcpu0", None);
    let (_, events) = bench.run(&[state("f:/a", "FROZEN")]);
    assert_eq!(
        told(&events),
        ["f:/a frozen", "f:/a/b frozen"],
        "at once, being empty"
    );
    assert_eq!(
        bench.run(&[attach("f:/a/b", task)]).0,
        [Effect::Freeze { task }]
    );
    assert_eq!(files(&bench, "f:/a"), "FREEZING 1 0 frozen 0");
    // From one frozen group to another, and in and out in one batch, it is the same.
    assert_eq!(bench.run(&[attach("f:/a", task)]).0, []);
    assert_eq!(
        bench.run(&[attach("f:/c", task), attach("f:/a/b", task)]).0,
        []
    );
    let events = bench.framework.note_held(task, true).unwrap();
    assert_eq!(told(&events), ["f:/a/b frozen", "f:/a frozen"]);
    let (effects, events) = bench.run(&[attach("f:/c", task)]);
    assert_eq!(effects, [Effect::Thaw { task }]);
    assert_eq!(told(&events), <[&str; 0]>::default());
    assert_eq!(bench.framework.note_held(task, false), Ok(vec![]));
    assert_eq!(files(&bench, "f:/a"), "FROZEN 1 0 frozen 1");
}

#[test]
fn who_is_born_or_cloned_below_a_frozen_group_is_frozen() {
    let mut bench = bench();
    let parent = bench.fork("web/control", None);
    bench.run(&[attach("f:/a/b", parent), state("f:/a", "FROZEN")]);
    let (child, fork) = bench.fork_command("web/vcpu0", Some(parent));
    let (effects, _) = bench.run(&[fork]);
    assert_eq!(effects[0], Effect::Freeze { task: child }, "first of all");
    let (effects, _) = bench.run(&[clone(child, "freezer")]);
    assert_eq!(effects, []);
    let groups = bench.framework.task(child).unwrap().groups;
    let below = groups
        .iter()
        .find(|group| group.hierarchy().as_str() == "f")
        .unwrap();
    assert_eq!(files(&bench, &below.to_string()), "FREEZING 0 1 frozen 0");
    let (_, events) = bench.run(&[exit(child)]);
    assert_eq!(
        told(&events).len(),
        3,
        "it was the last that ran: {events:?}"
    );
    assert_eq!(
        bench.framework.note_held(child, true).unwrap_err().errno,
        Errno::ESRCH
    );
}

#[test]
fn a_childs_own_flag_outlasts_its_parents_and_only_words_are_taken() {
    let mut bench = bench();
    let task = bench.fork("web/vcpu0", None);
    bench.run(&[attach("f:/a/b", task), state("f:/a", "FROZEN")]);
    assert_eq!(
        bench.run(&[state("f:/a/b", "THAWED")]).0,
        [],
        "the parent's holds it"
    );
    bench.run(&[state("f:/a/b", "FROZEN"), state("f:/a", "THAWED")]);
    assert_eq!(files(&bench, "f:/a/b"), "FREEZING 1 0 frozen 0");
    for value in ["FREEZING", "frozen", "1", "\n", "FROZEN THAWED"] {
        assert_eq!(
            bench.refused(state("f:/c", value)),
            Errno::EINVAL,
            "{value:?}"
        );
    }
    assert_eq!(bench.refused(state("f:/", "FROZEN")), Errno::ENOENT);
    let read_only = write("f:/a", "freezer.self_freezing", "1");
    assert_eq!(bench.refused(read_only), Errno::EINVAL);
    assert_eq!(bench.refused(mkdir("f:/a/freezer.state")), Errno::EEXIST);
}

#[test]
fn a_hierarchy_that_lingers_freezes_on() {
    let mut bench = bench();
    let task = bench.fork("web/vcpu0", None);
    bench.run(&[attach("f:/a", task), state("f:/a", "FROZEN")]);
    assert_eq!(bench.run(&[unmount("f")]).0, []);
    assert!(bench.framework.is_to_be_held(task));
    bench.run(&[mount("f", &["freezer"])]);
    assert_eq!(files(&bench, "f:/a"), "FREEZING 1 0 frozen 0");
}

#[test]
fn only_a_living_vcpu_whose_group_is_freezing_is_to_be_held() {
    let mut bench = bench();
    let names = ["web/vcpu0", "web/io", "db/vcpu0"];
    let tasks = names.map(|name| bench.fork(name, None));
    let places = ["f:/a/b", "f:/a", "f:/c"].into_iter().zip(tasks);
    let moves: Vec<Command> = places.map(|(path, task)| attach(path, task)).collect();
    bench.run(&moves);
    let held = |bench: &Bench| tasks.map(|task| bench.framework.is_to_be_held(task));
    assert_eq!(held(&bench), [false, false, false]);
    bench.run(&[state("f:/a", "FROZEN")]);
    assert_eq!(held(&bench), [true, false, false]);
    // What it does about that is another matter.
    bench.framework.note_held(tasks[0], true).unwrap();
    assert_eq!(held(&bench), [true, false, false]);
    bench.run(&[state("f:/c", "FROZEN"), exit(tasks[0])]);
    assert_eq!(held(&bench), [false, false, true]);
    bench.run(&[state("f:/c", "THAWED")]);
    assert_eq!(held(&bench), [false, false, false]);
}
