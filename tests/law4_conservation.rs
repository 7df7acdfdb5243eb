//! Law 4: Σ groups = Σ tasks to the nanosecond, and both against the kernel's clocks.

mod support;

use std::time::{Duration, Instant};

use management::{Machine, Report};
use support::{Run, kvm};

const SPEC: &str = r#"
[hierarchy.placement]
subsystems = ["cpuset"]
[hierarchy.billing]
subsystems = ["cpuacct"]
[group."placement:/pen"]
[group."billing:/a"]
[group."billing:/a/deep"]
[group."billing:/b"]
[group."billing:/gone"]

[vm.web]
memory = "64M"
vcpus = 2
guest = { tiny = ["print up", "vcpu0: burn 1500ms", "vcpu1: burn 700ms", "exit"] }
groups = ["placement:/pen", "billing:/a"]

[vm.victim]
memory = "128M"
vcpus = 2
guest = { tiny = ["print up", "forever"] }
groups = ["placement:/pen", "billing:/b"]
"#;

/// Own usage over all groups, those of removed ones included, and over all tasks, to the nanosecond.
fn assert_conserved(report: &Report) {
    let groups: u64 = report
        .groups
        .iter()
        .map(|group| group.own_usage_ns.unwrap_or(0) + group.removed_usage_ns.unwrap_or(0))
        .sum();
    let tasks: u64 = report.tasks.iter().map(|task| task.usage_ns).sum();
    assert_eq!(groups, tasks, "groups and tasks differ");
    assert_eq!(
        (report.ledger.groups_ns, report.ledger.tasks_ns),
        (groups, tasks)
    );
}

/// Never negative, and at most 5 ms and 80 µs a resident MiB.
fn assert_residual(machine: &Machine) {
    let residual = machine.residual_ns.expect("settled");
    let mib = machine
        .peak_resident_bytes
        .expect("settled")
        .div_ceil(1 << 20) as i64;
    println!(
        "{}: witness {} ns, residual {residual} ns, {mib} MiB resident at its peak",
        machine.name,
        machine.witness_ns.expect("settled")
    );
    assert!(
        residual >= 0,
        "{} is billed more than the kernel saw: {residual} ns",
        machine.name
    );
    assert!(
        residual <= 5_000_000 + 80_000 * mib,
        "{}: residual {residual} ns",
        machine.name
    );
}

#[test]
fn moves_exits_a_kill_and_a_rmdir_lose_nothing_and_bill_nothing_twice() {
    if !kvm() {
        return;
    }
    let mut run = Run::start(SPEC);
    run.line("web | vcpu0: up");
    run.line("victim | vcpu0: up");
    let groups = ["a", "a/deep", "b", "gone"];
    let tasks = [
        "web/vcpu0",
        "web/vcpu1",
        "victim/vcpu0",
        "victim/vcpu1",
        "web/io",
        "victim/control",
    ];
    for step in 0..120_usize {
        let (group, task) = (groups[step * 7 % 4], tasks[step * 5 % 6]);
        // A task may end meanwhile; that is part of the game.
        let answer = run.ask(&format!("group attach billing:/{group} {task}"));
        assert!(
            answer.starts_with("ok") || answer.contains("ESRCH"),
            "{answer}"
        );
        if step % 10 == 0 {
            assert_conserved(&run.report());
        }
    }
    for task in tasks {
        let _ = run.ask(&format!("group attach billing:/a {task}"));
    }
    run.must("group set billing:/a cpuacct.usage 0");
    run.must("group rmdir billing:/gone");
    assert_conserved(&run.report());

    let report = run.report();
    let victim = report
        .machines
        .iter()
        .find(|machine| machine.name == "victim")
        .unwrap();
    let process = host::Process::open(victim.pid).expect("the machine process of our own run");
    process.kill().expect("killed mid-burn");

    let ended = run.end();
    let report = &ended.report;
    assert_conserved(report);
    for machine in &report.machines {
        assert!(machine.witnessed);
        assert_residual(machine);
    }
    assert_eq!(
        report.machines[0].end.as_deref(),
        Some("exit 0"),
        "{report:#?}"
    );
    assert_eq!(report.machines[1].end.as_deref(), Some("signal 9"));
    assert_eq!(ended.code, Some(1), "a killed machine is a failure");

    // Against the clocks of the kernel: per machine, and the whole program by wait4 from outside.
    let tasks: u64 = report.tasks.iter().map(|task| task.usage_ns).sum();
    let witness: u64 = report
        .machines
        .iter()
        .filter_map(|machine| machine.witness_ns)
        .sum();
    assert_eq!(
        tasks, witness,
        "with the residual, every nanosecond of the machines is billed"
    );
    let unbilled = ended.rusage_ns as i64 - tasks as i64;
    let own = report.ledger.supervisor_ns as i64;
    println!(
        "wait4 {} ns, billed {tasks} ns, supervisor {own} ns",
        ended.rusage_ns
    );
    // rusage is in ticks' resolution for neither clock, but the program lives on after its report.
    let slack = tasks as i64 / 100;
    assert!(
        unbilled >= -slack,
        "billed {} ns more than the kernel counts",
        -unbilled
    );
    assert!(
        unbilled <= own + slack + EPILOGUE,
        "{unbilled} ns are billed to nobody, {own} of them ours"
    );
}

