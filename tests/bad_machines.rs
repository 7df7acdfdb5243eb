//! A machine process that dies, hangs or lies is reported and contained.

mod support;

use std::path::PathBuf;

use support::kernel::assert_all_pinned;
use support::{Run, kvm};

/// The lying machine program, which cargo builds as an example beside the tests.
fn liar() -> PathBuf {
    let mut path = std::env::current_exe().expect("a test has a path");
    path.pop(); // deps
    path.pop();
    path.push("examples/liar");
    assert!(path.exists(), "{} is not built", path.display());
    path
}

#[test]
fn each_lie_is_found_out_and_named() {
    if !kvm() {
        return;
    }
    let lies = [
        ("garbage", "undecodable"),
        ("huge", "did not fit"),
        ("version", "link version 4, not 3"),
        ("stranger", "does not have"),
        ("parent", "one thread announced twice"),
        ("few", "vcpu0 is missing"),
        ("unborn", "neither Born nor Failed"),
        ("steals", "neither Born nor Failed"),
        ("agent", "an agent's stream, of a machine without an agent"),
        ("smuggler", "an uninvited descriptor"),
        ("exits", "exit 3 without a word"),
    ];
    let mut spec = String::new();
    for (lie, _) in lies {
        spec += &format!(
            "[vm.\"{lie}.x\"]\nmemory = \"16M\"\nvcpus = 1\nguest = {{ tiny = [\"exit\"] }}\n"
        );
    }
    let liar = liar();
    let run = Run::start_with(&spec, &["--machine-program", liar.to_str().expect("utf-8")]);
    let ended = run.end();
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    for (lie, rule) in lies {
        let machine = ended
            .report
            .machines
            .iter()
            .find(|machine| machine.name == format!("{lie}.x"));
        let end = machine
            .and_then(|machine| machine.end.clone())
            .unwrap_or_default();
        assert!(end.contains(rule), "{lie}: {end:?} does not say {rule:?}");
    }
    assert!(
        ended.report.tasks.is_empty(),
        "a liar's threads are nobody's: {:?}",
        ended.report.tasks
    );
}

const SPEC: &str = r#"
[hierarchy.placement]
subsystems = ["cpuset"]
[hierarchy.billing]
subsystems = ["cpuacct"]
[group."placement:/pen"]
notify_on_release = true
[group."billing:/bad"]
notify_on_release = true
[group."billing:/good"]

[vm.bad]
memory = "16M"
vcpus = 1
guest = { tiny = ["print up", "forever"] }
groups = ["placement:/pen", "billing:/bad"]

[vm.good]
memory = "16M"
vcpus = 1
guest = { tiny = ["print up", "halt"] }
groups = ["billing:/good"]
"#;

fn machine(report: &management::Report, name: &str) -> management::Machine {
    report
        .machines
        .iter()
        .find(|machine| machine.name == name)
        .expect("named")
        .clone()
}

#[test]
fn a_machine_killed_from_outside_releases_its_groups_and_leaves_its_neighbour_alone() {
    if !kvm() {
        return;
    }
    let mut run = Run::start(SPEC);
    run.line("bad | vcpu0: up");
    run.line("good | vcpu0: up");
    let bad = machine(&run.report(), "bad");
    host::Process::open(bad.pid)
        .and_then(|process| process.kill())
        .expect("a machine of our own run");
    run.line("bad has ended: signal 9");
    let report = run.report();
    let released: Vec<_> = report
        .events
        .iter()
        .filter(|event| event.kind == "released")
        .collect();
    assert_eq!(released.len(), 2, "{released:?}");
    assert_eq!(machine(&report, "good").state, "running");
    run.must("group mkdir placement:/next ; group set placement:/next cpuset.mems 0");
    assert_all_pinned(&mut run);
    run.must("vm stop good");
    let ended = run.end();
    assert_eq!(
        machine(&ended.report, "good").end.as_deref(),
        Some("stopped")
    );
}

#[test]
fn a_stopped_machine_is_reported_and_its_neighbour_still_answered() {
    if !kvm() {
        return;
    }
    let mut run = Run::start(SPEC);
    run.line("bad | vcpu0: up");
    run.line("good | vcpu0: up");
    let bad = machine(&run.report(), "bad");
    let process = host::Process::open(bad.pid).expect("a machine of our own run");
    process.signal(host::Signal::STOP).expect("stopped");
    // While it stands still, the neighbour is moved, and even the stopped one is: nothing waits for it.
    for _ in 0..50 {
        run.must("group attach billing:/bad good/vcpu0");
        run.must("group attach billing:/good good/vcpu0");
        run.must("group attach billing:/good bad/vcpu0");
        run.must("group attach billing:/bad bad/vcpu0");
    }
    run.line("bad does not answer its supervisor");
    process.signal(host::Signal::CONT).expect("continued");
    run.line("bad answers again");
    run.must("vm stop --force bad");
    run.must("vm stop --force good");
    run.end();
}

#[test]
fn a_mute_machine_and_one_that_lives_on_after_its_end_are_given_up_after_a_bounded_time() {
    if !kvm() {
        return;
    }
    let vm = |name: &str| {
        format!("[vm.\"{name}.x\"]\nmemory = \"16M\"\nvcpus = 1\nguest = {{ tiny = [\"exit\"] }}\n")
    };
    let liar = liar();
    let spec = vm("mute") + &vm("undead");
    let mut run = Run::start_with(&spec, &["--machine-program", liar.to_str().expect("utf-8")]);
    run.line("mute.x: did not announce its threads in time");
    run.line("undead.x: could not be built: no will to live: was to end and lived on");
    assert_eq!(run.end().code, Some(1));
}

#[test]
fn a_machine_that_does_not_hold_its_vcpu_or_says_so_and_does_not_is_killed() {
    if !kvm() {
        return;
    }
    let mut spec =
        String::from("[hierarchy.state]\nsubsystems = [\"freezer\"]\n[group.\"state:/a\"]\n");
    for lie in ["unheld", "runs-on"] {
        spec += &format!(
            "[vm.\"{lie}.x\"]\nmemory = \"16M\"\nvcpus = 1\nguest = {{ tiny = [\"exit\"] }}\n\
             groups = [\"state:/a\"]\n"
        );
    }
    let liar = liar();
    let mut run = Run::start_with(&spec, &["--machine-program", liar.to_str().expect("utf-8")]);
    run.all_running();
    run.must("group set state:/a freezer.state FROZEN");
    run.line("unheld.x: did not leave its guest in time");
    run.line("runs-on.x: runs vcpu0, which it says is out of its guest");
    let ended = run.end();
    assert_eq!(ended.code, Some(1));
    let frozen = ended
        .report
        .events
        .iter()
        .any(|event| event.text == "state:/a frozen");
    assert!(frozen, "both are gone, and nobody is left to run");
}

#[test]
fn the_time_limit_kills_what_still_runs_and_is_a_failure() {
    if !kvm() {
        return;
    }
    let ended = Run::start_with(SPEC, &["--timeout", "1"]).end();
    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stderr.contains("the time limit has passed"),
        "{}",
        ended.stderr
    );
}
