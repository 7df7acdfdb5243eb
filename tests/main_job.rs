//! The main job: the example of the README, run as a user runs it.

mod support;

use std::path::Path;
use std::process::{Command, Stdio};

use management::Report;
use support::{PINFOLD, Scratch, kvm, pinfold, task, two_cpus};

fn example(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples")
        .join(name)
        .display()
        .to_string()
}

#[test]
fn the_example_places_runs_releases_bills_and_ends_well() {
    let (true, Some(_)) = (kvm(), two_cpus()) else {
        return;
    };
    let scratch = Scratch::new();
    let report = scratch.path().join("report.json");
    let report_name = report.display().to_string();
    let spec = example("two-groups.toml");
    let arguments = ["run", &spec, "--report", &report_name, "--timeout", "60"];
    let (code, out, err) = pinfold(&scratch, &arguments);
    assert_eq!(code, Some(0), "{out}\n{err}");
    let json = std::fs::read_to_string(report).expect("a report");
    let report: Report = serde_json::from_str(&json).expect("a report of the documented shape");

    // Two hierarchies, two machines of two vCPUs, and every thread of theirs in a group of each.
    let roots = report
        .groups
        .iter()
        .filter(|group| group.depth == 0)
        .count();
    assert_eq!((roots, report.machines.len()), (2, 2));
    for machine in &report.machines {
        assert_eq!(machine.end.as_deref(), Some("exit 0"), "{}", machine.name);
        for thread in ["vcpu0", "vcpu1", "io", "control", "kvm0"] {
            let task = task(&report, &format!("{}/{thread}", machine.name));
            assert_eq!(task.groups.len(), 2, "{}", task.name);
            assert!(task.usage_ns > 0, "{} used nothing", task.name);
        }
    }
    // Each vCPU has spoken, releases were made and told to the agent, and the tree and the bill shown.
    for line in [
        "web | vcpu0:",
        "web | vcpu1:",
        "db | vcpu0:",
        "db | vcpu1:",
        "release agent for",
        // The guest's own group: made, filled, released while the guest runs, and printed by it.
        "web has its agent ready",
        "ok mkdir placement:/mine ; attach vcpu1 placement:/mine",
        "placement:/gold/web/mine released",
        "released placement:/mine",
    ] {
        assert!(out.contains(line), "{line:?} is not in {out}");
    }
    assert!(
        out.contains("placement:/") && out.contains("cpus 0"),
        "no tree: {out}"
    );
    assert!(out.contains("process clock"), "no bill: {out}");
    assert!(
        report.events.iter().any(|event| event.kind == "released"),
        "{:?}",
        report.events
    );
    assert_eq!(report.ledger.groups_ns, report.ledger.tasks_ns);
    assert!(report.idle);
}

#[test]
fn private_runs_stand_beside_one_another() {
    if !kvm() {
        return;
    }
    let scratch = Scratch::new();
    let spec = example("one-vm.toml");
    let start = || {
        Command::new(PINFOLD)
            .args(["run", &spec, "--timeout", "60"])
            .env("XDG_RUNTIME_DIR", scratch.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the program starts")
    };
    let mut runs = [start(), start(), start()];
    for run in &mut runs {
        assert_eq!(run.wait().expect("our child").code(), Some(0));
    }
}

#[test]
fn a_host_owned_by_a_serve_refuses_private_runs() {
    if !kvm() {
        return;
    }
    let scratch = Scratch::new();
    let lock = std::fs::File::create(scratch.path().join("pinfold.lock")).expect("a lock file");
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        .expect("the lock");
    let (code, _, err) = pinfold(&scratch, &["run", &example("one-vm.toml")]);
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("owns this host"), "{err}");
}

#[test]
fn doctor_passes_a_host_and_a_spec_that_would_run_and_names_what_would_not() {
    if !kvm() {
        return;
    }
    let scratch = Scratch::new();
    let (code, out, err) = pinfold(&scratch, &["doctor", &example("one-vm.toml")]);
    assert_eq!(code, Some(0), "{out}{err}");
    let bad = scratch.file(
        "bad.toml",
        "[vm.m]\nmemory = \"16M\"\nvcpus = 0\nguest = { tiny = [] }\n",
    );
    let (code, out, _) = pinfold(&scratch, &["doctor", bad.to_str().expect("utf-8")]);
    assert_eq!(code, Some(2), "{out}");
    assert!(out.contains("0 vCPUs"), "{out}");
    let (code, out, _) = pinfold(&scratch, &["doctor", "--json"]);
    let facts: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert!(code == Some(0) && facts.is_object(), "{out}");
}
