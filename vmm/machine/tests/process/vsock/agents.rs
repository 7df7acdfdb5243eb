//! The agent port in a machine, with the test as the supervisor.

use std::time::{Duration, Instant};

use link::{AgentStream, ThreadKind, VsockConfig};

use super::{Scratch, accepted, config, finished, listener, pattern, running};
use crate::supervisor::{BOUND, Machine, tid_in};

tests![
    four_agents_reach_the_supervisor_and_a_fifth_does_not,
    no_agent_comes_from_an_unprivileged_port_or_without_leave,
    a_reset_of_the_device_closes_its_connections,
    a_stream_that_the_guest_does_not_read_holds_up_no_other_and_keeps_io_asleep,
];

fn with_agent(path: &str) -> VsockConfig {
    VsockConfig {
        agent: true,
        ..config(path)
    }
}

/// Wait for the end of a stream.
fn assert_ends(stream: &AgentStream) {
    let deadline = Instant::now() + BOUND;
    while !matches!(stream.recv(&mut [0; 64]), Ok(Some(0)) | Err(_)) {
        assert!(Instant::now() < deadline, "the stream does not end");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn four_agents_reach_the_supervisor_and_a_fifth_does_not() {
    let scratch = Scratch::new();
    let vsock = with_agent(&scratch.path("v.sock"));
    let mut machine = running(vsock, &["half-open 5", "sleep 50ms"]);
    let agents: Vec<_> = (0..4).map(|_| machine.agent()).collect();
    for (port, stream) in &agents {
        assert!(*port < 1024);
        stream.send(b"welcome").unwrap();
    }
    let printed = finished(&mut machine);
    print!("{printed}");
    agents.iter().for_each(|(_, stream)| assert_ends(stream));
    assert_eq!(machine.agents_so_far(), 4);
}

fn no_agent_comes_from_an_unprivileged_port_or_without_leave() {
    let scratch = Scratch::new();
    let path = scratch.path("v.sock");
    for (vsock, line) in [
        (with_agent(&path), "unprivileged"),
        (config(&path), "half-open 1"),
    ] {
        let mut machine = running(vsock, &[line]);
        print!("{}", machine.read_all());
        machine.exit_code();
        machine.recv_all();
        assert_eq!(machine.agents_so_far(), 0);
    }
}

fn a_reset_of_the_device_closes_its_connections() {
    let scratch = Scratch::new();
    let path = scratch.path("v.sock");
    let listener = listener(&path, 5000);
    let lines = [
        "half-open 1",
        "badqueue loop",
        "send 5000 300000",
        "forever",
    ];
    let mut machine = running(with_agent(&path), &lines);
    let (_, stream) = machine.agent();
    assert_ends(&stream);
    // The device serves its guest again, and the session's place is free.
    super::transfer::assert_pattern(&accepted(&listener), 0, 300_000);
}

/// The time that `io` uses in 200 ms.
fn io_ns(machine: &Machine) -> u64 {
    let io = tid_in(machine, ThreadKind::Io);
    std::thread::sleep(Duration::from_millis(50));
    let before = machine.run_ns_asleep(io);
    std::thread::sleep(Duration::from_millis(200));
    machine.run_ns_asleep(io) - before
}

fn a_stream_that_the_guest_does_not_read_holds_up_no_other_and_keeps_io_asleep() {
    let scratch = Scratch::new();
    let path = scratch.path("v.sock");
    let listener = listener(&path, 5000);
    let lines = ["half-open 1", "send 5000 3000000", "forever"];
    let mut machine = running(with_agent(&path), &lines);
    let (_, stream) = machine.agent();
    // More than the guest's window and the socket hold.
    let flood = pattern(0, 4096);
    let deadline = Instant::now() + Duration::from_millis(300);
    while Instant::now() < deadline {
        let _ = stream.send(&flood);
    }
    super::transfer::assert_pattern(&accepted(&listener), 0, 3_000_000);
    assert_eq!(
        io_ns(&machine),
        0,
        "with a stream full of bytes that nobody takes"
    );
    drop(stream);
    assert_eq!(io_ns(&machine), 0, "and with its other end closed");
}
