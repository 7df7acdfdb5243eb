//! The relay, with the test in the device's place and real sockets at the other end.

mod agents;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use actor::{Mailbox, mailbox};
use devices::vsock::{ConnectionId, Interest, Read, Refused, Streams, Written};
use link::VsockConfig;

use super::agents::SESSIONS;
use super::relay::{Outcome, Relay};
use crate::MachineError;
use crate::control::Report;
use crate::io::Watcher;

const READABLE: Interest = Interest {
    readable: true,
    writable: false,
};
const WRITABLE: Interest = Interest {
    readable: false,
    writable: true,
};
const NEITHER: Interest = Interest {
    readable: false,
    writable: false,
};

/// A directory of a test's own.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("vsock-{}-{serial}", std::process::id()));
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

/// A relay, and all around it.
struct Rig {
    relay: Relay,
    watcher: Watcher,
    reports: Mailbox<Report>,
    path: String,
    now: Instant,
    _scratch: Scratch,
}

impl Rig {
    fn new(agent: bool) -> Self {
        let scratch = Scratch::new();
        let path = scratch.path("v.sock");
        let config = VsockConfig {
            cid: 3,
            path: Some(path.clone()),
            agent,
        };
        let watcher = Watcher::new().unwrap();
        let (address, reports) = mailbox(SESSIONS);
        let mut relay = Relay::new(&config, watcher.clone(), address).unwrap();
        relay.open().unwrap();
        Rig {
            relay,
            watcher,
            reports,
            path,
            now: Instant::now(),
            _scratch: scratch,
        }
    }

    /// Time passes.
    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.relay.set_time(self.now);
        if self.relay.deadline().is_some_and(|due| due <= self.now) {
            self.relay.on_time();
        }
    }

    /// One turn of `io`, without sleeping.
    fn turn(&mut self) -> Vec<Outcome> {
        let happened = self.watcher.wait(Some(Instant::now())).unwrap();
        let outcomes: Vec<_> = happened.map(|one| self.relay.on_event(one)).collect();
        outcomes
            .into_iter()
            .filter(|outcome| *outcome != Outcome::None)
            .collect()
    }

    /// Turns enough for all that has happened.
    fn turns(&mut self) -> Vec<Outcome> {
        (0..40).flat_map(|_| self.turn()).collect()
    }

    /// A client that says `line`.
    fn client(&self, line: &str) -> UnixStream {
        let mut client = UnixStream::connect(&self.path).unwrap();
        client.write_all(line.as_bytes()).unwrap();
        let bound = Some(Duration::from_secs(5));
        client.set_read_timeout(bound).unwrap();
        client
    }

    /// A client that the guest has accepted at `port`.
    fn accepted(&mut self, port: u32) -> (UnixStream, ConnectionId) {
        let mut client = self.client(&format!("CONNECT {port}\n"));
        let outcomes = self.turns();
        let [Outcome::Ask(id)] = outcomes[..] else {
            panic!("{outcomes:?}");
        };
        assert_eq!(id.guest_port, port);
        self.relay.established(id);
        let line = format!("OK {}\n", id.host_port);
        let mut heard = vec![0; line.len()];
        client.read_exact(&mut heard).unwrap();
        assert_eq!(heard, line.as_bytes());
        (client, id)
    }

    fn read(&mut self, id: ConnectionId) -> Result<Vec<u8>, Read> {
        let mut buffer = [0; 64];
        match self.relay.read(id, &mut buffer) {
            Read::Bytes(count) => Ok(buffer[..count].to_vec()),
            other => Err(other),
        }
    }

    /// The descriptor of the next offer to the supervisor.
    fn offered(&self, guest_port: u32) -> std::os::fd::OwnedFd {
        match self.reports.try_recv() {
            Ok(Some(Report::Agent {
                source_port,
                descriptor,
            })) => {
                assert_eq!(source_port, guest_port);
                descriptor
            }
            other => panic!("{other:?}"),
        }
    }
}

