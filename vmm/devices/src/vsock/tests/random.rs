//! Random traffic both ways, beside a model of what must arrive.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::world::{World, id};
use crate::vsock::packet::Header;
use crate::vsock::spec::{op, shutdown};
use crate::vsock::{ConnectionId, Turn};

/// The guest's receive buffer of each connection.
const BUF_ALLOC: u32 = 9000;
const PORTS: u32 = 3;

/// One connection as the guest has it.
#[derive(Debug)]
struct Endpoint {
    established: bool,
    tx_cnt: u32,
    peer_buf_alloc: u32,
    peer_fwd_cnt: u32,
    rx_cnt: u32,
    fwd_cnt: u32,
    told_fwd_cnt: u32,
    sent: u64,
    received: u64,
    /// Bytes the host's side has been given to send.
    given: u64,
}

impl Endpoint {
    fn new(first: u32) -> Self {
        Endpoint {
            established: false,
            tx_cnt: first,
            peer_buf_alloc: 0,
            peer_fwd_cnt: first,
            rx_cnt: first,
            fwd_cnt: first,
            told_fwd_cnt: first,
            sent: 0,
            received: 0,
            given: 0,
        }
    }

    fn credit(&self) -> u32 {
        let under_way = self.tx_cnt.wrapping_sub(self.peer_fwd_cnt);
        assert!(under_way <= self.peer_buf_alloc);
        self.peer_buf_alloc - under_way
    }
}

/// The byte at a place of a stream.
fn byte(id: ConnectionId, guests: bool, at: u64) -> u8 {
    let seed = u64::from(id.guest_port) * 7 + u64::from(guests) * 101;
    (at ^ at >> 8 ^ at >> 16).wrapping_add(seed) as u8
}

struct Traffic {
    world: World,
    endpoints: BTreeMap<ConnectionId, Endpoint>,
    first: u32,
    piece: usize,
}

impl Traffic {
    fn header(&mut self, id: ConnectionId, op: u16) -> Header {
        let endpoint = self.endpoints.get_mut(&id).unwrap();
        endpoint.told_fwd_cnt = endpoint.fwd_cnt;
        Header {
            buf_alloc: BUF_ALLOC,
            fwd_cnt: endpoint.fwd_cnt,
            ..self.world.header(id, op)
        }
    }

    /// Send a packet without payload, which always finds room in the queue in the end.
    fn control(&mut self, id: ConnectionId, op: u16, flags: u32) {
        let header = Header {
            flags,
            ..self.header(id, op)
        };
        assert!(self.world.post(&header, &[], 44));
        self.world.ring();
    }

    fn connect(&mut self, port: u32, by_host: bool) {
        let id = id(port, if by_host { 5000 } else { 1024 });
        if self.endpoints.contains_key(&id) {
            return;
        }
        self.endpoints.insert(id, Endpoint::new(self.first));
        if by_host {
            assert_eq!(self.world.request(port), id);
        } else {
            self.control(id, op::REQUEST, 0);
        }
    }

    fn guest_writes(&mut self, id: ConnectionId, bytes: u32) {
        let endpoint = &self.endpoints[&id];
        let bytes = bytes.min(endpoint.credit());
        if !endpoint.established || bytes == 0 {
            return;
        }
        let from = endpoint.sent;
        let payload: Vec<u8> = (from..from + u64::from(bytes))
            .map(|at| byte(id, true, at))
            .collect();
        let header = Header {
            len: bytes,
            ..self.header(id, op::RW)
        };
        let piece = self.piece.max((payload.len() + 44).div_ceil(4));
        if self.world.post(&header, &payload, piece) {
            let endpoint = self.endpoints.get_mut(&id).unwrap();
            endpoint.tx_cnt = endpoint.tx_cnt.wrapping_add(bytes);
            endpoint.sent += u64::from(bytes);
        }
        self.world.ring();
    }

    fn host_writes(&mut self, id: ConnectionId, bytes: u32) {
        let endpoint = self.endpoints.get_mut(&id).unwrap();
        let from = endpoint.given;
        endpoint.given += u64::from(bytes);
        let end = self.world.host.end(id);
        end.to_guest
            .extend((from..endpoint.given).map(|at| byte(id, false, at)));
    }

    /// The guest's program reads; its driver says so as Linux does, when the host may believe that
    /// room is short.
    fn guest_reads(&mut self, id: ConnectionId, bytes: u32) {
        let endpoint = self.endpoints.get_mut(&id).unwrap();
        let held = endpoint.rx_cnt.wrapping_sub(endpoint.fwd_cnt);
        endpoint.fwd_cnt = endpoint.fwd_cnt.wrapping_add(bytes.min(held));
        let believed = BUF_ALLOC - endpoint.rx_cnt.wrapping_sub(endpoint.told_fwd_cnt);
        if believed < BUF_ALLOC / 2 && endpoint.told_fwd_cnt != endpoint.fwd_cnt {
            self.control(id, op::CREDIT_UPDATE, 0);
        }
    }

