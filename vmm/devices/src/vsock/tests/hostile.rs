//! Guests that keep no rule.

use proptest::prelude::*;
use vm_memory::{Bytes, GuestAddress};

use super::world::{CID, RX_BASE, TX_BASE, World, id};
use crate::virtio::feature;
use crate::vsock::packet::{HEADER_BYTES, Header};
use crate::vsock::spec::{HOST_CID, RX_QUEUE, TX_QUEUE, TYPE_STREAM, op};
use crate::vsock::table::{CONNECTIONS, RESETS_WAITING};
use crate::vsock::{PAYLOAD_MAX, Streams, Turn};

const DATA: u64 = 0x30_0000;

fn needs_reset(world: &World) -> bool {
    let mut status = [0; 4];
    world.vsock.registers().read(0x70, &mut status);
    status[0] & 64 != 0
}

#[test]
fn what_makes_no_sense_hears_rst_and_an_rst_is_never_answered() {
    let mut world = World::new(16);
    for op in [
        0,
        op::RESPONSE,
        op::SHUTDOWN,
        op::RW,
        op::CREDIT_UPDATE,
        op::CREDIT_REQUEST,
        8,
        0xffff,
    ] {
        world.send_op(id(5, 6), op, 3);
        assert_eq!(world.heard(), [(op::RST, 0)], "{op}");
        let id = world.connect(1);
        if matches!(op, 0 | op::RESPONSE | 8 | 0xffff) {
            world.send_op(id, op, 0);
            assert_eq!(world.heard(), [(op::RST, 0)], "{op}");
        } else {
            world.send_op(id, op::RST, 0);
        }
        world.host.closed(id);
    }
    world.send_op(id(5, 6), op::RST, 0);
    assert_eq!(world.heard(), []);
}

#[test]
fn a_wrong_type_or_destination_hears_rst_from_there_and_a_false_source_hears_nothing() {
    let mut world = World::new(16);
    let request = world.header(id(1, 2), op::REQUEST);
    let wrong_type = Header { kind: 2, ..request };
    let wrong_destination = Header {
        dst_cid: 77,
        ..request
    };
    for header in [wrong_type, wrong_destination] {
        world.send(&header, &[]);
        world.settle();
        let (reset, _) = world.inbox.pop_front().unwrap();
        assert_eq!(
            (reset.op, reset.kind, reset.src_cid),
            (op::RST, header.kind, header.dst_cid)
        );
        assert_eq!((reset.src_port, reset.dst_port), (2, 1));
        world.send(
            &Header {
                op: op::RST,
                ..header
            },
            &[],
        );
        assert_eq!(world.heard(), []);
    }
    for src_cid in [0, u64::from(CID) | 1 << 32, HOST_CID] {
        world.send(&Header { src_cid, ..request }, &[]);
        assert_eq!(world.heard(), []);
    }
    assert!(world.host.ends.is_empty() && world.host.closed.is_empty());
}

#[test]
fn a_length_that_is_not_true_ends_the_connection() {
    for (len, there) in [
        (5, 4),
        (u32::MAX, 0),
        (PAYLOAD_MAX as u32 + 1, PAYLOAD_MAX + 1),
    ] {
        let mut world = World::new(16);
        let id = world.connect(1);
        let header = Header {
            len,
            ..world.header(id, op::RW)
        };
        assert!(world.post(&header, &vec![0; there], PAYLOAD_MAX));
        world.ring();
        assert_eq!(world.heard(), [(op::RST, 0)], "{len}");
        world.host.closed(id);
        assert!(!needs_reset(&world));
    }
}

#[test]
fn a_chain_too_short_for_its_purpose_is_given_back_untouched() {
    let mut world = World::blank(16, true);
    world.start(feature::VERSION_1 | feature::EVENT_IDX);
    world.tx.offer(&[(DATA, HEADER_BYTES as u32 - 1, false)]);
    world.tx.offer(&[(DATA, 0, false)]);
    world.tx.offer(&[(DATA, 100, true)]);
    world.kick(TX_QUEUE);
    for _ in 0..3 {
        assert_eq!(world.tx.take_used().unwrap().1, 0);
    }
    let mut poor = World::blank(16, true);
    poor.refills = false;
    poor.rx.offer(&[(DATA, HEADER_BYTES as u32, true)]);
    poor.rx.offer(&[(DATA, 100, false)]);
    poor.start(feature::VERSION_1 | feature::EVENT_IDX);
    poor.send_op(id(1, 2), op::RW, 0);
    assert_eq!(poor.rx.take_used().unwrap().1, 0);
    assert_eq!(poor.rx.take_used().unwrap().1, 0);
    assert_eq!(poor.heard(), [(op::RST, 0)]);
    assert!(!needs_reset(&world) && !needs_reset(&poor));
}

#[test]
fn a_broken_ring_stops_the_device_until_it_is_reset() {
    for queue in [RX_QUEUE, TX_QUEUE] {
        let mut world = World::new(16);
        let id = world.connect(1);
        let _ = world.interrupt.read();
        let ring = if queue == RX_QUEUE {
            &mut world.rx
        } else {
            &mut world.tx
        };
        let index = ring.get(ring.avail_address() + 2);
        ring.set(ring.avail_address() + 2, index.wrapping_add(1000));
        world.host.end(id).to_guest.extend([1; 1 << 17]);
        world.kick(queue);
        world.poll();
        assert!(needs_reset(&world));
        world.host.closed(id);
        assert_eq!(world.interrupt.read().unwrap(), 1);
        world.kick(queue);
        assert!(world.interrupt.read().is_err());
        assert!(world.vsock.request(1, 1, world.now).is_err());
        world.vsock.activate();
        assert!(world.vsock.request(1, 1, world.now).is_err());
        world.vsock.reset(&mut world.host);
        assert!(!needs_reset(&world));
    }
}

