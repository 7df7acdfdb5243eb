//! `pinfold vm`.

use std::thread;
use std::time::Duration;

use crate::support::kvm;
use crate::support::serve::Serve;

/// A file with one machine of one vCPU.
fn file(serve: &Serve, name: &str, script: &[&str], more: &str) -> String {
    let text = format!(
        "[vm.{name}]\nmemory = \"16M\"\nvcpus = 1\nguest = {{ tiny = {script:?} }}\n{more}\n"
    );
    serve.file(&format!("{name}.toml"), &text)
}

#[test]
fn a_machine_goes_through_its_life_by_the_verbs() {
    if !kvm() {
        return;
    }
    let serve = Serve::start();
    assert_eq!(serve.must(&["vm", "ls"]), "");
    let halts = file(&serve, "m", &["print born", "halt"], "");
    assert_eq!(serve.must(&["vm", "create", &halts]), "");
    serve.machine_is("m", "running");
    serve.must_refuse(&["vm", "create", &halts], "EEXIST");
    serve.must_refuse(&["vm", "rm", "m"], "EBUSY");
    serve.must(&["vm", "start", "m"]);
    let shown = serve.must(&["vm", "show", "m"]);
    assert!(
        shown.contains("m/vcpu0") && shown.contains("running"),
        "{shown}"
    );
    assert_eq!(
        serve.json(&["vm", "show", "m", "--json"])["state"],
        "running"
    );

    serve.must(&["vm", "pause", "m"]);
    assert_eq!(serve.json(&["vm", "ls", "--json"])[0]["state"], "paused");
    serve.must(&["vm", "pause", "m"]);
    serve.must(&["vm", "resume", "m"]);
    assert_eq!(serve.json(&["vm", "ls", "--json"])[0]["state"], "running");

    let mut waits = serve.follow(&["vm", "wait", "m"]);
    serve.must(&["vm", "stop", "--wait", "m"]);
    assert_eq!(waits.line("stopped"), "stopped");
    assert_eq!(waits.code(), Some(1), "it is not exit 0");
    assert!(serve.must(&["vm", "ls"]).contains("ended"));
    serve.must(&["vm", "stop", "m"]);
    serve.must_refuse(&["vm", "resume", "m"], "`pinfold vm start m`");
    serve.must_refuse(&["vm", "pause", "m"], "ESRCH");

    serve.must(&["vm", "start", "m"]);
    serve.machine_is("m", "running");
    serve.must(&["vm", "stop", "--force", "--wait", "m"]);
    let (code, out, _) = serve.cli(&["vm", "wait", "m"]);
    assert!(code == Some(1) && out.contains("killed"), "{out}");
    serve.must(&["vm", "rm", "m"]);
    assert_eq!(serve.json(&["vm", "ls", "--json"]), serde_json::json!([]));
    for verb in [
        "show", "start", "pause", "resume", "stop", "wait", "log", "rm",
    ] {
        serve.must_refuse(&["vm", verb, "m"], "there is no machine m");
    }
}

#[test]
fn waiting_says_how_a_guest_ended() {
    if !kvm() {
        return;
    }
    let serve = Serve::start();
    for (name, script, code, end) in [
        ("well", "exit", 0, "exit 0\n"),
        ("three", "exit 3", 1, "exit 3\n"),
        ("later", "sleep 300ms", 0, "exit 0\n"),
    ] {
        serve.must(&["vm", "create", &file(&serve, name, &[script], "")]);
        let (found, out, err) = serve.cli(&["vm", "wait", name]);
        assert_eq!((found, &*out, &*err), (Some(code), end, ""));
    }
    // One that ends at once has been started; one that fails at once has not stayed.
    serve.must(&["vm", "start", "well"]);
    serve.machine_is("three", "ended");
    let (code, _, err) = serve.cli(&["vm", "start", "three"]);
    let quick = code == Some(1) && err == "pinfold: machine three has ended: exit 3\n";
    assert!(quick || code == Some(0), "{code:?} {err}");
}

