//! Bytes through the relay: both ways, both kinds of connection, more than any window holds.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use link::{ToMachine, ToSupervisor};

use super::{Scratch, accepted, client, config, finished, listener, pattern, running};
use crate::supervisor::{BOUND, Machine};

tests![
    what_a_guest_sends_arrives_whole,
    what_a_host_sends_arrives_whole,
    a_hosts_client_is_connected_and_served_both_ways,
    a_port_where_nobody_listens_refuses_the_guest,
    a_pause_in_the_middle_loses_nothing,
    a_guest_that_does_not_answer_keeps_no_client_for_long,
    small_messages_go_round,
    a_malformed_queue_costs_the_guest_its_device_until_it_resets_it,
];

/// Several times the room of a connection, of a socket, and of both together.
const BYTES: usize = 3_000_000;

/// Read to the end, and hold it against the pattern.
pub fn assert_pattern(mut stream: &UnixStream, from: usize, length: usize) {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert_eq!(all.len(), length - from);
    assert!(all == pattern(from, length - from), "a wrong byte");
}

fn what_a_guest_sends_arrives_whole() {
    let scratch = Scratch::new();
    let path = scratch.path("v.sock");
    let listener = listener(&path, 5000);
    let mut machine = running(config(&path), &[&format!("send 5000 {BYTES}")]);
    assert_pattern(&accepted(&listener), 0, BYTES);
    let printed = finished(&mut machine);
    assert!(printed.contains(&format!("sent {BYTES} in")), "{printed}");
    print!("{printed}");
}

fn what_a_host_sends_arrives_whole() {
    let scratch = Scratch::new();
    let path = scratch.path("v.sock");
    let listener = listener(&path, 5000);
    let mut machine = running(config(&path), &[&format!("receive 5000 {BYTES}")]);
    let mut stream = accepted(&listener);
    stream.write_all(&pattern(0, BYTES)).unwrap();
    drop(stream);
    let printed = finished(&mut machine);
    assert!(
        printed.contains(&format!("received {BYTES} in")),
        "{printed}"
    );
    print!("{printed}");
}

/// A client at the guest's port, which it may not have opened yet.
fn connected(path: &str, port: u32) -> UnixStream {
    let deadline = Instant::now() + BOUND;
    loop {
        let mut client = client(path);
        client.set_write_timeout(Some(BOUND)).unwrap();
        client
            .write_all(format!("CONNECT {port}\n").as_bytes())
            .unwrap();
        let mut line = Vec::new();
        let mut byte = [0];
        while let Ok(1) = client.read(&mut byte) {
            line.push(byte[0]);
            if byte == *b"\n" {
                let text = String::from_utf8(line).unwrap();
                let port = text
                    .strip_prefix("OK ")
                    .and_then(|port| port.trim().parse().ok());
                assert!(port.is_some_and(|port: u32| port > 1024), "{text:?}");
                return client;
            }
        }
        assert!(Instant::now() < deadline, "no guest at port {port}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn a_hosts_client_is_connected_and_served_both_ways() {
    let scratch = Scratch::new();
    let path = scratch.path("v.sock");
    let mut machine = running(config(&path), &["accept 52"]);
    let client = connected(&path, 52);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (&client).write_all(&pattern(0, BYTES)).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
        });
        assert_pattern(&client, 0, BYTES);
    });
    let printed = finished(&mut machine);
    assert!(
        printed.contains(&format!("echoed {BYTES} bytes")),
        "{printed}"
    );
}

fn a_port_where_nobody_listens_refuses_the_guest() {
    let scratch = Scratch::new();
    let mut machine = running(config(&scratch.path("v.sock")), &["send 5000 1"]);
    let printed = machine.read_all();
    assert_ne!(machine.exit_code(), 0, "{printed}");
}

fn expect(machine: &mut Machine, wanted: &ToSupervisor) {
    loop {
        match machine.recv() {
            Some(message) if message == *wanted => return,
            Some(_) => {}
            None => panic!("the end instead of {wanted:?}: {}", machine.read_all()),
        }
    }
}

fn a_pause_in_the_middle_loses_nothing() {
    let scratch = Scratch::new();
    let path = scratch.path("v.sock");
    let listener = listener(&path, 5000);
    let lines = [
        format!("send 5000 {BYTES}"),
        format!("receive 5000 {BYTES}"),
    ];
    let lines = [lines[0].as_str(), lines[1].as_str()];
    let mut machine = running(config(&path), &lines);
    let pause = |machine: &mut Machine| {
        machine.send(&ToMachine::Pause);
        expect(machine, &ToSupervisor::Paused);
        std::thread::sleep(Duration::from_millis(30));
        machine.send(&ToMachine::Resume);
        expect(machine, &ToSupervisor::Resumed);
    };
    let mut sending = accepted(&listener);
    let mut read = 0;
    for _ in 0..5 {
        let mut some = vec![0; BYTES / 10];
        sending.read_exact(&mut some).unwrap();
        assert!(some == pattern(read, some.len()), "a wrong byte");
        read += some.len();
        pause(&mut machine);
    }
    assert_pattern(&sending, read, BYTES);
    let mut receiving = accepted(&listener);
    for piece in pattern(0, BYTES).chunks(BYTES / 5) {
        receiving.write_all(piece).unwrap();
        pause(&mut machine);
    }
    drop(receiving);
    let printed = finished(&mut machine);
    assert!(
        printed.contains(&format!("received {BYTES} in")),
        "{printed}"
    );
}

fn a_guest_that_does_not_answer_keeps_no_client_for_long() {
    let scratch = Scratch::new();
    let path = scratch.path("v.sock");
    let listener = listener(&path, 5000);
    let mut machine = running(config(&path), &["send 5000 1", "forever"]);
    assert_pattern(&accepted(&listener), 0, 1);
    machine.send(&ToMachine::Pause);
    expect(&mut machine, &ToSupervisor::Paused);
    let start = Instant::now();
    let mut clients: Vec<_> = (0..80).map(|_| client(&path)).collect();
    for client in &mut clients {
        client.write_all(b"CONNECT 52\n").unwrap();
    }
    for client in &mut clients {
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
    }
    let waited = start.elapsed();
    assert!(waited >= Duration::from_millis(1900), "{waited:?}");
    assert!(waited < Duration::from_secs(5), "{waited:?}");
}

/// Prints what a round trip costs.
fn small_messages_go_round() {
    let scratch = Scratch::new();
    let path = scratch.path("v.sock");
    let listener = listener(&path, 7);
    let mut machine = running(config(&path), &["rtt 7 300"]);
    let mut stream = accepted(&listener);
    let mut message = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut message) {
        stream.write_all(&message[..count]).unwrap();
    }
    drop(stream);
    print!("{}", finished(&mut machine));
}

fn a_malformed_queue_costs_the_guest_its_device_until_it_resets_it() {
    let scratch = Scratch::new();
    let path = scratch.path("v.sock");
    let listener = listener(&path, 5000);
    let mut lines = Vec::new();
    for kind in ["loop", "outside", "empty", "jump"] {
        lines.push(format!("badqueue {kind}"));
        lines.push("send 5000 300000".to_owned());
    }
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let mut machine = running(config(&path), &lines);
    for _ in 0..4 {
        assert_pattern(&accepted(&listener), 0, 300_000);
    }
    let printed = finished(&mut machine);
    print!("{printed}");
}
