//! How connections begin and end.

use std::time::Duration;

use super::world::{World, id};
use crate::vsock::spec::{op, shutdown};

const MOMENT: Duration = Duration::from_millis(10);
const REQUEST_PATIENCE: Duration = Duration::from_secs(2);
const LINGER: Duration = Duration::from_secs(8);

#[test]
fn bytes_pass_both_ways_on_a_connection_the_guest_made() {
    let mut world = World::new(16);
    let id = world.connect(1000);
    world.send(&world.header(id, op::RW), b"from the guest");
    world.host.end(id).to_guest.extend(b"from the host");
    assert_eq!(world.bytes_heard(), b"from the host");
    assert_eq!(world.host.end(id).from_guest, b"from the guest");
    let counters = world.vsock.counters();
    assert_eq!((counters.tx_packets, counters.rx_packets), (2, 2));
    assert_eq!((counters.tx_bytes, counters.rx_bytes), (14, 13));
}

#[test]
fn whoever_is_refused_hears_rst() {
    let mut world = World::new(16);
    world.host.refuses = true;
    world.send_op(id(1000, 1024), op::REQUEST, 0);
    assert_eq!(world.heard(), [(op::RST, 0)]);
    assert_eq!(world.vsock.counters().resets, 1);
}

#[test]
fn the_host_connects_when_the_guest_accepts() {
    let mut world = World::new(16);
    let id = world.request(80);
    assert_eq!(world.heard(), [(op::REQUEST, 0)]);
    assert!(!world.host.end(id).established);
    world.send_op(id, op::RESPONSE, 0);
    assert!(world.host.end(id).established);
    world.host.end(id).to_guest.extend(b"hello");
    assert_eq!(world.bytes_heard(), b"hello");
    world.pass(REQUEST_PATIENCE);
    assert!(world.host.closed.is_empty());
}

#[test]
fn a_host_whom_the_guest_refuses_or_ignores_hears_of_it() {
    let mut world = World::new(16);
    let refused = world.request(80);
    world.send_op(refused, op::RST, 0);
    world.host.closed(refused);
    let ignored = world.request(81);
    world.heard();
    world.pass(REQUEST_PATIENCE - MOMENT);
    assert!(world.host.ends.contains_key(&ignored));
    world.pass(MOMENT);
    world.host.closed(ignored);
    assert_eq!(world.heard(), [(op::RST, 0)]);
    world.send_op(ignored, op::RESPONSE, 0);
    assert_eq!(world.heard(), [(op::RST, 0)]);
}

#[test]
fn a_client_that_goes_away_before_the_answer_costs_nothing() {
    let mut world = World::new(16);
    for sent in [true, false] {
        world.settle();
        world.refills = sent;
        if !sent {
            // No buffers are left, so the request never goes out.
            while world.rx.free() < 16 {
                world.send_op(id(7, 7), op::RW, 0);
                world.receive();
            }
            world.inbox.clear();
        }
        let id = world.request(80);
        let turn = world.vsock.abandon(id, &mut world.host, world.now);
        world.run(turn);
        world.host.closed(id);
        assert_eq!(world.vsock.deadline(), None);
        world.refills = true;
        // A guest that was never asked need not hear that nobody asks any more.
        let expected: &[_] = if sent {
            &[(op::REQUEST, 0), (op::RST, 0)]
        } else {
            &[]
        };
        assert_eq!(world.heard(), expected);
    }
}

#[test]
fn a_name_is_used_once_at_a_time() {
    let mut world = World::new(16);
    let id = world.request(80);
    assert!(world.vsock.request(5000, 80, world.now).is_err());
    world.send_op(id, op::RESPONSE, 0);
    world.heard();
    // A second request of that name ends the first: the guest has lost count.
    world.send_op(id, op::REQUEST, 0);
    assert_eq!(world.heard(), [(op::RST, 0)]);
    world.host.closed(id);
}

#[test]
fn a_guest_that_closes_hears_rst_once_the_host_has_every_byte() {
    let mut world = World::new(16);
    world.host.room = 3;
    let id = world.connect(1000);
    world.send(&world.header(id, op::RW), b"abcdef");
    world.send_op(id, op::SHUTDOWN, shutdown::BOTH);
    assert_eq!(world.heard(), []);
    // As long as the host takes some, however slowly, it has time.
    for room in [1, 1] {
        world.pass(LINGER - MOMENT);
        world.host.end(id).room = room;
        assert_eq!(world.heard(), []);
    }
    world.host.end(id).room = 9;
    assert_eq!(world.heard(), [(op::RST, 0)]);
    assert_eq!(world.host.closed(id).from_guest, b"abcdef");
    assert_eq!(world.vsock.deadline(), None);
}

#[test]
fn a_host_that_takes_nothing_from_a_closed_guest_is_given_up() {
    let mut world = World::new(16);
    world.host.room = 0;
    let id = world.connect(1000);
    world.send(&world.header(id, op::RW), b"abcdef");
    world.send_op(id, op::SHUTDOWN, shutdown::BOTH);
    world.pass(LINGER);
    assert_eq!(world.heard(), [(op::RST, 0)]);
    world.host.closed(id);
}

#[test]
fn what_a_guest_sent_before_it_closed_is_delivered_even_if_it_waits_no_longer() {
    let mut world = World::new(16);
    world.host.room = 0;
    let id = world.connect(1000);
    world.send(&world.header(id, op::RW), b"abcdef");
    world.send_op(id, op::SHUTDOWN, shutdown::BOTH);
    world.send_op(id, op::RST, 0);
    // Until then the name stays in use.
    world.send_op(id, op::REQUEST, 0);
    assert_eq!(world.heard(), [(op::RST, 0)]);
    world.host.end(id).room = 6;
    assert_eq!(world.heard(), []);
    assert_eq!(world.host.closed(id).from_guest, b"abcdef");
    world.connect(1000);
}

