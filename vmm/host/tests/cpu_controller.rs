//! The kernel's cpu controller, where this host has one to write to. The threads in it are this test's own.
//!
//! One body for both versions of cgroups, run with the one that is there: `tests/lab` has a kernel with version 2.

#[path = "cpu_controller/busy.rs"]
mod busy;
#[path = "cpu_controller/rates.rs"]
mod rates;
#[path = "cpu_controller/scratch.rs"]
mod scratch;

use std::fs;
use std::process::Command;
use std::sync::mpsc::channel;

use container_core::{CpuLimits, Tid};
use host::{CgroupVersion, CpuController, Errno, Process, TaskDirectory, Thread};
use scratch::{Scratch, groups, limits};

#[test]
fn groups_come_and_go_as_directories_with_their_limits_written_in_an_order_that_the_kernel_takes() {
    let Some(mut scratch) = Scratch::new("limits") else {
        return;
    };
    let [root, a, a_in] = groups();
    let none = CpuLimits::DEFAULT;
    assert!(!scratch.has("pinfold-1"), "nothing before there is a group");
    scratch.limit(root, None, &none);
    let half = limits(512, Some(50_000), 100_000);
    scratch.limit(a, Some(root), &half);
    scratch.limit(a_in, Some(a), &half);
    let at = format!("pinfold-1/{a}/{a_in}");
    scratch.assert_limits(&at, &half);
    // Either of the two alone would be more than the group above has, or less than one below.
    for (quota, period) in [(500_000, 1_000_000), (5_000, 10_000), (50_000, 100_000)] {
        let same = limits(2, Some(quota), period);
        scratch.limit(a_in, Some(a), &same);
        scratch.limit(a, Some(root), &same);
        scratch.assert_limits(&at, &same);
    }
    // Version 1 refuses more than the group above has; the framework does before either is asked. Both refuse this.
    let short = limits(2, Some(999), 100_000);
    let controller = scratch.controller();
    let refused = controller.limit(a_in, Some(a), Some(&short)).unwrap_err();
    assert_eq!(refused.errno(), Some(Errno::INVAL));
    assert!(refused.to_string().contains("999"), "{refused}");
    if scratch.version() == CgroupVersion::One {
        let more = limits(2, Some(60_000), 100_000);
        let refused = scratch.controller().limit(a_in, Some(a), Some(&more));
        assert_eq!(refused.unwrap_err().errno(), Some(Errno::INVAL));
    }
    scratch.limit(a_in, Some(a), &none);
    scratch.assert_limits(&at, &none);
    let controller = scratch.controller();
    assert_eq!(controller.stat(a_in).unwrap().nr_throttled, 0);
    let busy = controller.limit(a, Some(root), None).unwrap_err();
    assert_eq!(busy.errno(), Some(Errno::BUSY));
    for (group, above) in [(a_in, Some(a)), (a, Some(root)), (root, None), (root, None)] {
        controller.limit(group, above, None).unwrap();
    }
    assert!(!scratch.has("pinfold-1"));
}

#[test]
fn with_version_two_groups_are_threaded_and_the_controller_is_on_no_longer_than_there_are_groups() {
    let Some(mut scratch) = Scratch::new("threaded") else {
        return;
    };
    if scratch.version() != CgroupVersion::Two {
        println!("SKIPPED: the kernel's cpu controller is mounted as version 1");
        return;
    }
    let [root, a, a_in] = groups();
    let none = CpuLimits::DEFAULT;
    let is_on = |scratch: &Scratch, path: &str| {
        let enabled = scratch.read(&format!("{path}cgroup.subtree_control"));
        enabled.split_whitespace().any(|one| one == "cpu")
    };
    let scratch_has = |scratch: &mut Scratch| {
        let controller = scratch.controller();
        for (group, above) in [(root, None), (a, Some(root)), (a_in, Some(a))] {
            controller.limit(group, above, Some(&none)).unwrap();
        }
    };
    scratch_has(&mut scratch);
    assert!(is_on(&scratch, "pinfold-1/"));
    let at = format!("pinfold-1/{a}/{a_in}");
    assert_eq!(scratch.read(&format!("{at}/cgroup.type")), "threaded");
    // Somebody switches it off, for all of us: the groups' files are gone, and come back.
    for path in [&*at, &*format!("pinfold-1/{a}"), "pinfold-1", ""] {
        let control = scratch.directory.join(path).join("cgroup.subtree_control");
        fs::write(control, "-cpu").expect("none below has it on");
    }
    for group in [root, a, a_in] {
        let found = scratch.controller().strayed(group).expect("it is gone");
        assert!(found.ends_with(" was gone"), "{found}");
    }
    scratch_has(&mut scratch);
    scratch.assert_limits(&at, &none);
    for group in [root, a, a_in] {
        assert_eq!(scratch.controller().strayed(group), None);
    }
    // Switched on by us, it goes with the last of two supervisors.
    assert!(is_on(&scratch, ""));
    let mut other = CpuController::below(
        CgroupVersion::Two,
        scratch.directory.clone(),
        "pinfold-2".into(),
    );
    other.limit(root, None, Some(&none)).unwrap();
    scratch.controller = None;
    assert!(is_on(&scratch, ""), "another has groups there");
    drop(other);
    assert!(!is_on(&scratch, ""), "it goes with the last");
    // What somebody else had switched on stays.
    let control = scratch.directory.join("cgroup.subtree_control");
    fs::write(control, "+cpu").expect("it is our own group");
    let mut third = CpuController::below(
        CgroupVersion::Two,
        scratch.directory.clone(),
        "pinfold-3".into(),
    );
    third.limit(root, None, Some(&none)).unwrap();
    drop(third);
    assert!(is_on(&scratch, ""), "it was on before");
}

