//! The vsock device and its relay, seen from the host.

pub mod agents;
pub mod transfer;

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use firmware::script::Script;
use link::{ToMachine, ToSupervisor, VsockConfig};

use crate::guest::Program;
use crate::supervisor::{BOUND, Machine, order_with, ready, spawn};

tests![
    a_machine_listens_at_its_path_and_takes_it_along,
    without_a_driver_in_the_guest_a_client_is_closed,
    a_vsock_that_cannot_be_made_says_why,
];

/// A directory of a test's own.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("process-{}-{serial}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn config(path: &str) -> VsockConfig {
    VsockConfig {
        cid: 3,
        path: Some(path.into()),
        agent: false,
    }
}

/// A machine that spins, with this device, up to its birth.
fn spinning(vsock: VsockConfig) -> Machine {
    let mut machine = spawn("assembled");
    machine.send(&order_with(1, Program::new().spin().bytes(), Some(vsock)));
    let born = machine.recv();
    assert!(matches!(born, Some(ToSupervisor::Born { .. })), "{born:?}");
    machine.send(&ToMachine::Go);
    machine
}

/// The built-in guest with a device, going through `lines`.
fn running(vsock: VsockConfig, lines: &[&str]) -> Machine {
    let mut machine = spawn("tiny");
    let script = Script::parse(lines).unwrap().encode();
    machine.send(&order_with(1, script, Some(vsock)));
    let born = machine.recv();
    assert!(matches!(born, Some(ToSupervisor::Born { .. })), "{born:?}");
    machine.send(&ToMachine::Go);
    machine
}

/// A guest's end in good order; returns what it printed.
fn finished(machine: &mut Machine) -> String {
    let printed = machine.read_all();
    assert_eq!(machine.exit_code(), 0, "{printed}");
    printed
}

/// A listener for the guest's connections to `port`.
fn listener(path: &str, port: u32) -> UnixListener {
    UnixListener::bind(format!("{path}_{port}")).unwrap()
}

/// The next connection, waiting for it at most 10 s.
fn accepted(listener: &UnixListener) -> UnixStream {
    assert!(ready(listener, BOUND), "no connection in time");
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream.set_write_timeout(Some(BOUND)).unwrap();
    stream
}

/// The bytes that a guest sends, and expects, from `offset` on.
fn pattern(offset: usize, length: usize) -> Vec<u8> {
    let byte = |at: usize| (at % firmware::PATTERN_PERIOD as usize) as u8;
    (offset..offset + length).map(byte).collect()
}

fn client(path: &str) -> UnixStream {
    let client = UnixStream::connect(path).unwrap();
    client.set_read_timeout(Some(BOUND)).unwrap();
    client
}

fn a_machine_listens_at_its_path_and_takes_it_along() {
    let scratch = Scratch::new();
    let path = scratch.path("v.sock");
    for end in [true, false] {
        let mut machine = spinning(config(&path));
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o660, "owner and group, under any mask: {mode:o}");
        client(&path);
        if end {
            machine.send(&ToMachine::Stop);
            assert_eq!(machine.exit_code(), 0);
            assert!(!Path::new(&path).exists());
        }
        // The second is killed and leaves its socket behind; a third takes it over.
    }
    spinning(config(&path));
}

fn without_a_driver_in_the_guest_a_client_is_closed() {
    let scratch = Scratch::new();
    let path = scratch.path("v.sock");
    let _machine = spinning(config(&path));
    for line in ["CONNECT 52\n", "nonsense\n"] {
        let mut client = client(&path);
        client.write_all(line.as_bytes()).unwrap();
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
    }
}

fn a_vsock_that_cannot_be_made_says_why() {
    let scratch = Scratch::new();
    let file = scratch.path("file");
    std::fs::write(&file, "").unwrap();
    let cid = VsockConfig {
        cid: 2,
        path: None,
        agent: false,
    };
    for (config, part) in [
        (cid, "cid 2"),
        (config(&file), "no socket"),
        (config(&scratch.path("no/where")), "No such file"),
        (config(&"x".repeat(100)), "longer than 107"),
    ] {
        let mut machine = spawn("assembled");
        let script = Program::new().spin().bytes();
        machine.send(&order_with(1, script, Some(config)));
        match machine.recv() {
            Some(ToSupervisor::Failed { why }) => assert!(why.contains(part), "{why}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(machine.exit_code(), i32::from(machine::EXIT_BUILD));
    }
}