#[test]
fn a_guest_that_only_stops_sending_still_receives() {
    let mut world = World::new(16);
    world.host.room = 2;
    let id = world.connect(1000);
    world.send(&world.header(id, op::RW), b"abc");
    world.send_op(id, op::SHUTDOWN, shutdown::SEND);
    world.settle();
    assert!(!world.host.end(id).writing_ended, "a byte still waits");
    world.host.end(id).room = 1;
    world.settle();
    assert!(world.host.end(id).writing_ended);
    world.host.end(id).to_guest.extend(b"answer");
    assert_eq!(world.bytes_heard(), b"answer");
    // The answer's end ends it all: nobody has anything to say.
    world.host.end(id).ended = true;
    let heard = world.heard();
    assert_eq!(heard, [(op::SHUTDOWN, shutdown::BOTH)]);
    world.host.closed(id);
    world.send_op(id, op::RST, 0);
    assert_eq!(world.heard(), []);
    assert_eq!(world.vsock.deadline(), None);
}

#[test]
fn a_guest_that_stops_receiving_is_sent_nothing() {
    let mut world = World::new(16);
    let id = world.connect(1000);
    world.send_op(id, op::SHUTDOWN, shutdown::RECEIVE);
    world.host.end(id).to_guest.extend(b"unheard");
    world.send(&world.header(id, op::RW), b"said");
    assert_eq!(world.heard(), []);
    assert_eq!(world.host.end(id).from_guest, b"said");
    world.send_op(id, op::SHUTDOWN, shutdown::SEND);
    assert_eq!(world.heard(), [(op::RST, 0)]);
}

#[test]
fn a_host_that_only_stops_sending_still_receives() {
    let mut world = World::new(16);
    let id = world.connect(1000);
    world.host.end(id).to_guest.extend(b"question");
    world.host.end(id).ended = true;
    world.settle();
    let packets: Vec<_> = world.inbox.drain(..).collect();
    assert_eq!(packets[0].1, b"question");
    assert_eq!(packets[1].0.op, op::SHUTDOWN);
    assert_eq!(packets[1].0.flags, shutdown::SEND);
    world.send(&world.header(id, op::RW), b"answer");
    world.settle();
    assert_eq!(world.host.end(id).from_guest, b"answer");
}

#[test]
fn a_host_that_closes_is_read_to_its_last_byte_and_the_guest_has_time_to_agree() {
    for answer in [Some(op::RST), Some(op::SHUTDOWN), None] {
        let mut world = World::new(16);
        let id = world.connect(1000);
        let end = world.host.end(id);
        end.to_guest.extend(b"last words");
        end.gone = true;
        // Its end is noticed by a write, before its words are read.
        world.send(&world.header(id, op::RW), b"too late");
        world.settle();
        let bytes: Vec<u8> = world
            .inbox
            .iter()
            .flat_map(|(_, part)| part.clone())
            .collect();
        assert_eq!(bytes, b"last words");
        let heard = world.heard();
        assert_eq!(heard.last(), Some(&(op::SHUTDOWN, shutdown::BOTH)));
        world.host.closed(id);
        // Bytes that crossed it are no offence.
        world.send(&world.header(id, op::RW), b"crossed");
        assert_eq!(world.heard(), []);
        match answer {
            Some(op) => world.send_op(id, op, shutdown::BOTH),
            None => world.pass(LINGER),
        }
        let expected = if answer == Some(op::RST) { 0 } else { 1 };
        assert_eq!(world.heard(), vec![(op::RST, 0); expected], "{answer:?}");
        assert_eq!(world.vsock.deadline(), None);
    }
}

#[test]
fn a_host_that_vanishes_takes_what_waited_for_it_along() {
    let mut world = World::new(16);
    world.host.room = 0;
    let id = world.connect(1000);
    world.send(&world.header(id, op::RW), b"waits");
    world.host.end(id).gone = true;
    // Noticed by reading alone.
    let turn = world
        .vsock
        .on_ready(id, true, false, &mut world.host, world.now);
    world.run(turn);
    assert_eq!(world.host.closed(id).from_guest, b"");
    assert_eq!(world.heard(), [(op::SHUTDOWN, shutdown::BOTH)]);
}

#[test]
fn a_guest_cannot_answer_what_it_was_not_asked() {
    let mut world = World::new(16);
    world.refills = false;
    while world.rx.free() < 16 {
        world.send_op(id(7, 7), op::RW, 0);
        world.receive();
    }
    let id = world.request(80);
    world.inbox.clear();
    world.send_op(id, op::RESPONSE, 0);
    assert!(!world.host.end(id).established);
    world.refills = true;
    assert_eq!(world.heard(), [(op::RST, 0), (op::REQUEST, 0)]);
    world.send_op(id, op::RESPONSE, 0);
    assert!(world.host.end(id).established);
}

#[test]
fn a_guest_that_resets_closes_the_stream_and_hears_nothing() {
    let mut world = World::new(16);
    let id = world.connect(1000);
    world.send_op(id, op::RST, 0);
    world.host.closed(id);
    assert_eq!(world.heard(), []);
}

#[test]
fn a_device_reset_closes_every_stream_and_the_device_starts_afresh() {
    let mut world = World::new(16);
    let ids = [world.connect(1), world.connect(2), world.request(3)];
    world.vsock.reset(&mut world.host);
    for id in ids {
        world.host.closed(id);
    }
    assert_eq!(world.vsock.deadline(), None);
    assert!(world.vsock.request(1, 1, world.now).is_err());
    world.restart();
    world.connect(1);
}
