//! A change that the kernel's controller refuses half-way is taken back, with all that the groups had come to.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::kernel::directory_of;
use crate::support::{Run, kvm};
use crate::{controllers, end, spec, stat, throttled};

/// A group of somebody else's in one of ours, which the kernel then does not remove.
struct Foreign(PathBuf);

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

#[test]
fn a_group_that_is_made_again_in_the_kernel_has_what_was_counted_of_it() {
    if !kvm() || !controllers().contains(&"kernel") {
        return;
    }
    let spec = spec(0, "", r#""cpu.cfs_quota_us" = "5000""#);
    let mut run = Run::start_with(&spec, &["--cpu-controller", "kernel"]);
    run.line("a | vcpu0: up");
    run.line("b | vcpu0: up");
    throttled(&mut run, "limits:/second");
    let root = directory_of(run.pid()).expect("the kernel's controller is there");
    let mut groups: Vec<PathBuf> = fs::read_dir(&root)
        .expect("it is there")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    groups.sort();
    // Both groups are left by all, and the older one, which is removed last, cannot be.
    let report = run.report();
    for task in report.tasks.iter().filter(|task| task.machine == "a") {
        run.must(&format!("group attach limits:/ {}", task.name));
    }
    run.must("vm stop b");
    run.report_where("b has ended", |report| {
        let mut machines = report.machines.iter();
        machines.any(|machine| machine.name == "b" && machine.state == "ended")
    });
    let foreign = Foreign(groups[0].join("foreign"));
    fs::create_dir(&foreign.0).expect("a group of our own");
    let before = stat(&mut run, "limits:/second");
    let made = fs::metadata(&groups[1]).expect("it is there").ino();
    let removal = "group rmdir limits:/first ; group rmdir limits:/second";
    run.must_refuse(removal, "the host refused");
    let made_again = fs::metadata(&groups[1]).expect("it is again").ino();
    assert_ne!(made, made_again, "it was gone");
    assert_eq!(stat(&mut run, "limits:/second"), before);
    assert!(before[1] > 0 && before[2] > 0, "{before:?}");
    drop(foreign);
    run.must(removal);
    assert!(!groups[0].exists() && !groups[1].exists());
    run.must("vm stop a");
    end(run);
    assert!(!root.exists(), "nothing is left of {}", root.display());
}
