//! The agent port, with the test as device and as supervisor.

use std::os::unix::net::UnixListener;
use std::time::Duration;

use devices::vsock::{ConnectionId, Read, Refused, Streams, Written};
use link::AgentStream;

use super::{NEITHER, READABLE, Rig, WRITABLE};
use crate::vsock::relay::Outcome;

fn agent(guest_port: u32) -> ConnectionId {
    ConnectionId {
        guest_port,
        host_port: 1024,
    }
}

#[test]
fn the_agent_port_is_nobodys_without_an_agent() {
    let mut rig = Rig::new(false);
    let _listener = UnixListener::bind(format!("{}_1024", rig.path)).unwrap();
    assert_eq!(rig.relay.connect(agent(1)), Err(Refused));
    assert!(matches!(rig.reports.try_recv(), Ok(None)));
}

#[test]
fn an_agents_bytes_wait_for_the_supervisor_and_then_reach_it() {
    let mut rig = Rig::new(true);
    rig.relay.connect(agent(1023)).unwrap();
    rig.relay.watch(agent(1023), READABLE);
    assert_eq!(rig.relay.write(agent(1023), b"early"), Written::Took(0));
    assert_eq!(rig.read(agent(1023)), Err(Read::Nothing));
    let supervisor = AgentStream::from_fd(rig.offered(1023)).unwrap();
    supervisor.send(b"welcome").unwrap();
    let ready = Outcome::Ready {
        id: agent(1023),
        readable: true,
        writable: false,
    };
    assert_eq!(rig.turns()[0], ready);
    assert_eq!(rig.read(agent(1023)).unwrap(), b"welcome");
    assert_eq!(rig.relay.write(agent(1023), b"hello"), Written::Took(5));
    assert_eq!(supervisor.recv(&mut [0; 8]).unwrap(), Some(5));
    rig.relay.close(agent(1023));
    assert_eq!(supervisor.recv(&mut [0; 8]).unwrap(), Some(0));
}

#[test]
fn what_the_guest_ended_before_the_supervisor_came_ends_there() {
    let mut rig = Rig::new(true);
    rig.relay.connect(agent(9)).unwrap();
    rig.relay.end_writing(agent(9));
    let supervisor = AgentStream::from_fd(rig.offered(9)).unwrap();
    rig.turns();
    assert_eq!(supervisor.recv(&mut [0; 8]).unwrap(), Some(0));
}

#[test]
fn a_refusal_by_the_supervisor_breaks_the_connection_whenever_the_device_asks() {
    let mut rig = Rig::new(true);
    for watched in [true, false] {
        rig.relay.connect(agent(9)).unwrap();
        rig.relay
            .watch(agent(9), if watched { READABLE } else { NEITHER });
        drop(rig.offered(9));
        assert_eq!(rig.turns().len(), usize::from(watched));
        rig.relay.watch(agent(9), WRITABLE);
        assert!(rig.relay.take_missed().contains(&agent(9)));
        assert_eq!(rig.relay.write(agent(9), b"x"), Written::Gone);
        rig.relay.close(agent(9));
    }
}

#[test]
fn four_sessions_stand_and_a_closed_one_counts_until_the_supervisor_has_answered() {
    let mut rig = Rig::new(true);
    assert_eq!(rig.relay.connect(agent(1024)), Err(Refused));
    for port in 1..=4 {
        rig.relay.connect(agent(port)).unwrap();
    }
    rig.relay.close(agent(1));
    assert_eq!(rig.relay.connect(agent(5)), Err(Refused));
    let abandoned = AgentStream::from_fd(rig.offered(1)).unwrap();
    rig.turns();
    assert_eq!(abandoned.recv(&mut [0; 8]).unwrap(), Some(0));
    rig.relay.connect(agent(5)).unwrap();
    assert_eq!(rig.relay.connect(agent(6)), Err(Refused));
}

#[test]
fn sessions_in_a_row_are_refused_beyond_the_burst() {
    let mut rig = Rig::new(true);
    let opened = |rig: &mut Rig| {
        let mut count = 0;
        while rig.relay.connect(agent(1)).is_ok() {
            count += 1;
            drop(rig.offered(1));
            rig.turns();
            rig.relay.close(agent(1));
        }
        count
    };
    assert_eq!(opened(&mut rig), 32);
    rig.pass(Duration::from_secs(1));
    assert_eq!(opened(&mut rig), 16);
}
