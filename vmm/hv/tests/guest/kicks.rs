//! Kicks and touches: leaving the guest, and entering it without running it.

use std::time::{Duration, Instant};

use hv::VmExit;
use vm_memory::{Bytes, GuestAddress};

use crate::rig::{self, End, PATIENCE, hypervisor, load, start, vcpu};

#[test]
fn a_kick_ends_the_run_of_a_burning_and_of_a_halted_vcpu() {
    for verb in ["forever", "halt"] {
        let Some(guest) = start(1, &["print on", verb]) else {
            return;
        };
        guest.await_line();
        std::thread::sleep(Duration::from_millis(20));
        let kicked = Instant::now();
        guest.kickers[0].kick();
        let ending = &guest.wait()[0];
        let took = kicked.elapsed();
        assert_eq!(ending.end, End::Kicked, "{verb}");
        assert!(took < Duration::from_secs(1), "{verb}: {took:?}");
    }
}

#[test]
fn a_kick_before_the_run_is_not_lost() {
    let Some(hypervisor) = hypervisor() else {
        return;
    };
    let (vm, entry) = load(&hypervisor, 1, &["forever"]);
    let mut vcpu = vcpu(&vm, &entry, 0);
    let kicker = vcpu.kick_handle_for_this_thread().unwrap();
    kicker.kick();
    let started = Instant::now();
    for _ in 0..3 {
        assert_eq!(vcpu.run().unwrap(), VmExit::Kicked, "until it is cleared");
    }
    assert!(started.elapsed() < Duration::from_secs(1));
    vcpu.clear_kick();
    kicker.kick();
    assert_eq!(vcpu.run().unwrap(), VmExit::Kicked);
}

#[test]
fn a_kicked_guest_goes_on_as_if_nothing_had_been() {
    let Some(hypervisor) = hypervisor() else {
        return;
    };
    let (vm, entry) = load(
        &hypervisor,
        1,
        &["print abc", "sleep 300ms", "print def", "exit 5"],
    );
    let mut vcpu = vcpu(&vm, &entry, 0);
    let kicker = vcpu.kick_handle_for_this_thread().unwrap();
    let storm = std::thread::spawn(move || {
        for _ in 0..200 {
            kicker.kick();
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let deadline = Instant::now() + PATIENCE;
    let (mut text, mut kicks) = (String::new(), 0);
    loop {
        assert!(Instant::now() < deadline);
        let ending = rig::run(&mut vcpu, |_| {});
        text += &ending.text();
        match ending.end {
            End::Kicked => kicks += 1,
            end => break assert_eq!(end, End::Exited(5)),
        }
        vcpu.clear_kick();
    }
    storm.join().unwrap();
    assert_eq!(text, "vcpu0: abc\nvcpu0: def\n");
    assert!(kicks > 10, "{kicks}");
}

#[test]
fn a_touch_executes_no_guest_instruction() {
    let Some(hypervisor) = hypervisor() else {
        return;
    };
    let (vm, entry) = load(&hypervisor, 1, &["exit 9"]);
    // The stub's first instructions write to the slot of vCPU 0.
    let mut vcpu = vcpu(&vm, &entry, 0);
    let before = memory_of(&vm);
    vcpu.touch().unwrap();
    vcpu.touch().unwrap();
    assert!(memory_of(&vm) == before, "guest memory changed");
    assert_eq!(
        vcpu.run().unwrap(),
        VmExit::Kicked,
        "a touch leaves the vCPU kicked"
    );
    vcpu.clear_kick();
    assert_eq!(rig::run(&mut vcpu, |_| {}).end, End::Exited(9));
    assert!(memory_of(&vm) != before, "a run does leave traces there");
}

fn memory_of(vm: &hv::Vm) -> Vec<u8> {
    let mut bytes = vec![0; firmware::MIN_MEMORY_BYTES as usize];
    vm.memory()
        .read_slice(&mut bytes, GuestAddress(0))
        .expect("memory");
    bytes
}

#[test]
fn a_vcpu_dropped_on_another_thread_leaves_a_kick_harmless() {
    let Some(hypervisor) = hypervisor() else {
        return;
    };
    let (vm, entry) = load(&hypervisor, 1, &[]);
    let mut vcpu = vcpu(&vm, &entry, 0);
    let kicker = vcpu.kick_handle_for_this_thread().unwrap();
    std::thread::spawn(move || drop(vcpu)).join().unwrap();
    kicker.kick();
}