/// A thread of this process, by its id.
fn thread(tid: Tid) -> Thread {
    let process = Process::open(std::process::id()).expect("we live");
    let directory = TaskDirectory::open(&process).expect("we live");
    directory.open_thread(tid).expect("it lives")
}

#[test]
fn a_thread_is_enrolled_and_let_go_and_one_that_has_ended_is_said_to_have() {
    let Some(mut scratch) = Scratch::new("tasks") else {
        return;
    };
    let [root, a, _] = groups();
    let none = CpuLimits::DEFAULT;
    scratch.limit(root, None, &none);
    scratch.limit(a, Some(root), &none);
    let ((tell, tids), (go, gone)) = (channel(), channel::<()>());
    let worker = std::thread::spawn(move || {
        let tid = rustix::thread::gettid().as_raw_nonzero().get();
        tell.send(Tid(tid.unsigned_abs())).expect("it waits");
        let _ = gone.recv();
    });
    let tid = tids.recv().expect("its tid");
    let thread = thread(tid);
    let controller = scratch.controller();
    controller.enroll(&thread, Some(a)).unwrap();
    assert_eq!(controller.tids(a).unwrap(), [tid]);
    let busy = controller.limit(a, Some(root), None).unwrap_err();
    assert_eq!(busy.errno(), Some(Errno::BUSY));
    controller.enroll(&thread, None).unwrap();
    assert_eq!(controller.tids(a).unwrap(), []);
    controller.enroll(&thread, Some(a)).unwrap();
    drop(go);
    worker.join().expect("no panic");
    let ended = loop {
        match controller.enroll(&thread, Some(a)) {
            Ok(()) => std::thread::yield_now(),
            Err(error) => break error,
        }
    };
    assert!(ended.is_ended(), "{ended}");
    controller.limit(a, Some(root), None).unwrap();
    let nowhere = controller.tids(a).unwrap_err();
    assert_eq!(nowhere.errno(), Some(Errno::NOENT));
}

#[test]
fn a_process_that_was_taken_to_another_cgroup_is_brought_back_with_the_thread_that_is_enrolled() {
    let Some(mut scratch) = Scratch::new("domain") else {
        return;
    };
    let [root, a, _] = groups();
    scratch.limit(root, None, &CpuLimits::DEFAULT);
    scratch.limit(a, Some(root), &CpuLimits::DEFAULT);
    let own = scratch.directory.parent().expect("our cgroup").to_owned();
    // Of version 2 a domain: beside our cgroup, or below it where that is the root.
    let beside = match own.join("cgroup.type").exists() {
        true => own.parent().expect("a cgroup").to_owned(),
        false => own,
    };
    let elsewhere = beside.join(format!("elsewhere-{}", std::process::id()));
    if let Err(error) = fs::create_dir(&elsewhere) {
        println!("SKIPPED: {}: {error}", elsewhere.display());
        return;
    }
    let mut child = Command::new("sleep").arg("60").spawn().expect("a process");
    let moved = fs::write(elsewhere.join("cgroup.procs"), child.id().to_string());
    let process = Process::open(child.id()).unwrap();
    let directory = TaskDirectory::open(&process).unwrap();
    let thread = directory.open_thread(Tid(child.id())).unwrap();
    let enrolled = scratch.controller().enroll(&thread, Some(a));
    let there = scratch.controller().tids(a);
    child.kill().expect("our own child");
    child.wait().expect("it ends");
    fs::remove_dir(elsewhere).expect("nobody is in it");
    moved.expect("our own child");
    enrolled.unwrap();
    assert_eq!(there.unwrap(), [Tid(child.id())]);
}