#[test]
fn a_log_is_kept_and_followed_into_the_next_life() {
    if !kvm() {
        return;
    }
    let serve = Serve::start();
    let script = ["print first", "sleep 200ms", "print second", "exit"];
    serve.must(&["vm", "create", &file(&serve, "m", &script, "")]);
    let mut log = serve.follow(&["vm", "log", "-f", "m"]);
    log.line("vcpu0: second");
    serve.must(&["vm", "wait", "m"]);
    let kept = serve.must(&["vm", "log", "m"]);
    assert!(
        kept.contains("vcpu0: first") && kept.contains("vcpu0: second"),
        "{kept}"
    );
    serve.must(&["vm", "start", "m"]);
    log.line("vcpu0: first");
    log.line("vcpu0: second");
}

#[test]
fn a_machine_that_fails_is_started_again_and_a_stop_calls_it_off() {
    if !kvm() {
        return;
    }
    let serve = Serve::start();
    let restart = |when: &str| format!("restart = \"{when}\"");
    let fails = file(&serve, "fails", &["exit 3"], &restart("on-failure"));
    let again = file(&serve, "again", &["exit"], &restart("always"));
    let well = file(&serve, "well", &["exit"], &restart("on-failure"));
    let once = file(&serve, "once", &["exit 3"], &restart("no"));
    for file in [&fails, &again, &well, &once] {
        serve.must(&["vm", "create", file]);
    }
    let count = |report: &management::Report, name: &str, kind: &str| {
        let events = report.events.iter();
        events
            .filter(|event| event.kind == kind && event.machine.as_deref() == Some(name))
            .count()
    };
    // Each of the two has ended twice, and waits 2 s for its third life.
    serve.report_where("both wait again", |report| {
        ["fails", "again"]
            .iter()
            .all(|name| count(report, name, "machine_restarting") == 2)
    });
    for name in ["fails", "again"] {
        serve.must(&["vm", "stop", name]);
    }
    let report = serve.report_where("both stay ended", |report| {
        ["fails", "again"]
            .iter()
            .all(|name| count(report, name, "machine_stays_ended") == 1)
    });
    for (name, lives) in [("fails", 2), ("again", 2), ("well", 1), ("once", 1)] {
        let found = count(&report, name, "machine_started");
        assert_eq!(found, lives, "{name}: {:#?}", report.events);
    }
    thread::sleep(Duration::from_millis(2_300));
    let later = serve.report();
    for name in ["fails", "again", "well", "once"] {
        let lives = |report| count(report, name, "machine_started");
        assert_eq!(lives(&later), lives(&report), "{name}");
    }
    // Told to end while it runs, a machine that always comes again does not.
    let stays = file(&serve, "stays", &["halt"], &restart("always"));
    serve.must(&["vm", "create", &stays]);
    serve.machine_is("stays", "running");
    serve.must(&["vm", "stop", "--wait", "stays"]);
    assert_eq!(count(&serve.report(), "stays", "machine_restarting"), 0);
    // Started by hand after it was called off, it has its policy again.
    let (code, _, _) = serve.cli(&["vm", "start", "fails"]);
    assert!(code.is_some());
    serve.report_where("its policy is in force again", |report| {
        count(report, "fails", "machine_restarting") == 3
    });
    serve.must(&["vm", "stop", "fails"]);
    serve.must(&["vm", "rm", "fails"]);
}

#[test]
fn a_machine_that_cannot_be_is_refused_and_not_there() {
    if !kvm() {
        return;
    }
    let serve = Serve::start();
    for (more, rule) in [
        ("groups = [\"placement:/silver\"]", "placement:/silver"),
        ("disks = []", "disks"),
        ("restart = \"sometimes\"", "sometimes"),
        ("[vm.other]", "one [vm.NAME] is expected"),
        ("vcpus = ", ":5"),
    ] {
        let file = file(&serve, "m", &["halt"], more);
        serve.must_refuse(&["vm", "create", &file], rule);
    }
    let (code, _, err) = serve.cli(&["vm", "create", "none.toml"]);
    assert!(code == Some(1) && err.contains("none.toml"), "{err}");
    assert_eq!(serve.must(&["vm", "ls"]), "");
}
