//! `pinfold vm`.

use std::thread;
use std::time::Duration;

use crate::placed;
use crate::support::kernel::assert_pinned;
use crate::support::serve::Serve;
use crate::support::{kvm, two_cpus};

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
fn a_followed_log_ends_with_its_machine_and_goes_on_over_a_restart() {
    if !kvm() {
        return;
    }
    let serve = Serve::start();
    let script = ["print first", "sleep 200ms", "print second", "exit"];
    serve.must(&["vm", "create", &file(&serve, "m", &script, "")]);
    let mut log = serve.follow(&["vm", "log", "-f", "m"]);
    log.line("vcpu0: second");
    assert_eq!(log.code(), Some(0));
    let kept = serve.must(&["vm", "log", "m"]);
    assert!(
        kept.contains("vcpu0: first") && kept.contains("vcpu0: second"),
        "{kept}"
    );
    assert_eq!(serve.must(&["vm", "log", "-f", "m"]), kept, "it has ended");
    // The last that a guest writes is there, however short it lives.
    for _ in 0..5 {
        serve.cli(&["vm", "start", "m"]);
        let all = serve.must(&["vm", "log", "-f", "m"]);
        assert!(all.ends_with("vcpu0: second\n"), "{all}");
    }

    let again = file(
        &serve,
        "again",
        &["print life", "exit"],
        "restart = \"always\"",
    );
    serve.must(&["vm", "create", &again]);
    let mut log = serve.follow(&["vm", "log", "-f", "again"]);
    log.line("vcpu0: life");
    log.line("vcpu0: life");
    serve.report_where("it waits for its next restart", |report| {
        let mut machines = report.machines.iter();
        machines.any(|one| one.name == "again" && one.restarting)
    });
    serve.must(&["vm", "stop", "again"]);
    assert_eq!(log.code(), Some(0), "called off");
}

#[test]
fn a_create_says_what_it_would_do_and_waits_until_the_guest_runs() {
    let Some((cpu, _)) = kvm().then(two_cpus).flatten() else {
        return;
    };
    let serve = placed(cpu);
    let in_gold = "groups = [\"placement:/gold\"]";
    let spec = file(&serve, "m", &["halt"], in_gold);
    let would = serve.must(&["vm", "create", &spec, "--dry-run"]);
    let expected = ["vcpu0", "io", "control"]
        .map(|kind| format!("would place m/{kind} in placement:/gold, on CPUs {cpu}\n"))
        .concat();
    assert_eq!(
        would,
        format!("{expected}would start m\nnothing was changed\n")
    );
    let json = serve.json(&["vm", "create", &spec, "--dry-run", "--json"]);
    assert_eq!(json["births"][0]["groups"][0], "placement:/gold", "{json}");
    assert_eq!(serve.must(&["vm", "ls"]), "");

    let made = serve.json(&["vm", "create", &spec, "--json"]);
    assert_eq!(
        (&made["name"], &made["state"]),
        (&"m".into(), &"running".into())
    );
    serve.must_refuse(&["vm", "create", &spec, "--dry-run"], "EEXIST");
    serve.must(&["vm", "stop", "--wait", "m"]);
    serve.must(&["vm", "rm", "m"]);

    serve.must(&[
        "group",
        "set",
        "placement:/gold",
        "cpuset.placement",
        "one-to-one",
    ]);
    let two = file(&serve, "m", &["halt"], in_gold);
    let text = std::fs::read_to_string(&two).expect("our file");
    let two = serve.file("m.toml", &text.replace("vcpus = 1", "vcpus = 2"));
    serve.must_refuse(&["vm", "create", &two, "--dry-run"], "m/vcpu1");
    serve.must_refuse(&["vm", "create", &two], "m/vcpu1");

    let nowhere = "vsock = { path = \"/proc/v.sock\" }";
    let bad = file(&serve, "bad", &["halt"], nowhere);
    let (code, _, err) = serve.cli(&["vm", "create", &bad]);
    assert!(
        code == Some(1) && err.contains("could not be built"),
        "{err}"
    );
    serve.must(&["vm", "rm", "bad"]);
    let at_once = serve.json(&["vm", "create", &bad, "--no-wait", "--json"]);
    assert_eq!(at_once["name"], "bad");
}

#[test]
fn a_machine_that_was_moved_is_started_again_where_it_was_moved() {
    let Some((one, other)) = kvm().then(two_cpus).flatten() else {
        return;
    };
    let serve = placed(one);
    let other = other.to_string();
    serve.must(&["group", "mkdir", "placement:/silver"]);
    serve.must(&["group", "set", "placement:/silver", "cpuset.cpus", &other]);
    serve.must(&["group", "set", "placement:/silver", "cpuset.mems", "0"]);
    let spec = file(&serve, "m", &["halt"], "groups = [\"placement:/gold\"]");
    serve.must(&["vm", "create", &spec]);
    serve.must(&["group", "attach", "placement:/silver", "m/vcpu0"]);
    serve.must(&["group", "rename", "placement:/silver", "platinum"]);
    serve.must(&["vm", "stop", "--wait", "m"]);
    serve.must(&["vm", "start", "m"]);
    let report = serve.machine_is("m", "running");
    assert_pinned(&report);
    let cpus = |kind: &str| {
        let mut tasks = report.tasks.iter();
        let task = tasks.find(|task| task.alive && task.name == format!("m/{kind}"));
        task.expect("a living task").requested_cpus.clone()
    };
    assert_eq!(cpus("vcpu0"), other);
    assert_eq!(cpus("io"), one.to_string());
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
