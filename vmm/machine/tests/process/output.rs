//! What comes out of a guest: output, and its ways to end.

use std::time::{Duration, Instant};

use link::{HaltCause, ToMachine, ToSupervisor};

use crate::guest::Program;
use crate::supervisor::{Machine, born, running};

tests![
    the_first_byte_is_stamped_once,
    output_comes_whole_and_in_order,
    a_slow_reader_loses_nothing,
    a_vcpu_held_by_its_console_can_be_paused_and_stopped,
    a_reader_that_is_gone_does_not_keep_the_guest,
    serial_registers_answer_as_written,
    reset_and_crash_end_all_vcpus,
];

fn last(machine: &mut Machine) -> Option<ToSupervisor> {
    machine.recv_all().pop()
}

fn halted(cause: HaltCause) -> Option<ToSupervisor> {
    Some(ToSupervisor::Halted { cause })
}

fn the_first_byte_is_stamped_once() {
    let now = || {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
    };
    let (mut machine, _) = born(2, Program::new().print("one\n").print("two\n").exit(0));
    let before = now();
    machine.send(&ToMachine::Go);
    machine.read_all();
    let messages = machine.recv_all();
    let stamps: Vec<_> = messages
        .iter()
        .filter_map(|message| match message {
            ToSupervisor::FirstOutput { monotonic_ns } => Some(*monotonic_ns),
            _ => None,
        })
        .collect();
    assert_eq!(stamps.len(), 1, "{messages:?}");
    assert!((before..now()).contains(&stamps[0]));
}

fn output_comes_whole_and_in_order() {
    let mut machine = running(
        1,
        Program::new()
            .print("a line of output\n")
            .repeat_times(300)
            .exit(0),
    );
    let text = machine.read_all();
    assert!(
        text == "a line of output\n".repeat(300),
        "{} bytes",
        text.len()
    );
}

fn a_slow_reader_loses_nothing() {
    let line = format!("{}\n", "x".repeat(999));
    let mut machine = running(1, Program::new().print(&line).repeat_times(30).exit(3));
    machine.shrink_console();
    let mut read = Vec::new();
    loop {
        std::thread::sleep(Duration::from_millis(100));
        let some = machine.read_some(8192);
        if some.is_empty() {
            break;
        }
        read.extend(some);
    }
    assert!(read == line.repeat(30).into_bytes(), "{} bytes", read.len());
    assert_eq!(machine.exit_code(), 3);
}

fn a_vcpu_held_by_its_console_can_be_paused_and_stopped() {
    let mut machine = running(1, Program::new().print(&"x".repeat(1000)).repeat());
    machine.shrink_console();
    std::thread::sleep(Duration::from_millis(300));
    for _ in 0..20 {
        let start = Instant::now();
        machine.send(&ToMachine::Pause);
        while machine.recv() != Some(ToSupervisor::Paused) {}
        machine.send(&ToMachine::Resume);
        assert_eq!(machine.recv(), Some(ToSupervisor::Resumed));
        assert!(
            start.elapsed() < Duration::from_millis(500),
            "{:?}",
            start.elapsed()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(600));
    // By now the console is stalled, and output is dropped; the stream will say so.
    machine.send(&ToMachine::Stop);
    let text = machine.read_all();
    assert!(text.contains("[console: "), "{} bytes", text.len());
    assert_eq!(last(&mut machine), halted(HaltCause::Stopped));
}

fn a_reader_that_is_gone_does_not_keep_the_guest() {
    let mut machine = running(
        1,
        Program::new()
            .print(&"x".repeat(1000))
            .repeat_times(200)
            .exit(4),
    );
    machine.close_console();
    assert_eq!(machine.exit_code(), 4);
}

fn serial_registers_answer_as_written() {
    // Divisor latch: write and read back; scratch; loopback; an access with an effect each.
    let program = Program::new()
        .out(0x3fb, 0x83)
        .out(0x3f8, b'D')
        .copy(0x3f8, 0x3ff)
        .out(0x3fb, 0x03)
        .copy(0x3ff, 0x3f8)
        .out(0x3fc, 0x10)
        .out(0x3f8, b'L')
        .copy(0x3f8, 0x3ff)
        .out(0x3fc, 0x08)
        .copy(0x3ff, 0x3f8)
        .out(0x3f9, 0x02)
        .out(0x3f8, b'T')
        .copy(0x3fa, 0x3ff)
        .out(0x3f9, 0)
        .copy(0x3ff, 0x3f8)
        .copy(0x3fd, 0x3f8)
        .exit(0);
    let mut machine = running(1, program);
    let mut output = Vec::new();
    loop {
        let some = machine.read_some(64);
        if some.is_empty() {
            break;
        }
        output.extend(some);
    }
    // 0xc2: FIFOs on, transmitter empty; 0x60: line status, idle.
    assert_eq!(output, [b'D', b'L', b'T', 0xc2, 0x60]);
}

fn reset_and_crash_end_all_vcpus() {
    let spin = || Program::new().spin();
    let mut reset = running(2, Program::new().only_vcpu0(spin()).out(0x64, 0xfe));
    assert_eq!(last(&mut reset), halted(HaltCause::Reset));
    assert_eq!(reset.exit_code(), 0);
    let mut crash = running(2, Program::new().only_vcpu0(spin()).crash());
    let Some(ToSupervisor::Halted {
        cause: HaltCause::Fault { vcpu: 0, what },
    }) = last(&mut crash)
    else {
        panic!("no fault");
    };
    assert!(!what.is_empty());
    assert_eq!(crash.exit_code(), i32::from(machine::EXIT_FAULT));
}
