//! Law 7: affinity changed behind our back is detected, reported and repaired.

mod support;

use container_core::{CpuSet, Tid};
use support::kernel::{affinity, assert_all_pinned, eventually};
use support::{Run, kvm, task, two_cpus};

fn spec(first: u32, second: u32) -> String {
    format!(
        r#"
[hierarchy.placement]
subsystems = ["cpuset"]
[group."placement:/one"]
files = {{ "cpuset.cpus" = "{first}" }}
[group."placement:/both"]
files = {{ "cpuset.cpus" = "{first},{second}" }}

[vm.m]
memory = "16M"
vcpus = 2
guest = {{ tiny = ["vcpu0: print up", "halt"] }}
groups = ["placement:/one"]
[vm.m.task.vcpu1]
groups = ["placement:/both"]
"#
    )
}

#[test]
fn a_mask_changed_from_outside_is_reported_and_put_right() {
    let (true, Some((first, second))) = (kvm(), two_cpus()) else {
        return;
    };
    let mut run = Run::start(&spec(first, second));
    run.line("m | vcpu0: up");
    let report = run.report();
    let (pid, tid) = (report.machines[0].pid, task(&report, "m/vcpu0").tid);
    let mut wrong = CpuSet::default();
    wrong.insert(second);
    host::affinity::set(Tid(tid), &wrong).expect("a thread of our own run");
    run.line("m/vcpu0 was on CPUs");
    eventually("the mask is put right", || {
        affinity(pid, tid).unwrap().to_string() == first.to_string()
    });
    let report = run.report();
    assert_eq!(report.drift.len(), 1, "{:?}", report.drift);
    let drift = &report.drift[0];
    assert_eq!((drift.task.as_str(), drift.repaired), ("m/vcpu0", true));
    assert_eq!(drift.observed_cpus, second.to_string());
    assert_all_pinned(&mut run);
    run.must("vm stop --force m");
    run.end();
}

#[test]
fn a_shrinking_host_cpuset_shrinks_what_is_effective_and_gives_it_back() {
    let (true, Some((first, second))) = (kvm(), two_cpus()) else {
        return;
    };
    let Some(cage) = support::cage::Cage::with_cpus(&format!("{first},{second}")) else {
        return;
    };
    let mut run = Run::start(&spec(first, second));
    run.line("m | vcpu0: up");
    let machine = run.report().machines[0].pid;
    for process in [run.pid(), machine] {
        cage.put_process(process);
    }
    cage.set_cpus(&first.to_string());
    let both = |report: &management::Report| {
        report
            .groups
            .iter()
            .find(|group| group.group == "placement:/both")
            .unwrap()
            .clone()
    };
    let report = run.report_where("the effective set shrinks", |report| {
        both(report).effective_cpus == Some(first.to_string())
    });
    assert_eq!(
        both(&report).requested_cpus.unwrap().parse(),
        format!("{first},{second}").parse::<CpuSet>()
    );
    assert_all_pinned(&mut run);
    cage.set_cpus(&format!("{first},{second}"));
    run.report_where("the effective set comes back", |report| {
        both(report).effective_cpus == both(report).requested_cpus
    });
    assert_all_pinned(&mut run);
    run.must("vm stop --force m");
    run.end();
}
