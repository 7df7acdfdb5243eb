//! Law 1: no guest instruction runs outside its group, at start and at every move.

mod support;

use std::time::Duration;

use support::{Run, kernel, kvm, task, two_cpus};

const SPEC: &str = r#"
[hierarchy.placement]
subsystems = ["cpuset"]
[group."placement:/pen"]
files = { "cpuset.cpus" = "0" }

[vm.held]
memory = "16M"
vcpus = 2
guest = { tiny = ["print here", "burn 50ms", "exit"] }
groups = ["placement:/pen"]
"#;

#[test]
fn a_machine_whose_go_is_withheld_runs_no_guest_instruction() {
    if !kvm() {
        return;
    }
    let mut run = Run::start_with(SPEC, &["--withhold-go", "3000"]);
    run.line("held back");
    let report = run.report();
    let pid = report.machines[0].pid;
    let vcpus = ["held/vcpu0", "held/vcpu1"].map(|name| task(&report, name).tid);
    for vcpu in vcpus {
        assert_eq!(
            kernel::affinity(pid, vcpu).unwrap().to_string(),
            "0",
            "pinned before Go"
        );
    }
    let times = || vcpus.map(|vcpu| kernel::cpu_time(pid, vcpu));
    // They have announced themselves; let them come to rest.
    std::thread::sleep(Duration::from_millis(200));
    let before = times();
    assert!(
        !run.hears("held | ", Duration::from_secs(2)),
        "a serial byte before Go"
    );
    assert_eq!(times(), before, "vCPUs used CPU time before Go");
    run.line("held | vcpu0: here");
    let ended = run.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let task = task(&ended.report, "held/vcpu0");
    assert!(
        task.usage_ns > before[0] + 5_000_000,
        "the burn is billed: {task:?}"
    );
}

#[test]
fn every_thread_is_pinned_during_burn_and_after_every_move() {
    let (true, Some((first, second))) = (kvm(), two_cpus()) else {
        return;
    };
    let spec = format!(
        r#"
[hierarchy.placement]
subsystems = ["cpuset"]
[group."placement:/a"]
files = {{ "cpuset.cpus" = "{first}" }}
[group."placement:/b"]
files = {{ "cpuset.cpus" = "{second}" }}
[group."placement:/both"]
files = {{ "cpuset.cpus" = "{first},{second}" }}

[vm.mover]
memory = "16M"
vcpus = 2
guest = {{ tiny = ["vcpu0: print up", "forever"] }}
groups = {{ all = ["placement:/a"], io = ["placement:/b"] }}
"#
    );
    let mut run = Run::start(&spec);
    run.line("mover | vcpu0: up");
    kernel::assert_all_pinned(&mut run);
    for step in 0..30 {
        let group = ["a", "b", "both"][step % 3];
        let name = ["vcpu0", "vcpu1", "io", "control", "kvm0"][step % 5];
        run.must(&format!("group attach placement:/{group} mover/{name}"));
        kernel::assert_all_pinned(&mut run);
    }
    // A new set for a group moves everything in it.
    run.must(&format!(
        "group set placement:/a cpuset.cpus {first},{second}"
    ));
    kernel::assert_all_pinned(&mut run);
    run.must("vm stop --force mover");
    run.end();
}
