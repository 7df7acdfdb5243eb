//! `pinfold events`, `top`, `agent`, `completion` and `man`.

use crate::support::kvm;
use crate::support::serve::{Serve, to_end};
use crate::{WEB, placed};

/// The numbers of events as `pinfold events` prints them.
fn numbers(lines: &str) -> Vec<u64> {
    let number = |line: &str| {
        let word = line.split_whitespace().next()?;
        word.strip_prefix('#')?.parse().ok()
    };
    let numbers = lines.lines().map(number);
    numbers.map(|number| number.expect("a number")).collect()
}

#[test]
fn events_are_numbered_without_holes_and_resumed_where_one_left_off() {
    if !kvm() {
        return;
    }
    let serve = Serve::start();
    let mut follows = serve.follow(&["events", "--follow", "--since", "0"]);
    serve.must(&["hierarchy", "mount", "p"]);
    for group in ["p:/a", "p:/b"] {
        serve.must(&["group", "mkdir", group]);
        serve.must(&["group", "set", group, "notify_on_release", "1"]);
    }
    let vm =
        "[vm.m]\nmemory = \"16M\"\nvcpus = 1\ngroups = [\"p:/a\"]\nguest = { tiny = [\"exit\"] }\n";
    serve.must(&["vm", "create", &serve.file("m.toml", vm)]);
    serve.must(&["vm", "wait", "m"]);
    let released = follows.line("p:/a released");
    let number = numbers(&released)[0];
    serve.hears("released");

    let all = numbers(&serve.must(&["events"]));
    let expected: Vec<u64> = (1..=all.len() as u64).collect();
    assert_eq!(all, expected, "without holes");
    let since = number.to_string();
    let later = numbers(&serve.must(&["events", "--since", &since]));
    assert_eq!(later, all[number as usize..], "only those after it");
    // The same, by the number that JSON shows.
    let json = serve.must(&["events", "--json"]);
    let event = json.lines().nth(number as usize - 1).expect("an event");
    let event: serde_json::Value = serde_json::from_str(event).expect("JSON");
    assert_eq!(event["kind"], "released");
    let id = event["id"].as_str().expect("an id").to_owned();
    assert_eq!(numbers(&serve.must(&["events", "--since", &id])), later);

    // A follower that comes back with its number gets what came meanwhile, and what comes.
    drop(follows);
    serve.must(&["vm", "rm", "m"]);
    let mut resumed = serve.follow(&["events", "--follow", "--since", &id]);
    resumed.line("m is forgotten");
    let first = resumed.seen().first().map(|line| numbers(line)[0]);
    assert_eq!(first, Some(number + 1));
    serve.must(&["vm", "create", &serve.file("m.toml", vm)]);
    let next = numbers(&resumed.line("p:/a released"))[0];
    let seen = numbers(&resumed.seen().join("\n"));
    assert_eq!(seen, (number + 1..=next).collect::<Vec<_>>());
    // A number of another life of the supervisor is told as a gap.
    let (code, out, err) = serve.cli(&["events", "--since", "1.1"]);
    assert!(
        code == Some(0) && out.contains("nobody knows how many events are lost"),
        "{out} {err}"
    );
    serve.must_refuse(&["events", "--since", "soon"], "EINVAL");
}

#[test]
fn top_prints_a_frame_of_what_the_supervisor_has() {
    if !kvm() {
        return;
    }
    let Some((cpu, _)) = crate::two_cpus() else {
        return;
    };
    let serve = placed(cpu);
    serve.must(&["vm", "create", &serve.file("web.toml", WEB)]);
    serve.machine_is("web", "running");
    let mut top = serve.command(&["top", "--once"]);
    top.env("COLUMNS", "120").env("LINES", "40");
    let (code, out, err) = to_end(top);
    assert_eq!((code, &*err), (Some(0), ""));
    for shown in ["gold", "web", "running"] {
        assert!(out.contains(shown), "{shown}: {out}");
    }
}

