//! The kernel's cpu controller, where this host has one to write to. The threads in it are this test's own.
//!
//! One body for both versions of cgroups, run with the one that is there: `tests/lab` has a kernel with version 2.

mod busy;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::channel;

use busy::Busy;
use container_core::{
    Command as Order, CpuGroup, CpuLimits, Credentials, Framework, HostResources, Tid,
};
use host::{CgroupVersion, CpuController, Errno, Process, TaskDirectory, Thread};

/// A controller below a scratch cgroup of its own; what is left of it goes with this.
struct Scratch {
    directory: PathBuf,
    controller: Option<CpuController>,
    /// Whose root group the scratch cgroup is, so that it is made as version 2 wants it.
    outer: CpuController,
}

impl Scratch {
    fn new(name: &str) -> Option<Scratch> {
        let found = match CpuController::find() {
            Ok(found) => found,
            Err(why) => {
                println!("SKIPPED: {why}");
                return None;
            }
        };
        let (version, root) = (found.version(), found.root());
        println!("with {version} below {}", root.display());
        let name = format!("pinfold-test-{}-{name}", std::process::id());
        let own = root.parent().expect("our cgroup").to_owned();
        let mut outer = CpuController::below(version, own, name);
        let none = CpuLimits::DEFAULT;
        outer
            .limit(CpuGroup::ROOT, None, Some(&none))
            .expect("a scratch cgroup");
        let directory = outer.root();
        let inner = CpuController::below(version, directory.clone(), "pinfold-1".into());
        Some(Scratch {
            directory,
            controller: Some(inner),
            outer,
        })
    }

    fn version(&self) -> CgroupVersion {
        self.outer.version()
    }

    fn controller(&mut self) -> &mut CpuController {
        self.controller.as_mut().expect("it was not dropped")
    }

    /// Have a group be there with these limits.
    fn limit(&mut self, group: CpuGroup, parent: Option<CpuGroup>, limits: &CpuLimits) {
        let done = self.controller().limit(group, parent, Some(limits));
        done.expect("the kernel takes them");
    }

    fn read(&self, path: &str) -> String {
        let text = fs::read_to_string(self.directory.join(path)).expect("a control file");
        text.trim_end().to_owned()
    }

    fn has(&self, path: &str) -> bool {
        self.directory.join(path).exists()
    }

    /// Have our threads come before whoever else wants their CPU, so that it is the limit that is measured.
    fn come_first(&self) {
        let (file, most) = match self.version() {
            CgroupVersion::One => ("cpu.shares", "262144"),
            CgroupVersion::Two => ("cpu.weight", "10000"),
        };
        fs::write(self.directory.join(file), most).expect("our own group");
    }

