//! Groups that are limited get what they may have, by the kernel's clock of their threads, whoever does the limiting.
//!
//! Nothing here asks for a rate that a busy host could spoil: a limit is an upper bound, who is compared runs on the
//! same CPU, and the exact figures are `cargo bench -- cpu`'s.

#[path = "cpu_bandwidth/back.rs"]
mod back;
mod support;

use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use support::kernel::{cpu_time, eventually};
use support::{Run, kvm, pinfold, task, two_cpus};

/// The kernel's controller and Pinfold's own, as far as this host has them.
fn controllers() -> Vec<&'static str> {
    match host::CpuController::find() {
        Ok(_) => vec!["kernel", "own"],
        Err(why) => {
            println!("SKIPPED for the kernel's controller: {why}");
            vec!["own"]
        }
    }
}

/// Where the kernel's groups of a supervisor stand.
fn directory_of(supervisor: u32) -> Option<PathBuf> {
    let found = host::CpuController::find().ok()?;
    let own = found.root();
    Some(own.parent()?.join(format!("pinfold-{supervisor}")))
}

/// Two machines of a vCPU each on one CPU, in two groups.
fn spec(cpu: u32, first: &str, second: &str) -> String {
    let machine = |name: &str, group: &str| {
        format!(
            r#"
[vm.{name}]
memory = "16M"
vcpus = 1
guest = {{ tiny = ["print up", "burn 100s"] }}
groups = ["limits:/{group}", "placement:/one"]
"#
        )
    };
    format!(
        r#"
[hierarchy.limits]
subsystems = ["cpu"]
[hierarchy.placement]
subsystems = ["cpuset"]
[group."placement:/one"]
files = {{ "cpuset.cpus" = "{cpu}" }}
[group."limits:/first"]
files = {{ {first} }}
[group."limits:/second"]
files = {{ {second} }}
{}{}"#,
        machine("a", "first"),
        machine("b", "second")
    )
}

/// Process and thread of a vCPU.
fn vcpu(run: &mut Run, machine: &str) -> (u32, u32) {
    let report = run.report();
    let pid = report
        .machines
        .iter()
        .find(|found| found.name == machine)
        .map(|machine| machine.pid);
    let tid = task(&report, &format!("{machine}/vcpu0")).tid;
    (pid.expect("the machine is there"), tid)
}

/// `nr_periods`, `nr_throttled` and `throttled_time` of a group.
fn stat(run: &mut Run, group: &str) -> [u64; 3] {
    let text = run.file(group, "cpu.stat");
    ["nr_periods", "nr_throttled", "throttled_time"].map(|key| {
        let mut words = text.split_whitespace().skip_while(|word| *word != key);
        let value = words.nth(1).and_then(|value| value.parse().ok());
        value.unwrap_or_else(|| panic!("{key} in {text:?}"))
    })
}

/// The same, once the group has been held, which on a crowded host takes its time.
fn throttled(run: &mut Run, group: &str) -> [u64; 3] {
    let deadline = Instant::now() + support::PATIENCE;
    loop {
        let found = stat(run, group);
        if found[1] > 0 && found[2] > 0 {
            return found;
        }
        assert!(Instant::now() < deadline, "{group} is not held: {found:?}");
        sleep(Duration::from_millis(50));
    }
}

/// End both machines and the run.
fn finish(mut run: Run) -> support::Ended {
    run.must("vm stop a");
    run.must("vm stop b");
    end(run)
}

/// Its machines have ended as they were told.
fn end(run: Run) -> support::Ended {
    let ended = run.end();
    for machine in &ended.report.machines {
        let events: Vec<&str> = ended
            .report
            .events
            .iter()
            .map(|event| &*event.text)
            .collect();
        assert_eq!(machine.end.as_deref(), Some("stopped"), "{events:#?}");
    }
    ended
}

