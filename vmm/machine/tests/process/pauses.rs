//! vCPUs that are told to leave the guest, all of them or some, and to enter it again.

use std::time::{Duration, Instant};

use link::{ThreadKind, ToMachine, ToSupervisor};

use crate::guest::Program;
use crate::supervisor::{born, tid_of};

tests![
    paused_vcpus_use_no_time_and_resumed_ones_do,
    a_machine_paused_before_go_enters_at_resume,
    a_burst_of_orders_ends_in_the_last_one,
    held_vcpus_use_no_time_and_the_others_do,
    a_vcpu_held_before_go_does_not_enter_at_go,
];

fn paused_vcpus_use_no_time_and_resumed_ones_do() {
    let others = Program::new().halt().spin();
    let (mut machine, threads) = born(2, Program::new().only_vcpu0(others).spin());
    let tid = tid_of(&threads, ThreadKind::Vcpu(0));
    machine.send(&ToMachine::Go);
    for _ in 0..3 {
        let running = machine.run_ns(tid);
        let deadline = Instant::now() + Duration::from_secs(10);
        while machine.run_ns(tid) < running + 5_000_000 {
            assert!(Instant::now() < deadline, "it does not run");
            std::thread::sleep(Duration::from_millis(5));
        }
        machine.send(&ToMachine::Pause);
        assert_eq!(machine.recv(), Some(ToSupervisor::Paused));
        let paused = machine.run_ns_asleep(tid);
        std::thread::sleep(Duration::from_millis(60));
        assert_eq!(machine.run_ns(tid), paused);
        machine.send(&ToMachine::Resume);
        assert_eq!(machine.recv(), Some(ToSupervisor::Resumed));
    }
}

fn a_machine_paused_before_go_enters_at_resume() {
    let (mut machine, _) = born(1, Program::new().print("in\n").exit(0));
    machine.send(&ToMachine::Pause);
    assert_eq!(machine.recv(), Some(ToSupervisor::Paused));
    machine.send(&ToMachine::Go);
    assert!(!machine.prints_within(Duration::from_millis(100)));
    machine.send(&ToMachine::Resume);
    assert_eq!(machine.read_all(), "in\n");
}

fn a_burst_of_orders_ends_in_the_last_one() {
    let (mut machine, threads) = born(2, Program::new().spin());
    let tid = tid_of(&threads, ThreadKind::Vcpu(1));
    machine.send(&ToMachine::Go);
    for _ in 0..40 {
        machine.send(&ToMachine::Pause);
        machine.send(&ToMachine::Resume);
    }
    machine.send(&ToMachine::Pause);
    machine.send(&ToMachine::Ping(1));
    while machine.recv() != Some(ToSupervisor::Pong(1)) {}
    // The answer to a Pause under way may come after the answer to the ping.
    while machine.recv_within(Duration::from_millis(100)).is_some() {}
    let paused = machine.run_ns_asleep(tid);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(machine.run_ns(tid), paused);
    machine.send(&ToMachine::Stop);
    machine.recv_all();
    assert_eq!(machine.exit_code(), 0);
}

fn held_vcpus_use_no_time_and_the_others_do() {
    let (mut machine, threads) = born(2, Program::new().spin());
    let tids = [0, 1].map(|index| tid_of(&threads, ThreadKind::Vcpu(index)));
    machine.send(&ToMachine::Go);
    for (number, held) in [(1, 0), (2, 1), (3, 0)] {
        let vcpus = 1 << held;
        machine.send(&ToMachine::Hold { vcpus, number });
        assert_eq!(machine.recv(), Some(ToSupervisor::Held { number }));
        let (held, other) = (tids[held], tids[1 - held]);
        let before = machine.run_ns_asleep(held);
        let running = machine.run_ns(other);
        let deadline = Instant::now() + Duration::from_secs(10);
        while machine.run_ns(other) < running + 20_000_000 {
            assert!(Instant::now() < deadline, "the other does not run");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(machine.run_ns(held), before);
    }
    // A pause is answered as ever, and holding goes on after it.
    machine.send(&ToMachine::Pause);
    assert_eq!(machine.recv(), Some(ToSupervisor::Paused));
    machine.send(&ToMachine::Resume);
    assert_eq!(machine.recv(), Some(ToSupervisor::Resumed));
    let before = machine.run_ns_asleep(tids[0]);
    std::thread::sleep(Duration::from_millis(60));
    assert_eq!(machine.run_ns(tids[0]), before);
    machine.send(&ToMachine::Stop);
    machine.recv_all();
    assert_eq!(machine.exit_code(), 0);
}

fn a_vcpu_held_before_go_does_not_enter_at_go() {
    let (mut machine, _) = born(2, Program::new().print("in\n").exit(0));
    let (vcpus, number) = (0b10, 1);
    machine.send(&ToMachine::Hold { vcpus, number });
    assert_eq!(machine.recv(), Some(ToSupervisor::Held { number }));
    machine.send(&ToMachine::Go);
    let mut printed = Vec::new();
    while printed.len() < 3 {
        printed.extend(machine.read_some(3));
    }
    assert_eq!(printed, b"in\n");
    assert!(!machine.prints_within(Duration::from_millis(100)));
    let (vcpus, number) = (0, 2);
    machine.send(&ToMachine::Hold { vcpus, number });
    assert_eq!(machine.read_all(), "in\n");
}
