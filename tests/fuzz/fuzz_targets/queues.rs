//! Any contents of guest memory, rings included, and any register accesses: the vsock device neither panics
//! nor hangs. Rings may overlap, and a device may so feed itself without end, though a share a call:
//! that is the guest's own time, and no failure here.
#![no_main]

mod host;

use std::time::Duration;

use devices::Vsock;
use devices::virtio::QUEUE_NOTIFY;
use host::{Bench, Input};
use libfuzzer_sys::fuzz_target;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

const MEMORY: usize = 0x1_0000;
const CID: u32 = 3;

/// A driver's set-up with three queues of 16 entries, at pages 1 to 9 (VIRTIO 1.2, 4.2.2).
fn set_up(bench: &mut Bench) {
    let registers = bench.vsock.registers();
    let mut write = |offset, value: u32| {
        bench.write_register(&registers, offset, &value.to_le_bytes());
    };
    write(0x070, 3);
    for (half, features) in [(0, 0x3000_0000), (1, 1)] {
        write(0x024, half);
        write(0x020, features);
    }
    write(0x070, 0xb);
    for queue in 0..3 {
        write(0x030, queue);
        write(0x038, 16);
        for (part, offset) in [0x080, 0x090, 0x0a0].into_iter().enumerate() {
            write(offset, 0x1000 * (3 * queue + 1 + part as u32));
        }
        write(0x044, 1);
    }
    write(0x070, 0xf);
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
    if input.byte() & 1 == 0 {
        set_up(&mut bench);
    }
    while !input.is_empty() && !bench.restless {
        match input.byte() % 8 {
            0 => {
                let offset = u64::from(input.byte()) * 4;
                let bytes = input.byte() % 9;
                bench.write_register(&registers, offset, input.take(bytes.into()));
            }
            1 => {
                let mut data = [0; 9];
                let bytes = usize::from(input.byte() % 9);
                registers.read(u64::from(input.word() % 0x120), &mut data[..bytes]);
            }
            2 => bench.host.set_mood(input.byte()),
            3 => bench.poll(),
            4 => bench.ask(u32::from(input.byte()), u32::from(input.byte())),
            5 => {
                let queue = u32::from(input.byte() % 4);
                bench.write_register(&registers, QUEUE_NOTIFY, &queue.to_le_bytes());
            }
            6 => bench.pass(Duration::from_secs(input.byte().into())),
            _ => {
                let page = u64::from(input.byte() % 16) * 0x1000;
                let at = page + u64::from(input.byte()) * 2;
                let bytes = input.byte();
                // What does not fit in memory is left out.
                let _ = memory.write(input.take(bytes.into()), GuestAddress(at));
            }
        }
    }
    bench.vsock.reset(&mut bench.host);
    assert!(bench.host.open.is_empty());
    assert_eq!(bench.vsock.deadline(), None);
});