fn assert_closed(mut client: &UnixStream) {
    match client.read(&mut [0; 8]) {
        Ok(0) => {}
        // It had said more than was read.
        Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_client_is_connected_and_its_line_alone_is_taken() {
    let mut rig = Rig::new(false);
    let mut early = rig.client("CONNECT 52\nand then");
    let outcomes = rig.turns();
    let [Outcome::Ask(id)] = outcomes[..] else {
        panic!("{outcomes:?}");
    };
    assert_eq!(
        rig.read(id),
        Err(Read::Nothing),
        "the guest has not answered"
    );
    rig.relay.established(id);
    assert_eq!(rig.read(id).unwrap(), b"and then");
    assert_eq!(rig.relay.write(id, b"answer"), Written::Took(6));
    let mut heard = vec![0; format!("OK {}\nanswer", id.host_port).len()];
    early.read_exact(&mut heard).unwrap();
    assert!(heard.ends_with(b"answer"));
    let (_, second) = rig.accepted(52);
    assert_ne!(second, id);
}

#[test]
fn who_leaves_before_the_newline_or_says_something_else_is_closed_and_no_harm_done() {
    let mut rig = Rig::new(false);
    for line in [
        "",
        "CONNECT 52",
        "\n",
        "GET / HTTP/1.1\r\n\r\n",
        &"C".repeat(99),
    ] {
        let client = rig.client(line);
        rig.turns();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rig.turns(), []);
        assert_closed(&client);
        drop(rig.client(line));
        assert_eq!(rig.turns(), []);
    }
    rig.accepted(52);
}

#[test]
fn who_takes_longer_than_two_seconds_is_closed() {
    let mut rig = Rig::new(false);
    let mut slow = rig.client("CON");
    rig.turns();
    rig.pass(Duration::from_millis(1900));
    slow.write_all(b"NECT 52").unwrap();
    rig.turns();
    rig.pass(Duration::from_millis(200));
    assert_closed(&slow);
    assert_eq!(rig.relay.deadline(), None);
}

#[test]
fn a_sixty_fifth_client_waits_for_a_place() {
    let mut rig = Rig::new(false);
    let mut idle: Vec<_> = (0..64).map(|_| rig.client("CON")).collect();
    let late = rig.client("CONNECT 52\n");
    assert_eq!(rig.turns(), []);
    assert_eq!(rig.turn(), [], "and it does not keep the thread awake");
    idle.pop();
    let outcomes = rig.turns();
    assert!(matches!(outcomes[..], [Outcome::Ask(_)]), "{outcomes:?}");
    rig.pass(Duration::from_secs(3));
    idle.iter().for_each(assert_closed);
    drop(late);
    assert!(matches!(rig.turns()[..], [Outcome::Abandon(_)]));
    rig.accepted(53);
}

#[test]
fn a_client_that_leaves_while_the_guest_thinks_is_abandoned() {
    let mut rig = Rig::new(false);
    let client = rig.client("CONNECT 52\n");
    let outcomes = rig.turns();
    let [Outcome::Ask(id)] = outcomes[..] else {
        panic!("{outcomes:?}");
    };
    drop(client);
    assert_eq!(rig.turns(), [Outcome::Abandon(id)]);
    rig.relay.established(id);
    assert_eq!(rig.read(id), Err(Read::Gone));
}

#[test]
fn a_client_that_the_guest_refuses_is_closed() {
    let mut rig = Rig::new(false);
    let client = rig.client("CONNECT 52\n");
    let outcomes = rig.turns();
    let [Outcome::Ask(id)] = outcomes[..] else {
        panic!("{outcomes:?}");
    };
    rig.relay.close(id);
    assert_closed(&client);
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody_else() {
    let mut rig = Rig::new(false);
    let (mut stuck, id) = rig.accepted(52);
    while rig.relay.write(id, &[7; 4096]) != Written::Took(0) {}
    rig.relay.watch(id, WRITABLE);
    let (mut other, second) = rig.accepted(53);
    rig.relay.watch(second, READABLE);
    other.write_all(b"x").unwrap();
    let ready = Outcome::Ready {
        id: second,
        readable: true,
        writable: false,
    };
    assert_eq!(rig.turn(), [ready]);
    assert_eq!(rig.read(second).unwrap(), b"x");
    assert_eq!(rig.turn(), []);
    stuck.set_nonblocking(true).unwrap();
    while stuck.read(&mut [0; 4096]).is_ok() {}
    let ready = Outcome::Ready {
        id,
        readable: false,
        writable: true,
    };
    assert_eq!(rig.turn(), [ready]);
}

#[test]
fn a_hang_up_is_told_when_asked_for_and_keeps_nobody_awake_before() {
    let mut rig = Rig::new(false);
    let (mut client, id) = rig.accepted(52);
    client.write_all(b"last words").unwrap();
    rig.relay.watch(id, READABLE);
    assert_eq!(rig.turn().len(), 1);
    rig.relay.watch(id, NEITHER);
    drop(client);
    assert_eq!(rig.turns(), []);
    rig.relay.watch(id, READABLE);
    let gone = Outcome::Ready {
        id,
        readable: true,
        writable: true,
    };
    assert_eq!(rig.turn(), [gone]);
    assert_eq!(rig.read(id).unwrap(), b"last words");
    assert_eq!(rig.read(id), Err(Read::Gone));
    assert_eq!(rig.relay.write(id, b"x"), Written::Gone);
    rig.relay.close(id);
    assert_eq!(rig.turns(), []);
}

#[test]
fn either_side_may_end_before_the_other() {
    let mut rig = Rig::new(false);
    let (mut client, id) = rig.accepted(52);
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rig.read(id), Err(Read::End));
    assert_eq!(rig.relay.write(id, b"more"), Written::Took(4));
    rig.relay.end_writing(id);
    let mut heard = Vec::new();
    client.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"more");
    assert_eq!(rig.read(id), Err(Read::Gone), "closed in both directions");
}

