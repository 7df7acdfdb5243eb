//! Credit, buffers, bounds.

use super::world::{CID, RX_BASE, TX_BASE, World, id};
use crate::virtio::feature;
use crate::vsock::packet::Header;
use crate::vsock::spec::{RX_QUEUE, TX_QUEUE, op};
use crate::vsock::table::{CONNECTIONS, RESETS_WAITING};
use crate::vsock::{CHAINS_A_TURN, PAYLOAD_MAX, Turn};

/// Leave the guest without a buffer.
fn starve(world: &mut World) {
    world.refills = false;
    while world.rx.free() < world.rx.size.into() {
        world.send_op(id(7, 7), op::RW, 0);
        world.receive();
    }
    world.inbox.clear();
}

#[test]
fn a_guest_without_buffers_is_waited_for_in_silence_and_its_kick_goes_on() {
    for _ in 0..3 {
        let mut world = World::new(16);
        let id = world.connect(1000);
        starve(&mut world);
        world.host.end(id).to_guest.extend(vec![7; 100_000]);
        world.host.end(id).gone = true;
        world.settle();
        assert!(
            !world.host.end(id).interest.readable,
            "watched, it would be told for ever"
        );
        assert_eq!(world.host.end(id).to_guest.len(), 100_000);
        world.refills = true;
        assert_eq!(world.bytes_heard(), vec![7; 100_000]);
    }
}

#[test]
fn host_bytes_go_as_far_as_credit_and_on_with_more() {
    let mut world = World::new(16);
    let id = world.connect(1000);
    let mut header = Header {
        buf_alloc: 5000,
        ..world.header(id, op::CREDIT_UPDATE)
    };
    world.send(&header, &[]);
    world.host.end(id).to_guest.extend(vec![7; 12_000]);
    for (fwd_cnt, expected, asks) in [(0, 5000, 1), (0, 0, 0), (3000, 3000, 1), (8000, 4000, 0)] {
        header.fwd_cnt = fwd_cnt;
        world.send(&header, &[]);
        world.settle();
        let packets = world.inbox.iter();
        let asked = packets.filter(|(header, _)| header.op == op::CREDIT_REQUEST);
        assert_eq!(asked.count(), asks, "once, as long as there is none");
        assert_eq!(world.bytes_heard().len(), expected);
    }
}

#[test]
fn a_guest_that_overruns_its_credit_loses_the_connection() {
    let mut world = World::new(16);
    world.host.room = 0;
    world.send_op(id(1000, 1024), op::REQUEST, 0);
    world.settle();
    let (response, _) = world.inbox.pop_front().unwrap();
    let id = id(1000, 1024);
    for _ in 0..response.buf_alloc as usize / PAYLOAD_MAX {
        world.send(&world.header(id, op::RW), &[1; PAYLOAD_MAX]);
    }
    assert_eq!(world.heard(), []);
    world.send(&world.header(id, op::RW), &[1]);
    assert_eq!(world.heard(), [(op::RST, 0)]);
    world.host.closed(id);
}

#[test]
fn a_guest_hears_of_room_once_in_a_while_and_whenever_it_asks() {
    let mut world = World::new(16);
    let id = world.connect(1000);
    for _ in 0..100 {
        world.send(&world.header(id, op::RW), &[1; 1000]);
    }
    assert_eq!(world.heard(), []);
    for _ in 0..100 {
        world.send(&world.header(id, op::RW), &[1; 1000]);
    }
    assert_eq!(world.heard(), [(op::CREDIT_UPDATE, 0)]);
    world.send_op(id, op::CREDIT_REQUEST, 0);
    world.settle();
    let (update, _) = world.inbox.pop_front().unwrap();
    assert_eq!(update.op, op::CREDIT_UPDATE);
    assert_eq!(update.fwd_cnt, 200_000);
}

#[test]
fn what_waits_for_a_slow_host_is_held_no_longer_than_it_waits() {
    let mut world = World::new(16);
    world.host.room = 100;
    let id = world.connect(1000);
    world.send(&world.header(id, op::RW), &[1; 60_000]);
    let held = |world: &World| world.vsock.table.connections[&id].waiting.capacity();
    assert!(held(&world) >= 59_900);
    world.host.end(id).room = 59_900;
    world.settle();
    assert_eq!(world.host.end(id).from_guest, [1; 60_000]);
    assert_eq!(held(&world), 0);
}

#[test]
fn connections_are_bounded_and_late_ones_get_less_room() {
    let mut world = World::new(256);
    let mut promised = 0;
    for port in 0..CONNECTIONS as u32 {
        world.send_op(id(port, 1024), op::REQUEST, 0);
        world.settle();
        let (response, _) = world.inbox.pop_front().unwrap();
        assert_eq!(response.op, op::RESPONSE);
        promised += response.buf_alloc;
    }
    assert!(promised <= 20 << 20, "{promised}");
    world.send_op(id(5000, 1024), op::REQUEST, 0);
    assert_eq!(world.heard(), [(op::RST, 0)]);
    assert!(world.vsock.request(1, 1, world.now).is_err());
    // One that goes makes room, large room if it had it.
    world.send_op(id(0, 1024), op::RST, 0);
    world.send_op(id(5000, 1024), op::REQUEST, 0);
    world.settle();
    let (response, _) = world.inbox.pop_front().unwrap();
    assert_eq!(
        (response.op, response.buf_alloc),
        (op::RESPONSE, 256 * 1024)
    );
}

