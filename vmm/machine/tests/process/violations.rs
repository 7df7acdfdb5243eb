//! A supervisor that asks for what cannot be, breaks the rules, or is not there.

use std::time::{Duration, Instant};

use link::{ToMachine, ToSupervisor, VERSION};

use crate::guest::Program;
use crate::supervisor::{born, order, running, spawn};

tests![
    another_version_is_refused,
    a_machine_that_cannot_be_built_says_why,
    garbage_ends_the_machine,
    a_machine_dies_with_its_link,
    a_supervisor_that_does_not_read_cannot_hang_the_machine,
];

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
