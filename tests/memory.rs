//! Memory: what a guest touches is its group's, as the kernel has it; what a group may not have is not let begin.

mod support;

use std::fs;

use management::Report;
use support::serve::Serve;
use support::{Run, Scratch, kvm, pinfold};

const MIB: u64 = 1 << 20;

/// What a process has of its own, apart from its guest's, may differ between two of them by this much.
const OWN: u64 = MIB;

/// Two machines that differ in what their guests touch, under one limit.
const TWO: &str = r#"
[hierarchy.m]
subsystems = ["memory"]
[group."m:/both"]
files = { "memory.limit_in_bytes" = "128M" }
[group."m:/both/busy"]
[group."m:/both/idle"]
[group."m:/other"]

[vm.busy]
memory = "32M"
vcpus = 1
guest = { tiny = ["touch 4M", "touch 8M", "print ready", "halt"] }
groups = ["m:/both/busy"]
[vm.idle]
memory = "32M"
vcpus = 1
guest = { tiny = ["print ready", "halt"] }
groups = ["m:/both/idle"]
"#;

fn both_ready() -> Run {
    let mut run = Run::start(TWO);
    run.line("busy | vcpu0: ready");
    run.line("idle | vcpu0: ready");
    run.all_running();
    run
}

fn figure(run: &mut Run, group: &str, file: &str) -> u64 {
    let text = run.file(group, &format!("memory.{file}"));
    text.parse().expect("a number")
}

fn usage(run: &mut Run, group: &str) -> u64 {
    figure(run, group, "usage_in_bytes")
}

/// `RssAnon` of a process.
fn kernels(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    let kib: u64 = kib.and_then(|kib| kib.parse().ok()).expect("a size");
    kib * 1024
}

fn pid(report: &Report, machine: &str) -> u32 {
    let found = report.machines.iter().find(|row| row.name == machine);
    found.expect("is known").pid
}

#[test]
fn what_a_guest_touches_is_its_groups_usage_and_the_kernels_figure() {
    if !kvm() {
        return;
    }
    let mut run = both_ready();
    let (busy, idle) = (
        usage(&mut run, "m:/both/busy"),
        usage(&mut run, "m:/both/idle"),
    );
    let more = busy - idle;
    assert!(more.abs_diff(8 * MIB) < OWN, "{more} bytes more");
    let both = usage(&mut run, "m:/both");
    assert!(
        both.abs_diff(busy + idle) < OWN,
        "{both} of {busy} and {idle}"
    );
    assert_eq!(usage(&mut run, "m:/other"), 0);
    let report = run.report();
    let kernels = kernels(pid(&report, "busy"));
    assert!(busy.abs_diff(kernels) < OWN / 4, "{busy}, not {kernels}");
    let row = report
        .machines
        .iter()
        .find(|row| row.name == "busy")
        .unwrap();
    assert!(row.resident_bytes.unwrap().abs_diff(busy) < OWN / 4);
    assert_eq!(row.committed_bytes, Some(40 * MIB));
    assert_eq!(figure(&mut run, "m:/both", "committed_bytes"), 80 * MIB);
    let highest = figure(&mut run, "m:/both/busy", "max_usage_in_bytes");
    assert!(highest >= usage(&mut run, "m:/both/busy") - OWN / 4);
    run.must("vm stop --force busy");
    run.must("vm stop --force idle");
    run.end();
}

#[test]
fn memory_moves_with_control_and_goes_with_its_machine() {
    if !kvm() {
        return;
    }
    let mut run = both_ready();
    run.must("group attach m:/other busy/vcpu0");
    assert_eq!(usage(&mut run, "m:/other"), 0, "a vCPU carries none");
    run.must("group attach m:/other busy/control");
    assert_eq!(usage(&mut run, "m:/both/busy"), 0);
    assert!(usage(&mut run, "m:/other") > 8 * MIB);
    assert_eq!(figure(&mut run, "m:/both", "committed_bytes"), 40 * MIB);
    // It left its mark, and a limit below what is committed cannot hold.
    assert!(figure(&mut run, "m:/both/busy", "max_usage_in_bytes") > 8 * MIB);
    run.must_refuse("group set m:/other memory.limit_in_bytes 39M", "EBUSY");
    run.must("group set m:/both memory.limit_in_bytes 79M");
    run.must_refuse("group attach m:/both/idle busy/control", "ENOMEM");
    assert_eq!(figure(&mut run, "m:/both", "failcnt"), 1);
    assert_eq!(figure(&mut run, "m:/both/idle", "failcnt"), 0);
    run.must("group set m:/both memory.limit_in_bytes 80M");
    run.must("group attach m:/both/idle busy/control");
    run.must("vm stop --force busy");
    run.line("busy has ended");
    run.report_where("its tasks have exited", |report| {
        let mut tasks = report.tasks.iter();
        tasks.all(|task| task.machine != "busy" || !task.alive)
    });
    assert_eq!(figure(&mut run, "m:/both", "committed_bytes"), 40 * MIB);
    assert!(usage(&mut run, "m:/both") < 8 * MIB);
    run.must("vm stop --force idle");
    run.end();
}