#[test]
fn a_queue_that_cannot_be_keeps_the_device_from_starting() {
    let mut world = World::blank(16, true);
    let registers = world.vsock.registers();
    crate::virtio::driver::negotiate(&registers, feature::VERSION_1);
    world.rx.set_up(&registers, 0);
    crate::virtio::driver::finish(&registers);
    world.vsock.activate();
    assert!(needs_reset(&world));
    assert!(world.interrupt.read().is_ok());
    world.kick(TX_QUEUE);
}

fn packet() -> impl Strategy<Value = (Header, usize, usize)> {
    let cid = prop_oneof![9 => Just(u64::from(CID)), 1 => any::<u64>()];
    let host = prop_oneof![9 => Just(HOST_CID), 1 => any::<u64>()];
    let kind = prop_oneof![9 => Just(TYPE_STREAM), 1 => any::<u16>()];
    let op =
        prop_oneof![3 => Just(op::REQUEST), 5 => Just(op::RW), 9 => 0u16..9, 1 => any::<u16>()];
    let numbers = (0u32..4, any::<u32>(), prop_oneof![0u32..5000, any::<u32>()]);
    let sizes = (0usize..3000, 20usize..3000, any::<bool>(), any::<u32>());
    (cid, host, kind, op, 0u32..5, 0u32..2, numbers, sizes).prop_map(
        |(src_cid, dst_cid, kind, op, src_port, dst_port, numbers, sizes)| {
            let (flags, fwd_cnt, buf_alloc) = numbers;
            let (bytes, piece, honest, len) = sizes;
            let len = if honest { bytes as u32 } else { len };
            let header = Header {
                src_cid,
                dst_cid,
                src_port,
                dst_port,
                len,
                kind,
                op,
                flags,
                buf_alloc,
                fwd_cnt,
            };
            (header, bytes, piece.max((bytes + HEADER_BYTES).div_ceil(8)))
        },
    )
}

fn ask(world: &mut World) {
    if let Ok(id) = world.vsock.request(1, 1, world.now) {
        world.host.connect(id).unwrap();
    }
}

proptest! {
    #[test]
    fn no_packets_break_the_device_or_its_bounds(
        packets in proptest::collection::vec((packet(), 0u8..12), 1..150),
    ) {
        let mut world = World::new(16);
        world.host.room = 1500;
        for ((header, bytes, piece), event) in packets {
            world.post(&header, &vec![0; bytes], piece);
            world.ring();
            match event {
                0 => world.refills = !world.refills,
                1 => world.host.ends.values_mut().for_each(|end| end.gone = true),
                2 => world.host.ends.values_mut().for_each(|end| end.ended = true),
                3 => world.host.ends.values_mut().for_each(|end| end.room = 900),
                4 => world.pass(std::time::Duration::from_secs(3)),
                5 => world.host.ends.values_mut().for_each(|end| end.to_guest.extend([1; 5000])),
                6 => ask(&mut world),
                _ => {}
            }
            world.settle();
            let table = &world.vsock.table;
            prop_assert!(table.connections.len() + table.resets.len() <= CONNECTIONS + RESETS_WAITING);
            prop_assert!(table.line.len() <= table.connections.len());
            prop_assert_eq!(world.host.ends.len() <= table.connections.len(), true);
            for connection in table.connections.values() {
                prop_assert!(connection.waiting.len() <= connection.granted.buf_alloc() as usize);
            }
        }
        prop_assert!(!needs_reset(&world));
    }

    #[test]
    fn no_memory_contents_panic_or_hang_the_device(
        rx in proptest::collection::vec(any::<u8>(), 0x100),
        tx in proptest::collection::vec(any::<u8>(), 0x100),
        avail in proptest::array::uniform2(prop_oneof![0u16..17, any::<u16>()]),
        small: bool,
        kicks in proptest::collection::vec(0u16..4, 1..20),
    ) {
        let mut world = World::new(16);
        let connection = world.connect(1);
        world.host.end(connection).to_guest.extend([1; 5000]);
        for (base, mut bytes) in [(RX_BASE, rx), (TX_BASE, tx)] {
            if small {
                // So that addresses are in memory and chains go on for a while.
                for descriptor in bytes.chunks_mut(16) {
                    descriptor[3..8].fill(0);
                    descriptor[10..12].fill(0);
                    descriptor[2] &= 0x0f;
                    descriptor[12] &= 7;
                    descriptor[14] &= 0xf;
                    descriptor[15] = 0;
                }
            }
            world.memory.write_slice(&bytes, GuestAddress(base)).unwrap();
            world.memory.write_slice(&bytes[..0x40], GuestAddress(base + 0x1004)).unwrap();
        }
        for (base, by) in [(RX_BASE, avail[0]), (TX_BASE, avail[1])] {
            let index: u16 = world.memory.read_obj(GuestAddress(base + 0x1002)).unwrap();
            world.memory.write_obj(index.wrapping_add(by), GuestAddress(base + 0x1002)).unwrap();
        }
        for queue in kicks {
            let turn = world.vsock.on_kick(queue, &mut world.host, world.now);
            world.run(turn);
            if world.host.ends.contains_key(&connection) {
                world.poll();
            }
        }
        world.vsock.reset(&mut world.host);
        prop_assert_eq!(world.vsock.proceed(&mut world.host, world.now), Turn::Done);
    }
}
