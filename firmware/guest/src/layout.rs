//! What the VMM and the guest agree on: addresses, ports, the boot page.
//!
//! One source file, compiled into the guest, into the crate that hands the guest out, and into that
//! crate's build script, which passes the addresses to the linker.

/// Most vCPUs a guest can have: there are that many slots and stacks.
pub const MAX_VCPUS: u16 = 64;

/// Where the image is linked. Its first page is its top page table.
pub const IMAGE: u64 = 0x10_0000;

/// Slots, one a vCPU, zero until it boots: a task state segment, then its ring-0 stack.
pub const SLOTS: u64 = 0x15_0000;

/// Size of a slot: 104 bytes of task state segment, and 152 of ring-0 stack, of which the gate with
/// an interrupt inside uses 80 and a fault report 56.
pub const SLOT_BYTES: u64 = 256;

/// Ring-3 stacks, one a vCPU.
pub const STACKS: u64 = 0x16_0000;

/// Size of a ring-3 stack.
pub const STACK_BYTES: u64 = 0x4000;

/// The first address that is not the image's.
pub const IMAGE_END: u64 = STACKS + STACK_BYTES * MAX_VCPUS as u64;

/// Memory for the vsock verbs: rings, buffers, what the agent remembers. Other verbs leave it alone.
pub const HEAP: u64 = 0x28_0000;

/// The end of the heap, and of the memory a guest needs: 4 MiB, the least that a machine can have.
pub const HEAP_END: u64 = 0x40_0000;

/// The end of what the page tables map as memory, and the most that a guest can touch.
pub const MAPPED_END: u64 = 0x4000_0000;

/// Where the registers of the vsock device are, if there is one: a virtio-mmio device, modern.
pub const VSOCK_MMIO: u64 = 0xd000_0000;

/// Size of its registers, configuration space included.
pub const VSOCK_MMIO_BYTES: u64 = 0x1000;

/// The device's interrupt: this pin of the one I/O interrupt controller, edge triggered.
pub const VSOCK_GSI: u32 = 5;

/// Where the boot page lies: a [`BootHeader`], then the script.
pub const BOOT_PAGE: u64 = 0x1_0000;

/// Longest encoded script. It may make the boot "page" several pages long.
pub const MAX_SCRIPT_BYTES: usize = 60 * 1024;

/// The transmit register of the first 16550.
pub const SERIAL_PORT: u16 = 0x3f8;

/// A byte written here is the exit code of the vCPU that writes it, and its last act.
pub const EXIT_PORT: u16 = 0xf4;

/// A fault is reported here, by the vCPU that met it and as its last act, in five writes: the
/// vector (1 byte), then 4 bytes each: the low half of RIP, the error code (0 where the vector has
/// none), the low half of CR2, its high half.
pub const FAULT_PORT: u16 = 0xf5;

/// The command port of the i8042 keyboard controller.
pub const RESET_PORT: u16 = 0x64;

/// The i8042 command that pulses the processor's reset line.
pub const RESET_PULSE: u8 = 0xfe;

/// Exit code of a guest whose Rust panicked.
pub const PANIC_CODE: u8 = 99;

/// The byte at offset N of the streams of the verbs `send` and `receive` is N modulo this, a prime.
pub const PATTERN_PERIOD: u64 = 251;

/// The start of the boot page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootHeader {
    /// How many vCPUs there are.
    pub vcpus: u32,
    /// Rate of the time stamp counter, in kHz.
    pub tsc_khz: u32,
    /// Length of the script that follows.
    pub script_bytes: u32,
}

impl BootHeader {
    /// Length of an encoded header.
    pub const BYTES: usize = 16;

    const MAGIC: u32 = u32::from_le_bytes(*b"PFLD");

    /// The header as it stands in memory: little-endian words, a magic number first.
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let words = [Self::MAGIC, self.vcpus, self.tsc_khz, self.script_bytes];
        let mut bytes = [0; Self::BYTES];
        for (chunk, word) in bytes.chunks_exact_mut(4).zip(words) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// The header in `bytes`, or nothing if they hold none.
    pub fn decode(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let header = Self {
            vcpus: word(4),
            tsc_khz: word(8),
            script_bytes: word(12),
        };
        let sane = header.script_bytes as usize <= MAX_SCRIPT_BYTES;
        (word(0) == Self::MAGIC && sane).then_some(header)
    }
}
