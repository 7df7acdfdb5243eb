//! The supervisor's orders, kept or broken.

use std::time::{Duration, Instant};

use link::{HaltCause, ThreadKind, ToMachine, ToSupervisor, VERSION};

use crate::Test;
use crate::guest::Program;
use crate::supervisor::{born, order, running, spawn, tid_of};

pub const TESTS: &[Test] = &[
    (
        "no_guest_instruction_runs_before_go",
        no_guest_instruction_runs_before_go,
    ),
    (
        "every_thread_of_the_process_is_announced",
        every_thread_of_the_process_is_announced,
    ),
    (
        "each_vcpu_ends_and_the_highest_code_is_the_machines",
        each_vcpu_ends_and_the_highest_code_is_the_machines,
    ),
    (
        "a_thread_said_to_have_ended_is_gone",
        a_thread_said_to_have_ended_is_gone,
    ),
    (
        "paused_vcpus_use_no_time_and_resumed_ones_do",
        paused_vcpus_use_no_time_and_resumed_ones_do,
    ),
    (
        "a_machine_paused_before_go_enters_at_resume",
        a_machine_paused_before_go_enters_at_resume,
    ),
    (
        "a_burst_of_orders_ends_in_the_last_one",
        a_burst_of_orders_ends_in_the_last_one,
    ),
    (
        "held_vcpus_use_no_time_and_the_others_do",
        held_vcpus_use_no_time_and_the_others_do,
    ),
    (
        "a_vcpu_held_before_go_does_not_enter_at_go",
        a_vcpu_held_before_go_does_not_enter_at_go,
    ),
    (
        "stop_ends_spinning_halted_and_waiting_vcpus",
        stop_ends_spinning_halted_and_waiting_vcpus,
    ),
    ("pings_are_answered_in_order", pings_are_answered_in_order),
    ("another_version_is_refused", another_version_is_refused),
    (
        "a_machine_that_cannot_be_built_says_why",
        a_machine_that_cannot_be_built_says_why,
    ),
    ("garbage_ends_the_machine", garbage_ends_the_machine),
    ("a_machine_dies_with_its_link", a_machine_dies_with_its_link),
    (
        "a_supervisor_that_does_not_read_cannot_hang_the_machine",
        a_supervisor_that_does_not_read_cannot_hang_the_machine,
    ),
];

fn vcpu(index: u16) -> ThreadKind {
    ThreadKind::Vcpu(index)
}

fn no_guest_instruction_runs_before_go() {
    let (mut machine, threads) = born(2, Program::new().print("!").exit(0));
    let tids = [0, 1].map(|index| tid_of(&threads, vcpu(index)));
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
        let kind = vcpu(index);
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

fn paused_vcpus_use_no_time_and_resumed_ones_do() {
    let others = Program::new().halt().spin();
    let (mut machine, threads) = born(2, Program::new().only_vcpu0(others).spin());
    let tid = tid_of(&threads, vcpu(0));
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
    let tid = tid_of(&threads, vcpu(1));
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
    let tids = [0, 1].map(|index| tid_of(&threads, vcpu(index)));
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

fn another_version_is_refused() {
    let ToMachine::Create {
        machine: config, ..
    } = order(1, Program::new().spin().bytes())
    else {
        unreachable!()
    };
    let mut machine = spawn("assembled");
    machine.send(&ToMachine::Create {
        version: VERSION + 1,
        machine: config,
    });
    let Some(ToSupervisor::Failed { why }) = machine.recv() else {
        panic!("not refused");
    };
    assert!(why.contains("version"), "{why}");
    assert_eq!(machine.exit_code(), i32::from(machine::EXIT_PROTOCOL));
}

fn a_machine_that_cannot_be_built_says_why() {
    for (vcpus, memory, script, word) in [
        (0, 16 << 20, 0, "vCPUs"),
        (1000, 16 << 20, 0, "vCPUs"),
        (1, 0, 0, "memory"),
        (1, 4097, 0, "memory"),
        (1, 1 << 60, 0, "memory"),
        (1, 4096, 0, "tiny guest"),
        (1, 0x10_4000, 8192, "boot page"),
    ] {
        let ToMachine::Create {
            version,
            machine: mut config,
        } = order(1, Vec::new())
        else {
            unreachable!()
        };
        config.vcpus = vcpus;
        config.memory_bytes = memory;
        config.guest = link::Guest::Tiny {
            script: vec![0; script],
        };
        let mut machine = spawn("assembled");
        machine.send(&ToMachine::Create {
            version,
            machine: config,
        });
        let Some(ToSupervisor::Failed { why }) = machine.recv() else {
            panic!("{word}: built");
        };
        assert!(why.contains(word), "{why}");
        assert_eq!(machine.exit_code(), i32::from(machine::EXIT_BUILD));
    }
}

fn garbage_ends_the_machine() {
    let code = i32::from(machine::EXIT_PROTOCOL);
    let mut unborn = spawn("assembled");
    unborn.send_raw(&[0xff; 100]);
    assert_eq!(unborn.exit_code(), code);
    let mut early = spawn("assembled");
    early.send(&ToMachine::Go);
    assert!(matches!(early.recv(), Some(ToSupervisor::Failed { .. })));
    assert_eq!(early.exit_code(), code);
    let mut waiting = born(1, Program::new().spin()).0;
    waiting.send_raw(&[0xff; 100]);
    assert_eq!(waiting.exit_code(), code);
    let mut running = running(1, Program::new().spin());
    running.send(&order(1, Program::new().spin().bytes()));
    assert_eq!(running.exit_code(), code);
}

fn a_machine_dies_with_its_link() {
    let unborn = spawn("assembled");
    let waiting = born(1, Program::new().spin()).0;
    let spinning = running(2, Program::new().spin());
    for mut machine in [unborn, waiting, spinning] {
        machine.link = None;
        assert_eq!(machine.exit_code(), i32::from(machine::EXIT_NO_SUPERVISOR));
    }
}

fn a_supervisor_that_does_not_read_cannot_hang_the_machine() {
    let mut machine = running(1, Program::new().spin());
    let link = machine.link.take().unwrap();
    let start = Instant::now();
    // Answers pile up until the machine's socket is full, then orders do.
    while start.elapsed() < Duration::from_secs(8) {
        match link.send(&ToMachine::Ping(0)) {
            Ok(()) => {}
            Err(link::LinkError::Full) => std::thread::sleep(Duration::from_millis(5)),
            Err(_) => break,
        }
    }
    assert_eq!(machine.exit_code(), i32::from(machine::EXIT_NO_SUPERVISOR));
}