#[test]
fn a_guest_is_asked_through_the_supervisor() {
    if !kvm() {
        return;
    }
    let serve = Serve::start();
    let web = WEB
        .replace("\"placement:/gold\"", "")
        .replace("\"vcpu1: halt\"", "\"vcpu1: exit\"");
    serve.must(&["vm", "create", &serve.file("web.toml", &web)]);
    serve.hears("agent_ready");
    let ping = serve.must(&["agent", "ping", "web"]);
    assert!(ping.starts_with("answered in "), "{ping}");
    let info = serve.must(&["agent", "info", "web"]);
    assert!(info.contains("2 vCPUs, up "), "{info}");
    serve.must_refuse(&["agent", "ping", "db"], "db");
    let dumb = "[vm.dumb]\nmemory = \"16M\"\nvcpus = 1\nguest = { tiny = [\"halt\"] }\n";
    serve.must(&["vm", "create", &serve.file("dumb.toml", dumb)]);
    serve.machine_is("dumb", "running");
    serve.must_refuse(&["agent", "ping", "dumb"], "dumb");
    let shutdown = serve.must(&["agent", "shutdown", "web"]);
    assert_eq!(shutdown, "the guest is ending\n");
    assert_eq!(serve.must(&["vm", "wait", "web"]), "exit 0\n");
    serve.must_refuse(&["agent", "ping", "web"], "web");
}

#[test]
fn every_shell_has_completions_and_every_verb_a_page() {
    // No supervisor is asked, and no KVM.
    let scratch = crate::support::Scratch::new();
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = crate::support::pinfold(&scratch, &["completion", shell]);
        assert!(code == Some(0) && out.contains("hierarchy"), "{shell}");
    }
    let directory = scratch.path().join("man1");
    let shown = directory.to_str().expect("UTF-8");
    let (code, _, err) = crate::support::pinfold(&scratch, &["man", shown]);
    assert_eq!(code, Some(0), "{err}");
    for verb in [
        "run",
        "serve",
        "apply",
        "vm-stop",
        "hierarchy-mount",
        "group-clone",
        "events",
        "top",
        "agent",
    ] {
        let page = directory.join(format!("pinfold-{verb}.1"));
        let page = std::fs::read_to_string(&page).unwrap_or_else(|error| panic!("{verb}: {error}"));
        assert!(page.contains("Examples"), "{verb}");
    }
}

#[test]
fn what_kvm_counts_of_a_vcpu_is_in_the_report_and_the_metrics_to_the_end() {
    if !kvm() {
        return;
    }
    let serve = Serve::start();
    let guest = "guest = { tiny = [\"print born\", \"exit\"] }\n";
    let vm = format!("[vm.m]\nmemory = \"4M\"\nvcpus = 1\n{guest}");
    serve.must(&["vm", "create", &serve.file("m.toml", &vm)]);
    serve.must(&["vm", "wait", "m"]);
    let report = serve.machine_is("m", "ended");
    let exits = |name: &str| {
        let task = report.tasks.iter().find(|task| task.name == name);
        task.expect("a task").exits
    };
    assert_eq!((exits("m/io"), exits("m/control")), (None, None));
    let Some(exits) = exits("m/vcpu0") else {
        eprintln!("SKIPPED: this KVM has no binary statistics");
        return;
    };
    // Each byte that it printed, and its last word.
    assert!(exits >= 6, "{exits}");
    let answer = serve.client().get("/metrics").expect("metrics");
    let metrics = answer.text();
    for line in [
        format!("pinfold_machine_exits_total{{machine=\"m\"}} {exits}\n"),
        "pinfold_task_exits_total{task=\"m/vcpu0\",machine=\"m\",kind=\"vcpu\",".into(),
        "pinfold_task_halt_poll_success_seconds_total{task=\"m/vcpu0\",".into(),
        "pinfold_machine_halt_poll_fail_seconds_total{machine=\"m\"} ".into(),
    ] {
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
}