#[test]
fn what_somebody_else_wrote_is_seen_once_and_the_next_limit_puts_it_right() {
    let Some(mut scratch) = Scratch::new("strayed") else {
        return;
    };
    let [root, a, a_in] = groups();
    let half = limits(512, Some(50_000), 100_000);
    scratch.limit(root, None, &CpuLimits::DEFAULT);
    scratch.limit(a, Some(root), &CpuLimits::DEFAULT);
    scratch.limit(a_in, Some(a), &half);
    for group in [root, a, a_in, a_in] {
        assert_eq!(scratch.controller().strayed(group), None);
    }
    let at = format!("pinfold-1/{a}/{a_in}");
    let (writes, seen): ([(&str, &str); 2], [&str; 2]) = match scratch.version() {
        CgroupVersion::One => (
            [("cpu.cfs_quota_us", "-1"), ("cpu.shares", "2")],
            [
                "cpu.cfs_quota_us was -1 instead of 50000",
                "cpu.shares was 2 instead of 512",
            ],
        ),
        CgroupVersion::Two => (
            [("cpu.max", "max 100000"), ("cpu.weight", "1")],
            [
                "cpu.max was max 100000 instead of 50000 100000",
                "cpu.weight was 1 instead of 50",
            ],
        ),
    };
    for ((file, value), seen) in writes.into_iter().zip(seen) {
        fs::write(scratch.directory.join(&at).join(file), value).expect("our own group");
        let found = scratch.controller().strayed(a_in);
        assert_eq!(found.as_deref(), Some(seen));
        // It is not told again before it was tried to put it right.
        assert_eq!(scratch.controller().strayed(a_in), None);
        scratch.limit(a_in, Some(a), &half);
        scratch.assert_limits(&at, &half);
        assert_eq!(scratch.controller().strayed(a_in), None);
    }
    // A group that is made idle loses its shares, and takes none until it is no more.
    let idle = scratch.directory.join(&at).join("cpu.idle");
    if idle.exists() {
        fs::write(&idle, "1").expect("our own group");
        assert!(scratch.controller().strayed(a_in).is_some());
        scratch.limit(a_in, Some(a), &half);
        scratch.assert_limits(&at, &half);
    }
    // What the root of the groups has of the host is for the host to say.
    scratch.come_first();
    assert_eq!(scratch.controller().strayed(root), None);
    // Gone, and the one above it, too.
    for path in [&*at, &*format!("pinfold-1/{a}")] {
        fs::remove_dir(scratch.directory.join(path)).expect("nobody is in it");
    }
    for group in [a, a_in] {
        let found = scratch.controller().strayed(group).expect("it is gone");
        assert!(found.ends_with(" was gone"), "{found}");
    }
    scratch.limit(a, Some(root), &CpuLimits::DEFAULT);
    scratch.limit(a_in, Some(a), &half);
    scratch.assert_limits(&at, &half);
    for group in [root, a, a_in] {
        assert_eq!(scratch.controller().strayed(group), None);
    }
}

#[test]
fn what_a_dead_supervisor_left_is_removed_and_what_a_living_one_has_is_not() {
    let Some(mut scratch) = Scratch::new("stale") else {
        return;
    };
    let [root, ..] = groups();
    let mut child = Command::new("/bin/true").spawn().expect("a process");
    let dead = child.id();
    child.wait().expect("it ends");
    let living = std::process::id();
    for path in [
        format!("pinfold-{dead}/3/4"),
        format!("pinfold-{living}/3"),
        "pinfold-x".into(),
    ] {
        fs::create_dir_all(scratch.directory.join(path)).expect("a scratch cgroup");
    }
    let none = CpuLimits::DEFAULT;
    scratch.limit(root, None, &none);
    assert!(!scratch.has(&format!("pinfold-{dead}")));
    assert!(scratch.has(&format!("pinfold-{living}/3")));
    assert!(scratch.has("pinfold-x") && scratch.has("pinfold-1"));
    let own = scratch.directory.clone();
    let mut other = CpuController::below(scratch.version(), own, "pinfold-1".into());
    let taken = other.limit(root, None, Some(&none)).unwrap_err();
    assert_eq!(taken.errno(), Some(Errno::AGAIN), "it is locked");
    drop(other);
    scratch.controller = None;
    assert!(!scratch.has("pinfold-1"), "it goes with its controller");
    for path in [
        format!("pinfold-{living}/3"),
        format!("pinfold-{living}"),
        "pinfold-x".into(),
    ] {
        fs::remove_dir(scratch.directory.join(path)).expect("a scratch cgroup");
    }
}