#[test]
fn a_run_whose_machines_would_pass_a_limit_is_refused_whole_with_its_line() {
    let scratch = Scratch::new();
    let spec = TWO.replace("128M", "79M");
    let file = scratch.file("s.toml", &spec).display().to_string();
    let (code, out, err) = pinfold(&scratch, &["run", &file]);
    assert_eq!((code, &*out), (Some(2), ""), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
    for part in [
        "s.toml:15: task idle/control",
        "82837504 of m:/both ",
        "41943040",
        "(ENOMEM)",
    ] {
        assert!(err.contains(part), "{part:?} is not in {err}");
    }
}

/// The machine's own processes, and the one that is kept ready.
fn processes(serve: &Serve) -> usize {
    let pid = serve.pid();
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it lives");
    let children = tasks.map_while(Result::ok).map(|task| {
        let children = fs::read_to_string(task.path().join("children"));
        children.unwrap_or_default().split_whitespace().count()
    });
    children.sum()
}

#[test]
fn machines_share_a_limit_and_one_too_many_is_refused_before_it_has_a_process() {
    if !kvm() {
        return;
    }
    let serve = Serve::start();
    serve.must(&["hierarchy", "mount", "m", "memory"]);
    serve.must(&["group", "mkdir", "m:/a"]);
    let limit = "memory.limit_in_bytes";
    serve.must(&["group", "set", "m:/a", limit, "60M"]);
    let file = |name: &str| {
        let text = format!(
            "[vm.{name}]\nmemory = \"16M\"\nvcpus = 1\nguest = {{ tiny = [\"halt\"] }}\ngroups = [\"m:/a\"]\n"
        );
        serve.file(&format!("{name}.toml"), &text)
    };
    let read = |file: &str| {
        let text = serve.must(&["group", "get", "m:/a", &format!("memory.{file}")]);
        text.trim().parse::<u64>().expect("a number")
    };
    serve.must(&["vm", "create", &file("one")]);
    serve.must(&["vm", "create", &file("two")]);
    serve.machine_is("one", "running");
    serve.machine_is("two", "running");
    assert_eq!(read("committed_bytes"), 48 * MIB);
    let before = serve.report();
    serve.must_refuse(&["vm", "create", &file("three")], "ENOMEM");
    assert_eq!(read("failcnt"), 1);
    // Its two machines, and at most the one that waits for a third.
    assert!(processes(&serve) <= 3, "{} processes", processes(&serve));
    let after = serve.report();
    assert_eq!(after.machines.len(), 2);
    assert_eq!(
        after.events.len(),
        before.events.len(),
        "nothing has happened"
    );

    // What a trial finds out is not counted.
    let control = ["group", "attach", "m:/a", "one/control", "--dry-run"];
    serve.must(&control);
    assert_eq!(read("failcnt"), 1);
    serve.must_refuse(&["group", "set", "m:/a", limit, "47M"], "EBUSY");
    serve.must_refuse(&["group", "set", "m:/", limit, "1G"], "EINVAL");
    serve.must(&["group", "set", "m:/a", limit, "72M"]);
    serve.must(&["vm", "create", &file("three")]);
    serve.machine_is("three", "running");

    // An ended one gives its place up, and has to find one when it is started again.
    serve.must(&["vm", "stop", "--force", "--wait", "one"]);
    serve.must(&["vm", "create", &file("four")]);
    serve.machine_is("four", "running");
    let ended = serve.cli(&["vm", "start", "one"]);
    assert!(
        ended.0 == Some(2) && ended.2.contains("ENOMEM"),
        "{ended:?}"
    );
    assert_eq!(read("failcnt"), 2);
    serve.must(&["group", "set", "m:/a", "memory.failcnt", "0"]);
    assert_eq!(read("failcnt"), 0);
}
