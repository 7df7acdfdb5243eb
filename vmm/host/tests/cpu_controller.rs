//! The kernel's cpu controller, where this host has one to write to. The threads in it are this test's own.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::channel;

use container_core::{
    Command as Order, CpuGroup, CpuLimits, Credentials, Framework, HostResources, Tid,
};
use host::{CpuController, Errno, Process, TaskDirectory};

/// A controller below a scratch cgroup of its own; what is left of it goes with this.
struct Scratch {
    directory: PathBuf,
    controller: Option<CpuController>,
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
        let own = found.root();
        let name = format!("pinfold-test-{}-{name}", std::process::id());
        let directory = own.parent().expect("our cgroup").join(name);
        fs::create_dir(&directory).expect("a scratch cgroup");
        Some(Scratch {
            controller: Some(CpuController::below(directory.clone(), "pinfold-1".into())),
            directory,
        })
    }

    fn controller(&mut self) -> &mut CpuController {
        self.controller.as_mut().expect("it was not dropped")
    }

    fn read(&self, path: &str) -> String {
        let text = fs::read_to_string(self.directory.join(path)).expect("a control file");
        text.trim_end().to_owned()
    }

    fn has(&self, path: &str) -> bool {
        self.directory.join(path).exists()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.controller = None;
        // The threads of the test have ended or gone back by now.
        for entry in fs::read_dir(&self.directory)
            .into_iter()
            .flatten()
            .flatten()
        {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let _ = fs::remove_dir(entry.path());
            }
        }
        let _ = fs::remove_dir(&self.directory);
    }
}

/// Root, a group and one below it.
fn groups() -> [CpuGroup; 3] {
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
    let commands = [mount, mkdir("c:/a"), mkdir("c:/a/in")];
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
    scratch.controller().limit(root, None, Some(&none)).unwrap();
    let half = limits(512, Some(50_000), 100_000);
    scratch
        .controller()
        .limit(a, Some(root), Some(&half))
        .unwrap();
    scratch
        .controller()
        .limit(a_in, Some(a), Some(&half))
        .unwrap();
    let at = format!("pinfold-1/{a}/{a_in}");
    assert_eq!(scratch.read(&format!("{at}/cpu.shares")), "512");
    assert_eq!(scratch.read(&format!("{at}/cpu.cfs_quota_us")), "50000");
    // Either of the two alone would be more than the group above has, or less than one below.
    for (quota, period) in [(500_000, 1_000_000), (5_000, 10_000), (50_000, 100_000)] {
        let same = limits(2, Some(quota), period);
        scratch
            .controller()
            .limit(a_in, Some(a), Some(&same))
            .unwrap();
        scratch
            .controller()
            .limit(a, Some(root), Some(&same))
            .unwrap();
        assert_eq!(
            scratch.read(&format!("{at}/cpu.cfs_period_us")),
            period.to_string()
        );
        assert_eq!(
            scratch.read(&format!("{at}/cpu.cfs_quota_us")),
            quota.to_string()
        );
    }
    let more = limits(2, Some(60_000), 100_000);
    let refused = scratch
        .controller()
        .limit(a_in, Some(a), Some(&more))
        .unwrap_err();
    assert_eq!(refused.errno(), Some(Errno::INVAL));
    assert!(refused.to_string().contains("60000"), "{refused}");
    scratch
        .controller()
        .limit(a_in, Some(a), Some(&none))
        .unwrap();
    assert_eq!(scratch.read(&format!("{at}/cpu.cfs_quota_us")), "-1");
    assert_eq!(scratch.controller().stat(a_in).unwrap().nr_throttled, 0);
    let busy = scratch.controller().limit(a, Some(root), None).unwrap_err();
    assert_eq!(busy.errno(), Some(Errno::BUSY));
    for (group, above) in [(a_in, Some(a)), (a, Some(root)), (root, None), (root, None)] {
        scratch.controller().limit(group, above, None).unwrap();
    }
    assert!(!scratch.has("pinfold-1"));
}

#[test]
fn a_thread_is_enrolled_and_let_go_and_one_that_has_ended_is_said_to_have() {
    let Some(mut scratch) = Scratch::new("tasks") else {
        return;
    };
    let [root, a, _] = groups();
    let none = CpuLimits::DEFAULT;
    scratch.controller().limit(root, None, Some(&none)).unwrap();
    scratch
        .controller()
        .limit(a, Some(root), Some(&none))
        .unwrap();
    let ((tell, tids), (go, gone)) = (channel(), channel::<()>());
    let worker = std::thread::spawn(move || {
        let tid = rustix::thread::gettid().as_raw_nonzero().get();
        tell.send(Tid(tid.unsigned_abs())).expect("it waits");
        let _ = gone.recv();
    });
    let tid = tids.recv().expect("its tid");
    let process = Process::open(std::process::id()).unwrap();
    let thread = TaskDirectory::open(&process)
        .unwrap()
        .open_thread(tid)
        .unwrap();
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
    scratch.controller().limit(root, None, Some(&none)).unwrap();
    assert!(!scratch.has(&format!("pinfold-{dead}")));
    assert!(scratch.has(&format!("pinfold-{living}/3")));
    assert!(scratch.has("pinfold-x") && scratch.has("pinfold-1"));
    let mut other = CpuController::below(scratch.directory.clone(), "pinfold-1".into());
    let taken = other.limit(root, None, Some(&none)).unwrap_err();
    assert_eq!(taken.errno(), Some(Errno::AGAIN), "it is locked");
    drop(other);
    scratch.controller = None;
    assert!(!scratch.has("pinfold-1"), "it goes with its controller");
    fs::remove_dir(scratch.directory.join(format!("pinfold-{living}/3"))).expect("rmdir");
}
