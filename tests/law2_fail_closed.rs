//! Law 2: what was asked for is in force, or it is refused with the rule that refused it.

mod support;

use support::{Run, kernel, kvm, two_cpus};

#[test]
fn what_would_not_be_enforced_is_refused_and_changes_nothing() {
    let (true, Some((first, second))) = (kvm(), two_cpus()) else {
        return;
    };
    let spec = format!(
        r#"
[hierarchy.placement]
subsystems = ["cpuset"]
[group."placement:/pen"]
files = {{ "cpuset.cpus" = "{first}" }}
[group."placement:/pen/low"]
[group."placement:/two"]
files = {{ "cpuset.cpus" = "{first},{second}", "cpuset.placement" = "one-to-one" }}

[vm.m]
memory = "16M"
vcpus = 3
guest = {{ tiny = ["vcpu0: print up", "halt"] }}
groups = ["placement:/pen"]
"#
    );
    let mut run = Run::start(&spec);
    run.line("m | vcpu0: up");
    let refusals = [
        (
            format!("group set placement:/pen/low cpuset.cpus {second}"),
            "EACCES",
        ),
        ("group set placement:/pen cpuset.cpus 4000".into(), "ERANGE"),
        ("group set placement:/pen cpuset.cpus abc".into(), "EINVAL"),
        (
            "group set placement:/pen cpuset.sched_load_balance 0".into(),
            "EINVAL",
        ),
        ("group set placement:/ cpuset.cpus 0".into(), "EACCES"),
        ("group set placement:/pen cpuset.nothing 0".into(), "ENOENT"),
        (
            format!("group set placement:/pen cpuset.cpus {second}"),
            "EBUSY",
        ),
        ("group rmdir placement:/pen".into(), "EBUSY"),
        ("group attach placement:/nowhere m/vcpu0".into(), "ENOENT"),
        ("group attach placement:/pen m/vcpu9".into(), "ESRCH"),
        ("group mkdir placement:/pen".into(), "EEXIST"),
    ];
    let before = run.report();
    for (command, errno) in &refusals {
        run.must_refuse(command, errno);
        kernel::assert_all_pinned(&mut run);
    }
    assert_eq!(
        run.report().groups,
        before.groups,
        "a refusal changed a group"
    );

    // A group made without CPUs takes no task, and one-to-one no third vCPU for its two CPUs.
    run.must("group mkdir placement:/empty");
    run.must_refuse("group attach placement:/empty m/vcpu0", "ENOSPC");
    run.must("group attach placement:/two m/vcpu0 ; group attach placement:/two m/vcpu1");
    run.must_refuse("group attach placement:/two m/vcpu2", "ENOSPC");
    kernel::assert_all_pinned(&mut run);
    let report = run.report();
    let masks =
        ["m/vcpu0", "m/vcpu1"].map(|name| support::task(&report, name).observed_cpus.clone());
    assert_ne!(masks[0], masks[1], "each vCPU its own CPU");
    run.must("vm stop --force m");
    run.end();
}

#[test]
fn cpus_that_the_kernel_denies_the_supervisor_are_refused_before_any_start() {
    let (true, Some((first, second))) = (kvm(), two_cpus()) else {
        return;
    };
    let spec = format!(
        r#"
[hierarchy.placement]
subsystems = ["cpuset"]
[group."placement:/pen"]
files = {{ "cpuset.cpus" = "{second}" }}
[vm.m]
memory = "16M"
vcpus = 1
guest = {{ tiny = ["print up"] }}
groups = ["placement:/pen"]
"#
    );
    let scratch = support::Scratch::new();
    let file = scratch.file("spec.toml", &spec);
    // The thread that starts the program is confined to the first CPU, and so is the program.
    let output = std::thread::spawn(move || {
        let mut only = container_core::CpuSet::default();
        only.insert(first);
        let own = container_core::Tid(rustix::thread::gettid().as_raw_nonzero().get() as u32);
        host::affinity::set(own, &only).expect("our own affinity");
        support::pinfold(&scratch, &["run", file.to_str().expect("utf-8")])
    });
    let (code, out, err) = output.join().unwrap();
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains(":5:") && err.contains("not a subset"), "{err}");
    assert!(!out.contains("m | "), "{out}");
}
