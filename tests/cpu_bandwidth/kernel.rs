//! The groups of the kernel's controller: what stands in them, and what becomes of them where somebody else has a hand in it.

use std::fs;
use std::path::{Path, PathBuf};

use host::CgroupVersion;

use crate::support::kernel::eventually;
use crate::support::{self, Run, kvm, pinfold, task};
use crate::{controllers, finish, spec};

/// Where the kernel's groups of a supervisor stand.
pub fn directory_of(supervisor: u32) -> Option<PathBuf> {
    let found = host::CpuController::find().ok()?;
    let own = found.root();
    Some(own.parent()?.join(format!("pinfold-{supervisor}")))
}

/// With which of its interfaces the kernel does it.
fn version() -> CgroupVersion {
    let found = host::CpuController::find();
    found.expect("it was there").version()
}

/// The quota that the kernel has for a group, in its words.
fn quota(directory: &Path) -> String {
    let file = match version() {
        CgroupVersion::One => "cpu.cfs_quota_us",
        CgroupVersion::Two => "cpu.max",
    };
    let text = fs::read_to_string(directory.join(file)).expect("a control file");
    text.split_whitespace().next().expect("a word").to_owned()
}

/// As [`spec`], with guests that want no CPU: of limits that nobody reaches.
fn idle(first: &str) -> String {
    spec(0, first, "").replace("burn 100s", "halt")
}

/// The threads that the kernel lists in a group.
fn tids(directory: &Path) -> Vec<u32> {
    let file = directory.join(version().threads_file());
    let text = fs::read_to_string(file).unwrap_or_default();
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
    assert_eq!(quota(&inner), "40000");
    run.must_refuse("group set limits:/first cpu.cfs_quota_us 30000", "EINVAL");
    // Somebody moves the thread away behind our back; it is seen and put back.
    let threads = root.join(version().threads_file());
    fs::write(threads, vcpu.to_string()).expect("our own thread");
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
fn limits_written_behind_our_back_are_told_and_put_right_and_a_removed_group_comes_back() {
    if !kvm() || !controllers().contains(&"kernel") {
        return;
    }
    let spec = idle(r#""cpu.cfs_quota_us" = "50000""#);
    let mut run = Run::start_with(&spec, &["--cpu-controller", "kernel"]);
    let report = run.all_running();
    let root = directory_of(run.pid()).expect("the kernel's controller is there");
    let (first, second) = (root.join("1"), root.join("2"));
    let (max, no_limit, weight, least, usual) = match version() {
        CgroupVersion::One => ("cpu.cfs_quota_us", "-1", "cpu.shares", "2", "1024"),
        CgroupVersion::Two => ("cpu.max", "max 100000", "cpu.weight", "1", "100"),
    };
    fs::write(first.join(max), no_limit).expect("a group of our own run");
    run.line_where("the drift is told", |line| {
        line.contains(&format!(
            "limits:/first: {max} was {no_limit} instead of 50000"
        )) && line.contains("put right")
    });
    assert_eq!(quota(&first), "50000");
    fs::write(second.join(weight), least).expect("a group of our own run");
    run.line_where("the drift is told", |line| {
        line.contains(&format!(
            "limits:/second: {weight} was {least} instead of {usual}"
        ))
    });
    let weight = fs::read_to_string(second.join(weight)).expect("a control file");
    assert_eq!(weight.trim(), usual);
    let mut of_a: Vec<u32> = report
        .tasks
        .iter()
        .filter(|task| task.machine == "a" && task.alive)
        .map(|task| task.tid)
        .collect();
    of_a.sort_unstable();
    assert_eq!(tids(&first), of_a);
    // Somebody who moves all of them away and removes the group, before they are put back.
    let threads = root.join(version().threads_file());
    eventually("the group is removed", || {
        for tid in tids(&first) {
            fs::write(&threads, tid.to_string()).expect("our own thread");
        }
        fs::remove_dir(&first).is_ok()
    });
    run.line_where("the loss is told", |line| {
        line.contains("limits:/first: ") && line.contains(" was gone: put right")
    });
    eventually("its tasks are in it again", || tids(&first) == of_a);
    assert_eq!(quota(&first), "50000");
    // Both a group and one below it were given more: version 1 refuses the upper one less before the lower has it.
    run.must("group mkdir limits:/first/in");
    run.must("group set limits:/first/in cpu.cfs_quota_us 40000");
    let inner = first.join("3");
    let more = no_limit.replace("max", "90000").replace("-1", "90000");
    // Not taken where the first is put right before the second is written.
    eventually("both are written", || {
        let both = [(&first, no_limit), (&inner, &*more)];
        both.iter()
            .all(|(group, value)| fs::write(group.join(max), value).is_ok())
    });
    for group in ["limits:/first", "limits:/first/in"] {
        let found = format!("{group}: {max} was ");
        let line = run.line_where("the drift is told", |line| line.contains(&found));
        assert!(line.contains("put right"), "{line}");
    }
    assert_eq!([quota(&first), quota(&inner)], ["50000", "40000"]);
    run.must("group rmdir limits:/first/in");
    let is_told = |event: &&management::Event| {
        event.kind == "drift" && event.group.as_deref() == Some("limits:/first")
    };
    let told = run.report().events.iter().filter(is_told).count();
    assert!(told >= 3, "{told}");
    // As far as the framework is concerned nothing has happened.
    run.must("group set limits:/first cpu.cfs_quota_us 40000");
    assert_eq!(quota(&first), "40000");
    finish(run);
    assert!(!root.exists(), "nothing is left of {}", root.display());
}

#[test]
fn of_more_groups_than_one_look_reads_each_has_its_turn() {
    /// More than two looks of the supervisor's.
    const GROUPS: usize = 300;
    if !kvm() || !controllers().contains(&"kernel") {
        return;
    }
    let mut spec = idle("");
    for number in 0..GROUPS {
        spec += &format!("[group.\"limits:/many{number}\"]\n");
    }
    let mut run = Run::start_with(&spec, &["--cpu-controller", "kernel"]);
    run.all_running();
    let root = directory_of(run.pid()).expect("the kernel's controller is there");
    let (max, limit) = match version() {
        CgroupVersion::One => ("cpu.cfs_quota_us", "5000"),
        CgroupVersion::Two => ("cpu.max", "5000 100000"),
    };
    let all = (1..=GROUPS + 2).map(|number| root.join(number.to_string()));
    let all: Vec<PathBuf> = all.collect();
    for group in &all {
        fs::write(group.join(max), limit).expect("a group of our own run");
    }
    eventually("all are put right", || {
        all.iter()
            .all(|group| ["-1", "max"].contains(&&*quota(group)))
    });
    finish(run);
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
    let own = directory_of(0)?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mut mounts = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let mount = mounts.rfind(|mount| own.starts_with(mount))?;
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
