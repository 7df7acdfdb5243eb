//! The life of a machine that keeps its orders: born, let go, asked, stopped.

use std::time::{Duration, Instant};

use link::{HaltCause, ThreadKind, ToMachine, ToSupervisor};

use crate::guest::Program;
use crate::supervisor::{born, running, tid_of};

tests![
    no_guest_instruction_runs_before_go,
    every_thread_of_the_process_is_announced,
    each_vcpu_ends_and_the_highest_code_is_the_machines,
    a_thread_said_to_have_ended_is_gone,
    stop_ends_spinning_halted_and_waiting_vcpus,
    pings_are_answered_in_order,
    what_kvm_counts_is_said_with_each_pong_and_at_the_end,
];

fn no_guest_instruction_runs_before_go() {
    let (mut machine, threads) = born(2, Program::new().print("!").exit(0));
    let tids = [0, 1].map(|index| tid_of(&threads, ThreadKind::Vcpu(index)));
    let before = tids.map(|tid| machine.run_ns_asleep(tid));
    assert!(!machine.prints_within(Duration::from_millis(300)));
    assert_eq!(tids.map(|tid| machine.run_ns(tid)), before);
    assert_eq!(machine.recv_within(Duration::ZERO), None);
    machine.send(&ToMachine::Go);
    assert_eq!(machine.read_all(), "!!");
}

fn every_thread_of_the_process_is_announced() {
    let (machine, threads) = born(2, Program::new().spin());
    let seen = |machine: &crate::supervisor::Machine| {
        let mut seen: Vec<_> = std::fs::read_dir(format!("/proc/{}/task", machine.pid()))
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                let tid: u32 = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
                let name = std::fs::read_to_string(path.join("comm")).unwrap();
                (tid, name.trim().to_owned())
            })
            .collect();
        seen.sort();
        seen
    };
    let mut announced: Vec<_> = threads
        .iter()
        .map(|thread| {
            let name = match thread.kind {
                ThreadKind::Vcpu(index) => format!("vcpu{index}"),
                ThreadKind::Io => "io".into(),
                ThreadKind::Control => "control".into(),
                ThreadKind::Kvm(_) => "kvm".into(),
            };
            (thread.tid, name)
        })
        .collect();
    announced.sort();
    let expected: Vec<_> = seen(&machine)
        .into_iter()
        .map(|(tid, name)| {
            (
                tid,
                if name.starts_with("kvm") {
                    "kvm".into()
                } else {
                    name
                },
            )
        })
        .collect();
    assert_eq!(announced, expected);
    machine.send(&ToMachine::Go);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(
        seen(&machine).len(),
        threads.len(),
        "a thread came after Born"
    );
}

fn each_vcpu_ends_and_the_highest_code_is_the_machines() {
    let mut machine = running(3, Program::new().exit_with_index());
    let mut messages = machine.recv_all();
    assert_eq!(machine.exit_code(), 2);
    let cause = HaltCause::Exit(2);
    assert_eq!(messages.pop(), Some(ToSupervisor::Halted { cause }));
    let kind = ThreadKind::Io;
    assert_eq!(messages.pop(), Some(ToSupervisor::Ended { kind }));
    for index in 0..3 {
        let kind = ThreadKind::Vcpu(index);
        assert!(
            messages.contains(&ToSupervisor::Ended { kind }),
            "{messages:?}"
        );
    }
    assert_eq!(messages.len(), 3);
}

fn a_thread_said_to_have_ended_is_gone() {
    // vCPU 0 stays, so that the process does.
    let others = Program::new().exit(0);
    let (mut machine, threads) = born(3, Program::new().only_vcpu0(others).spin());
    machine.send(&ToMachine::Go);
    for _ in 0..2 {
        let Some(ToSupervisor::Ended { kind }) = machine.recv() else {
            panic!("not an end");
        };
        let task = format!("/proc/{}/task/{}", machine.pid(), tid_of(&threads, kind));
        assert!(!std::fs::exists(task).unwrap(), "{kind:?}");
    }
}

fn stop_ends_spinning_halted_and_waiting_vcpus() {
    for go in [true, false] {
        let others = Program::new().halt().spin();
        let (mut machine, _) = born(2, Program::new().only_vcpu0(others).spin());
        if go {
            machine.send(&ToMachine::Go);
            std::thread::sleep(Duration::from_millis(30));
        }
        let start = Instant::now();
        machine.send(&ToMachine::Stop);
        let cause = HaltCause::Stopped;
        let halted = ToSupervisor::Halted { cause };
        while machine.recv() != Some(halted.clone()) {}
        assert!(
            start.elapsed() < Duration::from_secs(1),
            "{:?}",
            start.elapsed()
        );
        assert_eq!(machine.exit_code(), 0);
    }
}

fn pings_are_answered_in_order() {
    let mut machine = running(1, Program::new().spin());
    for number in 0..100 {
        machine.send(&ToMachine::Ping(number));
        assert_eq!(machine.recv(), Some(ToSupervisor::Pong(number)));
    }
}

fn what_kvm_counts_is_said_with_each_pong_and_at_the_end() {
    let mut machine = running(2, Program::new().print("in").spin());
    let mut printed = 0;
    while printed < 2 * "in".len() {
        printed += machine.read_some(16).len();
    }
    assert!(matches!(
        machine.recv(),
        Some(ToSupervisor::FirstOutput { .. })
    ));
    for number in 0..3 {
        machine.send(&ToMachine::Ping(number));
        assert_eq!(machine.recv(), Some(ToSupervisor::Pong(number)));
    }
    machine.send(&ToMachine::Stop);
    machine.recv_all();
    let counts = machine.counts();
    if counts.is_empty() {
        eprintln!("SKIPPED: this KVM has no binary statistics");
        return;
    }
    assert_eq!(counts.len(), 4, "{counts:?}");
    for vcpu in 0..2 {
        let exits: Vec<u64> = counts.iter().map(|counts| counts[vcpu].exits).collect();
        assert!(
            exits.is_sorted() && exits[0] > 0,
            "to print is an exit: {exits:?}"
        );
    }
}