    /// By each version's own names and words, which are not the code's that is tested.
    fn assert_limits(&self, path: &str, limits: &CpuLimits) {
        let read = |file: &str| self.read(&format!("{path}/{file}"));
        match self.version() {
            CgroupVersion::One => {
                assert_eq!(read("cpu.shares"), limits.shares.to_string());
                assert_eq!(read("cpu.cfs_period_us"), limits.period_us.to_string());
                let quota = limits.quota_us.map_or("-1".into(), |us| us.to_string());
                assert_eq!(read("cpu.cfs_quota_us"), quota);
            }
            CgroupVersion::Two => {
                let weight = (limits.shares as f64 * 100.0 / 1024.0).round().max(1.0);
                assert_eq!(read("cpu.weight"), weight.to_string());
                let quota = limits.quota_us.map_or("max".into(), |us| us.to_string());
                assert_eq!(read("cpu.max"), format!("{quota} {}", limits.period_us));
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.controller = None;
        // The threads of the test have ended or gone back by now; the scratch cgroup goes with its controller.
    }
}

/// Root, a group and one below it.
fn groups() -> [CpuGroup; 3] {
    made(["c:/a", "c:/a/in"])
}

/// Root and two groups.
fn siblings() -> [CpuGroup; 3] {
    made(["c:/a", "c:/b"])
}

fn made(paths: [&str; 2]) -> [CpuGroup; 3] {
    let mut framework = Framework::new(HostResources {
        allowed_cpus: "0".parse().expect("a list"),
        present_cpus: "0".parse().expect("a list"),
        possible_cpus: 1,
        mems: "0".parse().expect("a list"),
    });
    let mkdir = |path: &str| Order::Mkdir {
        group: path.parse().expect("a path"),
    };
    let mount = Order::Mount {
        hierarchy: "c".parse().expect("a name"),
        subsystems: vec!["cpu".into()],
    };
    let commands = [mount, mkdir(paths[0]), mkdir(paths[1])];
    let plan = framework
        .plan(&Credentials::ROOT, &commands)
        .expect("a plan");
    framework.commit(plan).expect("the same generation");
    let groups: Vec<CpuGroup> = framework.cpu_groups().map(|info| info.group).collect();
    groups.try_into().expect("three")
}

fn limits(shares: u64, quota_us: Option<u64>, period_us: u64) -> CpuLimits {
    CpuLimits {
        shares,
        quota_us,
        period_us,
    }
}

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
    // What was on before the controller, by somebody else's doing, stays on after it.
    scratch_has(&mut scratch);
    assert!(is_on(&scratch, "pinfold-1/"));
    let at = format!("pinfold-1/{a}/{a_in}");
    assert_eq!(scratch.read(&format!("{at}/cgroup.type")), "threaded");
    for (group, above) in [(a_in, Some(a)), (a, Some(root)), (root, None)] {
        scratch.controller().limit(group, above, None).unwrap();
    }
    assert!(is_on(&scratch, ""), "the outer controller had it on");
    let control = scratch.directory.join("cgroup.subtree_control");
    fs::write(&control, "-cpu").expect("nobody has a group there");
    // Switched on for the groups, and off with the last of the two supervisors.
    scratch_has(&mut scratch);
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
fn a_quota_of_half_a_cpu_is_kept_and_what_it_held_is_counted() {
    let Some(mut scratch) = Scratch::new("quota") else {
        return;
    };
    let [root, a, _] = groups();
    scratch.limit(root, None, &CpuLimits::DEFAULT);
    scratch.limit(a, Some(root), &limits(1024, Some(50_000), 100_000));
    scratch.come_first();
    let busy = [Busy::start()];
    scratch
        .controller()
        .enroll(busy[0].thread(), Some(a))
        .unwrap();
    let ([used], wall) = busy::run(&busy, 2_000_000_000);
    let stat = scratch.controller().stat(a).unwrap();
    let share = used as f64 / wall as f64;
    println!("half a CPU: {used} of {wall} ns, {share:.3}; {stat:?}");
    // A busy host may give less, and nobody more: but for a period at either end.
    assert!(share < 0.55, "{share:.3} of a CPU");
    assert!(stat.nr_throttled > 0, "{stat:?}");
    assert!(stat.nr_throttled <= stat.nr_periods, "{stat:?}");
    scratch.controller().enroll(busy[0].thread(), None).unwrap();
}

#[test]
fn groups_with_shares_of_one_to_three_divide_a_cpu_so() {
    let Some(mut scratch) = Scratch::new("shares") else {
        return;
    };
    let [root, a, b] = siblings();
    scratch.limit(root, None, &CpuLimits::DEFAULT);
    scratch.limit(a, Some(root), &limits(1024, None, 100_000));
    scratch.limit(b, Some(root), &limits(3072, None, 100_000));
    scratch.come_first();
    let busy = [Busy::start(), Busy::start()];
    for (busy, group) in busy.iter().zip([a, b]) {
        scratch
            .controller()
            .enroll(busy.thread(), Some(group))
            .unwrap();
    }
    let ([few, many], _) = busy::run(&busy, 3_000_000_000);
    let ratio = many as f64 / few.max(1) as f64;
    println!("1:3 asked for: {few} to {many} ns is 1:{ratio:.2}");
    // On one CPU, whatever else runs there; left to itself the kernel makes it 1:1.
    assert!((1.8..5.0).contains(&ratio), "1:{ratio:.2}");
    for busy in &busy {
        scratch.controller().enroll(busy.thread(), None).unwrap();
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
    fs::remove_dir(scratch.directory.join(format!("pinfold-{living}/3"))).expect("rmdir");
}
