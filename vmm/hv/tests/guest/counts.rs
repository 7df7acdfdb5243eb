//! What KVM counts of a vCPU.

use crate::rig::{self, End, hypervisor, load, vcpu};

#[test]
fn a_vcpus_exits_are_counted_and_its_counts_outlive_it() {
    let Some(hypervisor) = hypervisor() else {
        return;
    };
    let (vm, entry) = load(&hypervisor, 1, &["print abc", "exit 5"]);
    let mut vcpu = vcpu(&vm, &entry, 0);
    let Some(mut stats) = vm.stats_of(&vcpu).unwrap() else {
        eprintln!("SKIPPED: this KVM has no binary statistics");
        return;
    };
    assert_eq!(stats.read().unwrap().exits, 0, "it has not run yet");
    let ending = rig::run(&mut vcpu, |_| {});
    assert_eq!(ending.end, End::Exited(5));
    let counts = stats.read().unwrap();
    // Each return to us is an exit, and KVM settles others by itself.
    assert!(counts.exits >= ending.exits as u64, "{counts:?}");
    drop(vcpu);
    assert_eq!(stats.read().unwrap(), counts);
}