#[test]
fn a_guest_reaches_whoever_listens_beside_the_path_and_nobody_else() {
    let mut rig = Rig::new(false);
    let id = |host_port| ConnectionId {
        guest_port: 70,
        host_port,
    };
    let listener = UnixListener::bind(format!("{}_80", rig.path)).unwrap();
    assert_eq!(rig.relay.connect(id(81)), Err(Refused));
    rig.relay.connect(id(80)).unwrap();
    assert_eq!(rig.relay.connect(id(80)), Err(Refused), "one at a time");
    let (mut host, _) = listener.accept().unwrap();
    assert_eq!(rig.relay.write(id(80), b"hello"), Written::Took(5));
    let mut heard = [0; 5];
    host.read_exact(&mut heard).unwrap();
    host.write_all(b"back").unwrap();
    assert_eq!(rig.read(id(80)).unwrap(), b"back");
    rig.relay.close(id(80));
    assert_closed(&host);
}

#[test]
fn a_full_backlog_refuses_and_a_thousand_connections_are_not_made() {
    let mut rig = Rig::new(false);
    let _listener = UnixListener::bind(format!("{}_80", rig.path)).unwrap();
    let made = (0..2000)
        .filter(|guest_port| {
            let id = ConnectionId {
                guest_port: *guest_port,
                host_port: 80,
            };
            rig.relay.connect(id).is_ok()
        })
        .count();
    assert!((1..=512).contains(&made), "{made}");
}

#[test]
fn a_config_that_cannot_be_kept_is_refused() {
    let (address, _reports) = mailbox(1);
    let config = VsockConfig {
        cid: 3,
        path: Some("x".repeat(100)),
        agent: false,
    };
    let error = Relay::new(&config, Watcher::new().unwrap(), address).unwrap_err();
    assert!(matches!(error, MachineError::VsockPath { .. }), "{error}");
}