/// What the supervisor may still use after it has written its own use down.
const EPILOGUE: i64 = Duration::from_millis(10).as_nanos() as i64;

#[test]
fn a_burn_of_known_length_is_billed_at_its_length() {
    if !kvm() {
        return;
    }
    let spec = r#"
[hierarchy.billing]
subsystems = ["cpuacct"]
[group."billing:/t"]
[vm.m]
memory = "16M"
vcpus = 1
guest = { tiny = ["sleep 300ms", "burn 400ms", "exit"] }
groups = ["billing:/t"]
"#;
    let ended = Run::start(spec).end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let vcpu = support::task(&ended.report, "m/vcpu0");
    // The guest burns by the wall clock, so a busy host gives it less CPU time, but never more.
    assert!(vcpu.usage_ns <= 450_000_000, "{vcpu:?}");
    let witness = ended.report.machines[0].witness_ns.expect("settled");
    assert!(
        vcpu.usage_ns >= witness / 2,
        "the burn is the vCPU's, not the others': {:?}",
        ended.report
    );
    assert_conserved(&ended.report);
}

#[test]
fn the_columns_of_a_bill_add_up_and_stand_where_its_threads_were_pinned() {
    let Some((_, cpu)) = support::two_cpus().filter(|_| kvm()) else {
        return;
    };
    let spec = format!(
        r#"
[hierarchy.placement]
subsystems = ["cpuset"]
[hierarchy.billing]
subsystems = ["cpuacct"]
[group."placement:/pen"]
files = {{ "cpuset.cpus" = "{cpu}" }}
[group."billing:/t"]
[vm.m]
memory = "16M"
vcpus = 1
guest = {{ tiny = ["print up", "forever"] }}
groups = ["placement:/pen", "billing:/t"]
[vm.other]
memory = "16M"
vcpus = 1
guest = {{ tiny = ["halt"] }}
"#
    );
    let mut run = Run::start(&spec);
    run.line("m | vcpu0: up");
    let number = |text: &str| text.trim().parse::<u64>().expect("a number");
    let give_up = Instant::now() + Duration::from_secs(60);
    while number(&run.file("billing:/t", "cpuacct.load")) == 0 {
        assert!(Instant::now() < give_up, "no interval of 10 s is ever over");
        std::thread::sleep(Duration::from_millis(200));
    }
    // One CPU, which also others use; the interval is measured, and so nearly is what was used in it.
    let load = number(&run.file("billing:/t", "cpuacct.load"));
    assert!(load <= 105, "{load} percent of one CPU");
    run.must("vm stop --force m");
    run.report_where("m has ended", |report| {
        report
            .tasks
            .iter()
            .all(|task| !task.name.starts_with("m/") || !task.alive)
    });
    let usage = number(&run.file("billing:/t", "cpuacct.usage"));
    let columns = run.file("billing:/t", "cpuacct.usage_percpu");
    let columns: Vec<u64> = columns.split_whitespace().map(number).collect();
    assert_eq!(columns.iter().sum::<u64>(), usage, "{columns:?}");
    assert!(
        columns[cpu as usize] >= usage / 10 * 9,
        "{columns:?} with all pinned to {cpu}"
    );
    let report = run.report();
    let row = |name: &str| {
        report
            .groups
            .iter()
            .find(|group| group.group == name)
            .cloned()
    };
    assert_eq!(
        row("billing:/t").expect("it is there").usage_ns,
        Some(usage)
    );
    run.must("group set billing:/t cpuacct.usage 0");
    let columns = run.file("billing:/t", "cpuacct.usage_percpu");
    assert!(
        columns.split_whitespace().all(|column| column == "0"),
        "{columns}"
    );
    run.must("vm stop --force other");
    run.end();
}
