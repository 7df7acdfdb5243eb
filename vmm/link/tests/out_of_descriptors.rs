//! A process of its own, since it takes its own descriptors away.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use link::{AgentOffer, Link, ToMachine, ToSupervisor};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[test]
fn an_offer_that_finds_no_descriptor_is_refused_and_the_link_goes_on() {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (ours, theirs): (OwnedFd, OwnedFd) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
    let link = Link::<ToMachine, ToSupervisor>::new(ours);
    let peer = Link::<ToSupervisor, ToMachine>::new(theirs);
    let (offer, sent) = AgentOffer::new().unwrap();
    let agent = ToSupervisor::Agent { source_port: 7 };
    peer.send_with(&agent, sent.as_fd()).unwrap();
    peer.send(&ToSupervisor::Pong(1)).unwrap();

    let last = sent.as_raw_fd() as u64;
    let limit = getrlimit(Resource::Nofile);
    let current = Some(last + 1);
    setrlimit(Resource::Nofile, Rlimit { current, ..limit }).unwrap();
    let full: Vec<OwnedFd> = std::iter::from_fn(|| sent.try_clone().ok()).collect();
    let received = link.recv_with_descriptor().unwrap();
    drop(full);

    let (message, descriptor) = received.expect("a message");
    assert_eq!(message, agent);
    assert!(descriptor.is_none());
    assert_eq!(link.recv().unwrap(), Some(ToSupervisor::Pong(1)));
    drop(sent);
    assert!(offer.take().is_err(), "refused");
}