#[test]
fn replies_are_bounded_and_nothing_is_stuck_when_the_guest_receives_again() {
    let mut world = World::new(256);
    starve(&mut world);
    world.reclaim();
    // More packets to nobody than may wait for their replies, and not all at once.
    let mut port = 0;
    while world.post(&world.header(id(port, 9), op::RW), &[], 44) {
        port += 1;
        if port % 100 == 0 {
            world.ring();
        }
    }
    assert_eq!(world.vsock.table.resets.len(), RESETS_WAITING);
    assert_eq!(
        port as usize,
        RESETS_WAITING + 256,
        "the queue itself is full too"
    );
    // A host that would fill the table meanwhile is put off.
    assert!(world.vsock.request(1, 1, world.now).is_err());
    world.refills = true;
    let heard = world.heard();
    assert_eq!(heard, vec![(op::RST, 0); port as usize]);
    world.connect(1000);
}

#[test]
fn coming_and_going_without_receiving_makes_nothing_grow() {
    let mut world = World::new(256);
    starve(&mut world);
    for port in 0..5000 {
        let id = id(port, 1024);
        world.send_op(id, op::REQUEST, 0);
        world.send_op(id, op::CREDIT_REQUEST, 0);
        world.send_op(id, op::RST, 0);
    }
    let table = &world.vsock.table;
    assert!(table.connections.is_empty() && table.line.is_empty() && table.resets.is_empty());
    assert_eq!(table.deadline(), None);
}

#[test]
fn one_call_does_a_bounded_share_and_says_that_more_is_left() {
    let mut world = World::new(256);
    for port in 0..256 {
        assert!(world.post(&world.header(id(port, 9), op::RST), &[], 44));
    }
    let turn = world.vsock.on_kick(TX_QUEUE, &mut world.host, world.now);
    assert_eq!(turn, Turn::More, "the queue was not seen empty yet");
    assert_eq!(world.vsock.counters().tx_packets, CHAINS_A_TURN as u64);
    world.run(turn);
    let id = world.connect(1000);
    // By bytes, too.
    let header = Header {
        len: 60_000,
        ..world.header(id, op::RW)
    };
    for _ in 0..4 {
        assert!(world.post(&header, &[1; 60_000], 60_044));
    }
    world.ring();
    assert_eq!(world.host.end(id).from_guest.len(), 240_000);
    world.host.end(id).to_guest.extend(vec![1; 4 << 20]);
    let header = Header {
        buf_alloc: u32::MAX,
        ..world.header(id, op::CREDIT_UPDATE)
    };
    world.send(&header, &[]);
    let turn = world
        .vsock
        .on_ready(id, true, false, &mut world.host, world.now);
    assert_eq!(
        turn,
        Turn::More,
        "there are buffers for more than a megabyte"
    );
    world.run(turn);
    assert_eq!(world.bytes_heard().len(), 4 << 20);
}

#[test]
fn connections_take_turns_at_the_guests_buffers() {
    let mut world = World::new(16);
    let ids = [world.connect(1), world.connect(2), world.connect(3)];
    starve(&mut world);
    for id in ids {
        world.host.end(id).to_guest.extend(vec![1; 1 << 20]);
        assert!(world.poll());
    }
    world.refill();
    world.receive();
    let ports: Vec<u32> = world
        .inbox
        .iter()
        .map(|(header, _)| header.dst_port)
        .collect();
    assert_eq!(&ports[..6], [1, 2, 3, 1, 2, 3]);
}

#[test]
fn a_batch_costs_one_interrupt_and_a_guest_that_looks_by_itself_none() {
    let mut world = World::new(256);
    let id = world.connect(1);
    assert!(!world.rx.want_interrupt());
    let _ = world.interrupt.read();
    world.host.end(id).to_guest.extend(vec![1; 50_000]);
    assert!(world.poll());
    assert_eq!(world.interrupt.read().unwrap(), 1);
    world.receive();
    world.host.end(id).to_guest.extend(vec![1; 50_000]);
    assert!(world.poll());
    assert!(world.interrupt.read().is_err(), "nobody asked for it");
    world.reclaim();
    assert!(!world.tx.want_interrupt());
    world.send_op(id, op::CREDIT_UPDATE, 0);
    assert_eq!(world.interrupt.read().unwrap(), 1);
}

#[test]
fn a_guest_without_event_indices_is_served_as_well() {
    let mut world = World::blank(16, false);
    world.start(feature::VERSION_1);
    let id = world.connect(1000);
    world.host.end(id).to_guest.extend(vec![7; 300_000]);
    assert_eq!(world.bytes_heard(), vec![7; 300_000]);
    assert!(world.interrupt.read().is_ok());
    starve(&mut world);
    world.host.end(id).to_guest.extend(b"x");
    world.settle();
    world.refills = true;
    assert_eq!(world.bytes_heard(), b"x");
}

#[test]
fn a_device_that_is_not_set_up_ignores_kicks_and_refuses_requests() {
    let mut world = World::blank(16, true);
    for queue in [RX_QUEUE, TX_QUEUE, 2, 77] {
        world.kick(queue);
    }
    world.vsock.activate();
    assert!(world.vsock.request(1, 1, world.now).is_err());
    assert!(world.interrupt.read().is_err());
    let mut cid = [0; 8];
    world.vsock.registers().read(0x100, &mut cid);
    assert_eq!(u64::from_le_bytes(cid), u64::from(CID));
    assert_ne!(RX_BASE, TX_BASE);
}