#[test]
fn a_group_gets_no_more_than_its_quota_and_all_of_it_once_that_is_lifted() {
    if !kvm() {
        return;
    }
    let cpu = host::topology::resources()
        .expect("the host tells")
        .allowed_cpus;
    let cpu = cpu.first().expect("a CPU");
    for controller in controllers() {
        let spec = spec(cpu, r#""cpu.cfs_quota_us" = "5000""#, "");
        let mut run = Run::start_with(&spec, &["--cpu-controller", controller]);
        run.line("a | vcpu0: up");
        run.must("vm stop b");
        let (pid, tid) = vcpu(&mut run, "a");
        let (before, at) = (cpu_time(pid, tid), Instant::now());
        sleep(Duration::from_secs(3));
        let used = cpu_time(pid, tid) - before;
        let wall = at.elapsed().as_nanos() as u64;
        // A twentieth, and as much again three times for a supervisor that does not get to run when it should.
        let most = wall / 5;
        assert!(used <= most, "{controller}: {used} of {most} ns");
        let [periods, throttled, _] = throttled(&mut run, "limits:/first");
        // Of the first period a part may have been before its tasks came.
        assert!(
            throttled <= periods,
            "{controller}: {throttled} of {periods}"
        );
        run.must("group set limits:/first cpu.cfs_quota_us -1");
        // Half a second of CPU time comes by, for which a twentieth of a CPU would take ten.
        let (before, at) = (cpu_time(pid, tid), Instant::now());
        eventually("it runs on without a quota", || {
            cpu_time(pid, tid) - before > 500_000_000
        });
        let after = stat(&mut run, "limits:/first");
        println!(
            "{controller}: {:?} for half a second, {after:?}",
            at.elapsed()
        );
        run.must("vm stop a");
        end(run);
    }
}

#[test]
fn two_groups_on_one_cpu_divide_it_by_their_shares() {
    let (true, Some((_, cpu))) = (kvm(), two_cpus()) else {
        return;
    };
    for controller in controllers() {
        let spec = spec(cpu, r#""cpu.shares" = "512""#, r#""cpu.shares" = "4096""#);
        let mut run = Run::start_with(&spec, &["--cpu-controller", controller]);
        run.line("a | vcpu0: up");
        run.line("b | vcpu0: up");
        let (a, b) = (vcpu(&mut run, "a"), vcpu(&mut run, "b"));
        let before = [cpu_time(a.0, a.1), cpu_time(b.0, b.1)];
        // As long as it takes until there is something to compare.
        eventually("they run", || {
            cpu_time(a.0, a.1) + cpu_time(b.0, b.1) > before[0] + before[1] + 2_000_000_000
        });
        let [few, many] = [
            cpu_time(a.0, a.1) - before[0],
            cpu_time(b.0, b.1) - before[1],
        ];
        // 1:8 was asked for; left to itself the kernel makes it 1:1.
        let ratio = many as f64 / few.max(1) as f64;
        assert!(
            ratio > 1.5,
            "{controller}: {few} to {many} ns is 1:{ratio:.1}"
        );
        assert!(few > 0, "{controller}: who has fewer shares is not starved");
        println!("{controller}: 1:{ratio:.2}");
        finish(run);
    }
}

#[test]
fn a_task_that_leaves_a_group_that_is_held_runs_on() {
    if !kvm() {
        return;
    }
    for controller in controllers() {
        let first = r#""cpu.cfs_quota_us" = "1000", "cpu.cfs_period_us" = "1000000""#;
        let mut run = Run::start_with(&spec(0, first, ""), &["--cpu-controller", controller]);
        run.all_running();
        let (pid, tid) = vcpu(&mut run, "a");
        run.must("group attach limits:/second a/vcpu0");
        let before = cpu_time(pid, tid);
        eventually("it runs on in its new group", || {
            cpu_time(pid, tid) - before > 100_000_000
        });
        let total = finish(run).report.ledger;
        assert_eq!(
            total.groups_ns, total.tasks_ns,
            "{controller}: conservation"
        );
    }
}

/// The threads that the kernel lists in a group.
fn tids(directory: &std::path::Path) -> Vec<u32> {
    let text = fs::read_to_string(directory.join("tasks")).unwrap_or_default();
    let mut tids: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    tids.sort_unstable();
    tids
}

#[test]
fn the_kernels_groups_have_our_threads_and_no_others_and_are_gone_in_the_end() {
    if !kvm() || !controllers().contains(&"kernel") {
        return;
    }
    let spec = spec(0, r#""cpu.cfs_quota_us" = "50000""#, "");
    let mut run = Run::start_with(&spec, &["--cpu-controller", "kernel"]);
    run.line("a | vcpu0: up");
    run.line("b | vcpu0: up");
    let root = directory_of(run.pid()).expect("the kernel's controller is there");
    let groups = || -> Vec<PathBuf> {
        let entries = fs::read_dir(&root).into_iter().flatten().flatten();
        let mut groups: Vec<PathBuf> = entries
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
            .collect();
        groups.sort();
        groups
    };
    assert_eq!(groups().len(), 2, "a directory a group");
    let report = run.report();
    let of = |machine: &str| -> Vec<u32> {
        let tasks = report
            .tasks
            .iter()
            .filter(|task| task.machine == machine && task.alive);
        let mut tids: Vec<u32> = tasks.map(|task| task.tid).collect();
        tids.sort_unstable();
        tids
    };
    assert_eq!([tids(&groups()[0]), tids(&groups()[1])], [of("a"), of("b")]);
    assert_eq!(tids(&root), [0u32; 0]);
    // A group that is made and one that goes are a directory more and less.
    run.must("group mkdir limits:/first/in");
    run.must("group set limits:/first/in cpu.cfs_quota_us 40000");
    run.must("group attach limits:/first/in a/vcpu0");
    let vcpu = task(&report, "a/vcpu0").tid;
    let below = fs::read_dir(&groups()[0]).expect("it is there").flatten();
    let inner = below
        .map(|entry| entry.path())
        .find(|path| path.is_dir())
        .expect("a directory");
    assert_eq!(tids(&inner), [vcpu]);
    let quota = fs::read_to_string(inner.join("cpu.cfs_quota_us")).expect("a control file");
    assert_eq!(quota.trim(), "40000");
    run.must_refuse("group set limits:/first cpu.cfs_quota_us 30000", "EINVAL");
    // Somebody moves the thread away behind our back; it is seen and put back.
    fs::write(root.join("tasks"), vcpu.to_string()).expect("our own thread");
    eventually("it is put back", || tids(&inner) == [vcpu]);
    run.line_where("the drift is told", |line| line.contains("put back"));
    run.must("group attach limits:/ a/vcpu0");
    run.must("group rmdir limits:/first/in");
    assert!(!inner.exists());
    assert_eq!(tids(&root), [vcpu]);
    finish(run);
    assert!(!root.exists(), "nothing is left of {}", root.display());
}

#[test]
fn without_the_subsystem_nothing_is_made_and_what_a_killed_supervisor_left_goes_with_the_next() {
    if !kvm() || !controllers().contains(&"kernel") {
        return;
    }
    let plain = r#"
[vm.a]
memory = "16M"
vcpus = 1
guest = { tiny = ["print up", "halt"] }
"#;
    let mut run = Run::start(plain);
    run.line("a | vcpu0: up");
    let root = directory_of(run.pid()).expect("the kernel's controller is there");
    assert!(!root.exists());
    drop(run);
    let spec = spec(0, "", "");
    let mut run = Run::start_with(&spec, &["--cpu-controller", "kernel"]);
    run.line("a | vcpu0: up");
    let root = directory_of(run.pid()).expect("the kernel's controller is there");
    assert!(root.exists());
    // Killed, and its machines with it.
    drop(run);
    let is_empty = || {
        let entries = fs::read_dir(&root).into_iter().flatten().flatten();
        let groups = entries
            .map(|entry| entry.path())
            .filter(|path| path.is_dir());
        groups
            .chain([root.clone()])
            .all(|group| tids(&group).is_empty())
    };
    eventually("the machines are dead", is_empty);
    assert!(root.exists(), "nobody was left to tidy up");
    let mut next = Run::start_with(&spec, &["--cpu-controller", "kernel"]);
    next.line("a | vcpu0: up");
    assert!(!root.exists(), "{} is still there", root.display());
    finish(next);
}

/// `pinfold` where the kernel's cpu controller is not mounted: exit code and what was said.
fn without_controller(run: &Run, arguments: &[&str]) -> Option<(Option<i32>, String)> {
    let mount = directory_of(0)?;
    let mount = mount.parent()?.to_str()?.to_owned();
    let script = format!("umount -l {mount} && exec \"$@\"");
    let output = std::process::Command::new("unshare")
        .args(["--mount", "sh", "-c", &script, "sh", support::PINFOLD])
        .args(arguments)
        .env("XDG_RUNTIME_DIR", run.scratch.path())
        .output()
        .ok()?;
    let said = [&output.stdout[..], &output.stderr].concat();
    Some((
        output.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    ))
}

#[test]
fn the_kernel_asked_for_where_it_cannot_is_refused_and_auto_does_it_ourselves() {
    if !kvm() || !controllers().contains(&"kernel") {
        return;
    }
    let mut run = Run::start_with(&spec(0, "", ""), &["--cpu-controller", "own"]);
    run.line("a | vcpu0: up");
    let root = directory_of(run.pid()).expect("the kernel's controller is there");
    assert!(!root.exists(), "our own needs no group of the kernel's");
    let Some((_, doctor)) = without_controller(&run, &["doctor"]) else {
        println!("SKIPPED: no mount namespace of our own can be had");
        return;
    };
    if !doctor.contains("Pinfold limits the CPU time") {
        println!("SKIPPED: the mount cannot be hidden: {doctor}");
        return;
    }
    let file = run.scratch.path().join("spec.toml");
    let file = file.to_str().expect("a plain path");
    let asked = ["run", "--cpu-controller", "kernel", file];
    let (code, said) = without_controller(&run, &asked).expect("as before");
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("--cpu-controller kernel") && said.contains("cgroup-v1"),
        "{said}"
    );
    let asked = ["run", "--timeout", "0.5", file];
    let (code, said) = without_controller(&run, &asked).expect("as before");
    assert_eq!(
        code,
        Some(1),
        "its machines ran until the time was up: {said}"
    );
    let (_, doctor, _) = pinfold(&run.scratch, &["doctor"]);
    assert!(
        doctor.contains("the kernel limits the CPU time"),
        "{doctor}"
    );
    finish(run);
}
