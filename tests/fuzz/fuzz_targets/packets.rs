//! Any packets, in rings that keep the rules, and any behaviour of the host's streams: the vsock device keeps
//! its bounds and the seam's rules, and never asks for a reset.
#![no_main]

mod host;

use std::time::Duration;

use devices::Vsock;
use devices::virtio::QUEUE_NOTIFY;
use host::{Bench, Input};
use libfuzzer_sys::fuzz_target;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

const MEMORY: usize = 0x4_0000;
const CID: u32 = 3;
const SIZE: u16 = 16;
const RX: u16 = 0;
const TX: u16 = 1;
/// Where buffers lie, one a descriptor: the queue, then the descriptor.
const BUFFERS: u64 = 0x1_0000;
const BUFFER_BYTES: u64 = 0x1000;

/// One queue's driver: every chain is one descriptor.
struct Queue {
    index: u16,
    memory: GuestMemoryMmap<()>,
    offered: u16,
}

impl Queue {
    fn base(&self) -> u64 {
        0x1000 + 0x3000 * u64::from(self.index)
    }

    fn buffer(&self, slot: u16) -> u64 {
        BUFFERS + BUFFER_BYTES * u64::from(self.index * SIZE + slot)
    }

    fn put(&self, at: u64, bytes: &[u8]) {
        self.memory
            .write_slice(bytes, GuestAddress(at))
            .expect("rings lie in memory");
    }

    /// Offer one more buffer of that size, if the device has given back the one in its place.
    fn offer(&mut self, contents: &[u8], bytes: u32) {
        let used: u16 = self
            .memory
            .read_obj(GuestAddress(self.base() + 0x2002))
            .expect("rings lie in memory");
        if self.offered.wrapping_sub(used) >= SIZE {
            return;
        }
        // The device gives back in order, so this one is free.
        let slot = self.offered % SIZE;
        let descriptor = self.base() + 16 * u64::from(slot);
        let flags: u16 = if self.index == RX { 2 } else { 0 };
        self.put(self.buffer(slot), contents);
        self.put(descriptor, &self.buffer(slot).to_le_bytes());
        self.put(descriptor + 8, &bytes.to_le_bytes());
        self.put(descriptor + 12, &flags.to_le_bytes());
        let avail = self.base() + 0x1000;
        self.put(avail + 4 + 2 * u64::from(slot), &slot.to_le_bytes());
        self.offered = self.offered.wrapping_add(1);
        self.put(avail + 2, &self.offered.to_le_bytes());
    }
}

/// A driver's set-up (VIRTIO 1.2, 4.2.2).
fn set_up(bench: &mut Bench, queues: [&Queue; 2]) {
    let registers = bench.vsock.registers();
    let mut write = |offset, value: u32| {
        bench.write_register(&registers, offset, &value.to_le_bytes());
    };
    write(0x070, 3);
    for (half, features) in [(0, 0x2000_0000), (1, 1)] {
        write(0x024, half);
        write(0x020, features);
    }
    write(0x070, 0xb);
    for queue in queues {
        write(0x030, queue.index.into());
        write(0x038, SIZE.into());
        for (part, offset) in [0x080, 0x090, 0x0a0].into_iter().enumerate() {
            write(offset, queue.base() as u32 + 0x1000 * part as u32);
        }
        write(0x044, 1);
    }
    write(0x070, 0xf);
}

/// A packet that is mostly in order (VIRTIO 1.2, 5.10.6).
fn packet(input: &mut Input<'_>) -> Vec<u8> {
    let oddity = input.byte();
    let odd = |which: u8, odd: u64, right: u64| if oddity == which { odd } else { right };
    let (src_port, dst_port) = (u32::from(input.byte() % 4), u32::from(input.byte() % 2));
    let op = u16::from(input.byte() % 9);
    let payload = input.byte();
    let payload = input.take(payload.into());
    let len = odd(1, input.word().into(), payload.len() as u64) as u32;
    let mut bytes = Vec::new();
    bytes.extend(odd(2, 9, CID.into()).to_le_bytes());
    bytes.extend(odd(3, 9, 2).to_le_bytes());
    bytes.extend(src_port.to_le_bytes());
    bytes.extend(dst_port.to_le_bytes());
    bytes.extend(len.to_le_bytes());
    bytes.extend((odd(4, 2, 1) as u16).to_le_bytes());
    bytes.extend(op.to_le_bytes());
    bytes.extend(u32::from(input.byte() % 4).to_le_bytes());
    let buf_alloc = odd(5, u32::MAX.into(), 4096) as u32;
    bytes.extend(buf_alloc.to_le_bytes());
    bytes.extend(u32::from(input.byte()).to_le_bytes());
    bytes.extend(payload);
    bytes
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let (Ok(memory), Ok(interrupt)) = (
        GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), MEMORY)]),
        EventFd::new(EFD_NONBLOCK),
    ) else {
        return;
    };
    let mut bench = Bench::new(Vsock::new(memory.clone(), CID, interrupt));
    let registers = bench.vsock.registers();
    let [mut rx, mut tx] = [RX, TX].map(|index| Queue {
        index,
        memory: memory.clone(),
        offered: 0,
    });
    set_up(&mut bench, [&rx, &tx]);
    while !input.is_empty() {
        match input.byte() % 8 {
            0 => bench.host.set_mood(input.byte()),
            1 => bench.poll(),
            2 => bench.ask(u32::from(input.byte() % 2), u32::from(input.byte() % 4)),
            3 => bench.pass(Duration::from_millis(100 * u64::from(input.byte()))),
            4 => {
                let bytes = u32::from(input.byte()) * 4;
                for _ in 0..1 + input.byte() % 8 {
                    rx.offer(&[], bytes);
                }
                bench.write_register(&registers, QUEUE_NOTIFY, &u32::from(RX).to_le_bytes());
            }
            _ => {
                let packet = packet(&mut input);
                tx.offer(&packet, packet.len() as u32);
                bench.write_register(&registers, QUEUE_NOTIFY, &u32::from(TX).to_le_bytes());
            }
        }
        assert!(!bench.restless, "the device never says that it is done");
        let mut status = [0; 4];
        registers.read(0x070, &mut status);
        assert_eq!(
            status[0], 0xf,
            "the device gave up on a driver that keeps the rules"
        );
    }
    bench.vsock.reset(&mut bench.host);
    assert!(bench.host.open.is_empty());
    assert_eq!(bench.vsock.deadline(), None);
});
