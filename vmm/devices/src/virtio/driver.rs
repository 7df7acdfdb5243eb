//! A driver's side of one split queue, for tests: written from VIRTIO 1.2, 2.7, and knowing nothing
//! of the device's side.

use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

use super::spec::{register, status};
use super::{MmioWrite, Registers};

const NEXT: u16 = 1;
const WRITE: u16 = 2;
const INDIRECT: u16 = 4;

/// A buffer: address, bytes, and whether the device writes it.
pub(crate) type Part = (u64, u32, bool);

/// A queue, as its driver has it.
#[derive(Debug)]
pub(crate) struct DriverRing {
    memory: GuestMemoryMmap<()>,
    base: u64,
    pub size: u16,
    event_idx: bool,
    free: Vec<u16>,
    /// Descriptors of the chain that starts at each index.
    chains: Vec<Vec<u16>>,
    avail: u16,
    kicked_at: u16,
    used: u16,
}

impl DriverRing {
    /// A queue at `base`, which is a multiple of a page; it takes three.
    pub fn new(memory: &GuestMemoryMmap<()>, base: u64, size: u16, event_idx: bool) -> Self {
        DriverRing {
            memory: memory.clone(),
            base,
            size,
            event_idx,
            free: (0..size).rev().collect(),
            chains: vec![Vec::new(); size.into()],
            avail: 0,
            kicked_at: 0,
            used: 0,
        }
    }

    pub fn avail_address(&self) -> u64 {
        self.base + 0x1000
    }

    pub fn used_address(&self) -> u64 {
        self.base + 0x2000
    }

    /// Tell the device of it.
    pub fn set_up(&self, registers: &Registers, index: u32) {
        let write = |offset, value: u64| {
            let done = registers.write(offset, &(value as u32).to_le_bytes());
            assert_eq!(done, MmioWrite::Done);
        };
        write(register::QUEUE_SEL, index.into());
        write(register::QUEUE_NUM, self.size.into());
        write(register::QUEUE_DESC_LOW, self.base);
        write(register::QUEUE_DESC_HIGH, self.base >> 32);
        write(register::QUEUE_DRIVER_LOW, self.avail_address());
        write(register::QUEUE_DRIVER_HIGH, self.avail_address() >> 32);
        write(register::QUEUE_DEVICE_LOW, self.used_address());
        write(register::QUEUE_DEVICE_HIGH, self.used_address() >> 32);
        write(register::QUEUE_READY, 1);
    }

    pub fn get(&self, address: u64) -> u16 {
        self.memory.read_obj(GuestAddress(address)).unwrap()
    }

    pub fn set(&self, address: u64, value: u16) {
        self.memory.write_obj(value, GuestAddress(address)).unwrap();
    }

    /// How many descriptors are free.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Write descriptor `index` of the table at `table`.
    pub fn write_descriptor(
        &self,
        table: u64,
        index: u16,
        part: Part,
        next: Option<u16>,
        flags: u16,
    ) {
        let (address, bytes, write) = part;
        let at = table + 16 * u64::from(index);
        let next_flag = if next.is_some() { NEXT } else { 0 };
        let flags = flags | next_flag | if write { WRITE } else { 0 };
        let memory = &self.memory;
        memory.write_obj(address, GuestAddress(at)).unwrap();
        memory.write_obj(bytes, GuestAddress(at + 8)).unwrap();
        memory.write_obj(flags, GuestAddress(at + 12)).unwrap();
        memory
            .write_obj(next.unwrap_or(0), GuestAddress(at + 14))
            .unwrap();
    }

    /// Hand a chain over; returns its head.
    pub fn offer(&mut self, parts: &[Part]) -> u16 {
        let taken: Vec<u16> = parts.iter().map(|_| self.free.pop().unwrap()).collect();
        for (at, part) in parts.iter().enumerate() {
            let next = taken.get(at + 1).copied();
            self.write_descriptor(self.base, taken[at], *part, next, 0);
        }
        let head = taken[0];
        self.chains[usize::from(head)] = taken;
        self.publish(head);
        head
    }

    /// Hand a chain over by way of an indirect table at `table`.
    pub fn offer_indirect(&mut self, table: u64, parts: &[Part]) -> u16 {
        for (at, part) in parts.iter().enumerate() {
            let next = (at + 1 < parts.len()).then_some(at as u16 + 1);
            self.write_descriptor(table, at as u16, *part, next, 0);
        }
        let head = self.free.pop().unwrap();
        let whole = (table, 16 * parts.len() as u32, false);
        self.write_descriptor(self.base, head, whole, None, INDIRECT);
        self.chains[usize::from(head)] = vec![head];
        self.publish(head);
        head
    }

    /// Put `head` into the available ring, whatever it is.
    pub fn publish(&mut self, head: u16) {
        let slot = u64::from(self.avail % self.size);
        self.set(self.avail_address() + 4 + 2 * slot, head);
        self.avail = self.avail.wrapping_add(1);
        self.set(self.avail_address() + 2, self.avail);
    }

    /// Must the device be rung for what was offered since this was last asked?
    pub fn kick_wanted(&mut self) -> bool {
        let (new, old) = (self.avail, self.kicked_at);
        self.kicked_at = new;
        if self.event_idx {
            let event = self.get(self.used_address() + 4 + 8 * u64::from(self.size));
            return new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old);
        }
        new != old && self.get(self.used_address()) & 1 == 0
    }

    /// Take a chain back: its head, and how much of it was written.
    pub fn take_used(&mut self) -> Option<(u16, u32)> {
        if self.get(self.used_address() + 2) == self.used {
            return None;
        }
        let at = self.used_address() + 4 + 8 * u64::from(self.used % self.size);
        let head: u32 = self.memory.read_obj(GuestAddress(at)).unwrap();
        let written: u32 = self.memory.read_obj(GuestAddress(at + 4)).unwrap();
        self.used = self.used.wrapping_add(1);
        let chain = std::mem::take(&mut self.chains[head as usize]);
        assert!(!chain.is_empty(), "given back twice, or never handed over");
        self.free.extend(chain);
        Some((head as u16, written))
    }

    /// Ask for an interrupt at the next chain given back; true if one was given back meanwhile.
    pub fn want_interrupt(&self) -> bool {
        self.set(
            self.avail_address() + 4 + 2 * u64::from(self.size),
            self.used,
        );
        self.get(self.used_address() + 2) != self.used
    }
}

/// Take a device through its set-up as far as the queues.
pub(crate) fn negotiate(registers: &Registers, features: u64) {
    let write = |offset, value: u32| registers.write(offset, &value.to_le_bytes());
    write(register::STATUS, status::ACKNOWLEDGE);
    write(register::STATUS, status::ACKNOWLEDGE | status::DRIVER);
    write(register::DRIVER_FEATURES_SEL, 0);
    write(register::DRIVER_FEATURES, features as u32);
    write(register::DRIVER_FEATURES_SEL, 1);
    write(register::DRIVER_FEATURES, (features >> 32) as u32);
    let wanted = status::ACKNOWLEDGE | status::DRIVER | status::FEATURES_OK;
    write(register::STATUS, wanted);
}

/// The driver is ready: what is left to do.
pub(crate) fn finish(registers: &Registers) -> MmioWrite {
    let mut word = [0; 4];
    registers.read(register::STATUS, &mut word);
    let bits = u32::from_le_bytes(word) | status::DRIVER_OK;
    registers.write(register::STATUS, &bits.to_le_bytes())
}
