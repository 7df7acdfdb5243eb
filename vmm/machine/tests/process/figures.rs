//! What a machine costs: its start, its size, its threads when nothing asks for them.

use std::time::{Duration, Instant};

use link::{ThreadKind, ToMachine, ToSupervisor, VsockConfig};

use crate::guest::Program;
use crate::supervisor::{born, order_with, spawn, tid_of};
use crate::vsock::Scratch;

tests![
    an_idle_machine_uses_no_time_of_its_own,
    reads_and_output_never_wake_io,
    the_start_is_short_and_the_process_small,
];

/// Prints what each kind of access costs, exit included.
fn reads_and_output_never_wake_io() {
    const TIMES: u32 = 2000;
    let cases = [
        (
            "a port where nothing answers",
            false,
            Program::new().out(0x80, 1),
        ),
        (
            "a read from atomics",
            false,
            Program::new().copy(0x3fd, 0x80),
        ),
        (
            "a byte to the console",
            false,
            Program::new().out(0x3f8, b'x'),
        ),
        ("a write asked of io", true, Program::new().out(0x3ff, 1)),
    ];
    for (name, asks, program) in cases {
        let program = program.repeat_times(TIMES).exit(0).spin();
        let others = Program::new().halt().spin();
        let (mut machine, threads) = born(2, Program::new().only_vcpu0(others).then(program));
        let io = tid_of(&threads, ThreadKind::Io);
        std::thread::sleep(Duration::from_millis(20));
        let before = machine.run_ns_asleep(io);
        let start = Instant::now();
        machine.send(&ToMachine::Go);
        let ended = ToSupervisor::Ended {
            kind: ThreadKind::Vcpu(0),
        };
        while machine.recv() != Some(ended.clone()) {}
        println!("{name}: {:?}", start.elapsed() / TIMES);
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(machine.run_ns_asleep(io) > before, asks, "{name}");
    }
}

fn an_idle_machine_uses_no_time_of_its_own() {
    let (mut machine, threads) = born(1, Program::new().spin());
    machine.send(&ToMachine::Go);
    std::thread::sleep(Duration::from_millis(100));
    let own: Vec<_> = threads
        .iter()
        .filter(|thread| thread.kind != ThreadKind::Vcpu(0))
        .collect();
    let before: Vec<_> = own
        .iter()
        .map(|thread| machine.run_ns_asleep(thread.tid))
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    let after: Vec<_> = own
        .iter()
        .map(|thread| machine.run_ns_asleep(thread.tid))
        .collect();
    assert_eq!(before, after);
    assert_eq!(machine.recv_within(Duration::ZERO), None);
}

/// Prints the figures; the bounds leave room for a busy host and an unoptimized build.
fn the_start_is_short_and_the_process_small() {
    let scratch = Scratch::new();
    let vsock = VsockConfig {
        cid: 3,
        path: Some(scratch.path("v.sock")),
        agent: true,
    };
    for vsock in [None, Some(vsock)] {
        let with = if vsock.is_some() { "with" } else { "without" };
        println!("{with} a vsock device:");
        let mut to_born = Vec::new();
        let mut to_byte = Vec::new();
        let mut rss = 0;
        for _ in 0..20 {
            let mut machine = spawn("assembled");
            std::thread::sleep(Duration::from_millis(2));
            let script = Program::new().print("x").spin().bytes();
            let start = Instant::now();
            machine.send(&order_with(2, script, vsock.clone()));
            assert!(matches!(machine.recv(), Some(ToSupervisor::Born { .. })));
            to_born.push(start.elapsed());
            let go = Instant::now();
            machine.send(&ToMachine::Go);
            machine.read_some(1);
            to_byte.push(go.elapsed());
            rss = machine.resident_kib();
        }
        to_born.sort();
        to_byte.sort();
        println!(
            "Create to Born: best {:?}, median {:?}",
            to_born[0], to_born[10]
        );
        println!(
            "Go to first byte: best {:?}, median {:?}",
            to_byte[0], to_byte[10]
        );
        println!("resident: {rss} KiB, guest's pages included");
        assert!(to_born[0] < Duration::from_millis(20));
        assert!(rss < 8192);
    }
}
