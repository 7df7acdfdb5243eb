//! Law 3: a change is in force whole, or everything is as it was.

mod support;

use support::kernel::{affinity, assert_all_pinned};
use support::{Run, kvm, task, two_cpus};

fn spec(first: u32, second: u32) -> String {
    format!(
        r#"
[hierarchy.placement]
subsystems = ["cpuset"]
[hierarchy.billing]
subsystems = ["cpuacct"]
[group."placement:/a"]
files = {{ "cpuset.cpus" = "{first}" }}
[group."placement:/b"]
files = {{ "cpuset.cpus" = "{second}" }}
[group."billing:/t"]

[vm.m]
memory = "16M"
vcpus = 2
guest = {{ tiny = ["vcpu0: print up", "halt"] }}
groups = ["placement:/a", "billing:/t"]
"#
    )
}

#[test]
fn a_batch_with_one_refused_command_changes_nothing() {
    let (true, Some((first, second))) = (kvm(), two_cpus()) else {
        return;
    };
    let mut run = Run::start(&spec(first, second));
    run.line("m | vcpu0: up");
    let before = run.report();
    run.must_refuse(
        "group mkdir placement:/a/new ; group attach placement:/b m/vcpu0 ; group rmdir placement:/b",
        "EBUSY",
    );
    let after = run.report();
    let shape = |report: &management::Report| -> Vec<_> {
        report
            .groups
            .iter()
            .map(|g| (g.group.clone(), g.tasks.clone(), g.effective_cpus.clone()))
            .collect()
    };
    assert_eq!(shape(&after), shape(&before));
    assert_eq!(
        after.events.len(),
        before.events.len(),
        "a refused plan made an event"
    );
    assert_all_pinned(&mut run);
    run.must("vm stop --force m");
    run.end();
}

/// The host itself refuses the second effect of a batch: its thread stands in a scratch cpuset of the
/// kernel's that has only the first CPU. The first effect, done by then, has to be undone.
#[test]
fn an_effect_that_the_host_refuses_rolls_the_done_ones_back() {
    let (true, Some((first, second))) = (kvm(), two_cpus()) else {
        return;
    };
    let Some(cage) = support::cage::Cage::new(first) else {
        return;
    };
    let mut run = Run::start(&spec(first, second));
    run.line("m | vcpu0: up");
    let report = run.report();
    let pid = report.machines[0].pid;
    let tids = ["m/vcpu0", "m/vcpu1"].map(|name| task(&report, name).tid);
    cage.put_thread(tids[1]);
    let events = report.events.len();

    run.must_refuse(
        "group attach placement:/b m/vcpu0 ; group attach placement:/b m/vcpu1",
        "host refused",
    );

    for tid in tids {
        assert_eq!(
            affinity(pid, tid).unwrap().to_string(),
            first.to_string(),
            "rolled back"
        );
    }
    let after = run.report();
    assert!(
        task(&after, "m/vcpu0")
            .groups
            .contains(&"placement:/a".to_owned())
    );
    assert_eq!(
        after.events.len(),
        events,
        "a rolled-back plan made an event: {:?}",
        after.events
    );
    assert_all_pinned(&mut run);
    // Free again, the same batch is in force whole.
    cage.free_thread(tids[1]);
    run.must("group attach placement:/b m/vcpu0 ; group attach placement:/b m/vcpu1");
    assert_all_pinned(&mut run);
    run.must("vm stop --force m");
    run.end();
}