    fn settle(&mut self) {
        loop {
            self.world.settle();
            let Some((header, payload)) = self.world.inbox.pop_front() else {
                return;
            };
            let id = id(header.dst_port, header.src_port);
            self.hear(id, &header, &payload);
        }
    }

    fn hear(&mut self, id: ConnectionId, header: &Header, payload: &[u8]) {
        let endpoint = self.endpoints.get_mut(&id).unwrap();
        endpoint.peer_buf_alloc = header.buf_alloc;
        endpoint.peer_fwd_cnt = header.fwd_cnt;
        endpoint.credit();
        match header.op {
            op::REQUEST => {
                endpoint.established = true;
                self.control(id, op::RESPONSE, 0);
            }
            op::RESPONSE => endpoint.established = true,
            op::CREDIT_UPDATE => {}
            op::CREDIT_REQUEST => self.control(id, op::CREDIT_UPDATE, 0),
            op::RW => {
                endpoint.rx_cnt = endpoint.rx_cnt.wrapping_add(header.len);
                let unread = endpoint.rx_cnt.wrapping_sub(endpoint.told_fwd_cnt);
                assert!(unread <= BUF_ALLOC, "more than the guest gave credit for");
                for got in payload {
                    assert_eq!(*got, byte(id, false, endpoint.received));
                    endpoint.received += 1;
                }
            }
            other => panic!("{other} for an honest guest"),
        }
    }

    fn act(&mut self, action: &Action) {
        let nth = |which: usize| {
            self.endpoints
                .keys()
                .nth(which % self.endpoints.len().max(1))
        };
        match *action {
            Action::Connect(port, by_host) => self.connect(port, by_host),
            Action::Refill(refills) => self.world.refills = refills,
            Action::Bytes(which, what, bytes) => {
                let Some(id) = nth(which).copied() else {
                    return;
                };
                match what {
                    0 => self.guest_writes(id, bytes),
                    1 => self.host_writes(id, bytes),
                    2 => self.guest_reads(id, bytes),
                    _ => self.world.host.end(id).room += bytes as usize,
                }
            }
        }
        self.settle();
    }

    /// Everybody takes what there is for him, and all of it has arrived.
    fn finish(&mut self) {
        self.world.refills = true;
        self.world
            .host
            .ends
            .values_mut()
            .for_each(|end| end.room = usize::MAX);
        let ids: Vec<ConnectionId> = self.endpoints.keys().copied().collect();
        self.settle();
        for _ in 0..100 {
            for id in &ids {
                self.guest_reads(*id, u32::MAX);
            }
            self.settle();
        }
        for id in ids {
            let endpoint = &self.endpoints[&id];
            assert_eq!(endpoint.received, endpoint.given);
            let arrived = &self.world.host.end(id).from_guest;
            assert_eq!(arrived.len() as u64, endpoint.sent);
            let expected = (0..endpoint.sent).map(|at| byte(id, true, at));
            assert!(expected.eq(arrived.iter().copied()), "reordered");
            let header = Header {
                flags: shutdown::BOTH,
                ..self.header(id, op::SHUTDOWN)
            };
            assert!(self.world.post(&header, &[], 44));
            self.world.ring();
            assert_eq!(self.world.heard(), [(op::RST, 0)]);
        }
        assert!(self.world.vsock.table.connections.is_empty());
        assert_eq!(self.world.vsock.deadline(), None);
        let turn = self
            .world
            .vsock
            .proceed(&mut self.world.host, self.world.now);
        assert_eq!(turn, Turn::Done);
    }
}

#[derive(Clone, Debug)]
enum Action {
    Connect(u32, bool),
    Refill(bool),
    /// Which connection, what (guest writes, host writes, guest reads, host makes room), how much.
    Bytes(usize, u8, u32),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        1 => (0..PORTS, any::<bool>()).prop_map(|(port, by_host)| Action::Connect(port, by_host)),
        1 => any::<bool>().prop_map(Action::Refill),
        9 => (0usize..6, 0u8..4, prop_oneof![0u32..20, 0u32..65_537])
            .prop_map(|(which, what, bytes)| Action::Bytes(which, what, bytes)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn nothing_is_lost_or_reordered_and_no_credit_exceeded(
        actions in proptest::collection::vec(action(), 1..120),
        first in prop_oneof![Just(0), u32::MAX - 100_000..=u32::MAX, any::<u32>()],
        size in prop_oneof![Just(8u16), Just(64u16)],
        piece in 1usize..5000,
        room in 0usize..100_000,
    ) {
        let mut world = World::new(size);
        world.host.room = room;
        world.vsock.table.first_count = first;
        let mut traffic = Traffic { world, endpoints: BTreeMap::new(), first, piece };
        for action in &actions {
            traffic.act(action);
        }
        traffic.finish();
    }
}
