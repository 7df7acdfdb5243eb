//! One split queue: what the driver offers is taken only after it was checked.
//!
//! The indices are virtio-queue's; what a chain holds is walked here, because a driver's mistake
//! has to be told from the end of a chain. A mistake breaks the queue ([`Broken`]): the device then
//! asks for a reset, instead of guessing what was meant. All bounds come from the queue's size, at
//! most [`QUEUE_SIZE_MAX`]: chains offered at once, and descriptors of one chain, indirect ones
//! included.

use std::sync::atomic::{Ordering, fence};

use virtio_queue::{Queue, QueueOwnedT, QueueT};
use vm_memory::{Address, Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

use super::QUEUE_SIZE_MAX;
use super::mmio::QueueSetup;
use super::spec::split;

/// The driver has broken the queue's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken;

/// A chain of buffers that the driver has handed over, in guest memory throughout. Kept and filled
/// again, so that a packet costs no allocation.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    head: u16,
    pub readable: Buffers,
    pub writable: Buffers,
}

/// Buffers one after the other.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    parts: Vec<(GuestAddress, usize)>,
    bytes: usize,
}

/// A queue under way.
#[derive(Debug)]
pub(crate) struct Ring {
    queue: Queue,
    /// Chains were given back since the driver's wish for interrupts was last looked at.
    gave_back: bool,
    /// The driver was told that it need not ring.
    kicks_off: bool,
}

impl Ring {
    /// The queue that the driver has set up.
    ///
    /// # Errors
    /// It is not ready, its size is none that exists, or its parts are misaligned or not in memory.
    pub fn new(
        setup: QueueSetup,
        event_idx: bool,
        memory: &GuestMemoryMmap<()>,
    ) -> Result<Self, Broken> {
        let size = u16::try_from(setup.size).map_err(|_| Broken)?;
        let mut queue = Queue::new(QUEUE_SIZE_MAX).map_err(|_| Broken)?;
        queue.try_set_size(size).map_err(|_| Broken)?;
        let aligned = setup.descriptors.is_multiple_of(split::DESCRIPTOR_ALIGN)
            && setup.avail.is_multiple_of(split::AVAIL_ALIGN)
            && setup.used.is_multiple_of(split::USED_ALIGN);
        // virtio-queue takes an available ring at 0 for one that was never set.
        if !aligned || setup.avail == 0 {
            return Err(Broken);
        }
        queue
            .try_set_desc_table_address(GuestAddress(setup.descriptors))
            .and(queue.try_set_avail_ring_address(GuestAddress(setup.avail)))
            .and(queue.try_set_used_ring_address(GuestAddress(setup.used)))
            .map_err(|_| Broken)?;
        queue.set_event_idx(event_idx);
        queue.set_ready(setup.ready);
        if !queue.is_valid(memory) {
            return Err(Broken);
        }
        Ok(Ring {
            queue,
            gave_back: false,
            kicks_off: false,
        })
    }

    /// Take the next chain into `chain`; false if there is none.
    pub fn pop(&mut self, memory: &GuestMemoryMmap<()>, chain: &mut Chain) -> Result<bool, Broken> {
        let limit = self.queue.size();
        let offered = self.queue.iter(memory).map_err(|_| Broken)?.next();
        let Some(mut descriptors) = offered else {
            return Ok(false);
        };
        chain.head = descriptors.head_index();
        chain.readable.clear();
        chain.writable.clear();
        // A chain ends at a descriptor that names no next one. The iterator ends there too, but
        // also where a descriptor cannot be read and where one loops.
        let mut ended = false;
        for (walked, descriptor) in descriptors.by_ref().enumerate() {
            if walked >= usize::from(limit) {
                return Err(Broken);
            }
            let buffers = if descriptor.is_write_only() {
                &mut chain.writable
            } else if chain.writable.parts.is_empty() {
                &mut chain.readable
            } else {
                // Readable ones come first (2.7.4.2).
                return Err(Broken);
            };
            buffers.push(memory, descriptor.addr(), descriptor.len() as usize)?;
            ended = !descriptor.has_next();
        }
        if ended { Ok(true) } else { Err(Broken) }
    }

    /// Give `chain` back, `written` bytes of its writable buffers written.
    pub fn give_back(
        &mut self,
        memory: &GuestMemoryMmap<()>,
        chain: &Chain,
        written: usize,
    ) -> Result<(), Broken> {
        let written = u32::try_from(written).map_err(|_| Broken)?;
        self.queue
            .add_used(memory, chain.head, written)
            .map_err(|_| Broken)?;
        self.gave_back = true;
        Ok(())
    }

    /// Have the driver ring when it offers more. True if it has offered some meanwhile: it may not
    /// ring for those.
    pub fn wait_for_kick(&mut self, memory: &GuestMemoryMmap<()>) -> Result<bool, Broken> {
        self.kicks_off = false;
        self.queue.enable_notification(memory).map_err(|_| Broken)
    }

    /// Spare the driver the ringing until [`wait_for_kick`](Self::wait_for_kick).
    pub fn no_kicks(&mut self, memory: &GuestMemoryMmap<()>) -> Result<(), Broken> {
        if std::mem::replace(&mut self.kicks_off, true) {
            return Ok(());
        }
        self.queue.disable_notification(memory).map_err(|_| Broken)
    }

    /// Does the driver want an interrupt for what was given back since this was last asked?
    pub fn wants_interrupt(&mut self, memory: &GuestMemoryMmap<()>) -> Result<bool, Broken> {
        if !std::mem::take(&mut self.gave_back) {
            return Ok(false);
        }
        if self.queue.event_idx_enabled() {
            return self.queue.needs_notification(memory).map_err(|_| Broken);
        }
        // What was given back must be visible before the driver's wish is read, or both sides could
        // wait.
        fence(Ordering::SeqCst);
        let flags: u16 = memory
            .load(GuestAddress(self.queue.avail_ring()), Ordering::Acquire)
            .map_err(|_| Broken)?;
        Ok(u16::from_le(flags) & split::AVAIL_NO_INTERRUPT == 0)
    }
}

impl Buffers {
    /// How many bytes they hold together.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Copy from `offset` on into `data`, which they are to fill.
    pub fn read(
        &self,
        memory: &GuestMemoryMmap<()>,
        offset: usize,
        data: &mut [u8],
    ) -> Result<(), Broken> {
        let mut done = 0;
        for (address, bytes) in self.from(offset) {
            let part = bytes.min(data.len() - done);
            memory
                .read_slice(&mut data[done..done + part], address)
                .map_err(|_| Broken)?;
            done += part;
            if done == data.len() {
                break;
            }
        }
        if done == data.len() {
            Ok(())
        } else {
            Err(Broken)
        }
    }

    /// Copy `data` to them from `offset` on; it is to fit.
    pub fn write(
        &self,
        memory: &GuestMemoryMmap<()>,
        offset: usize,
        data: &[u8],
    ) -> Result<(), Broken> {
        let mut rest = data;
        for (address, bytes) in self.from(offset) {
            let (part, after) = rest.split_at(bytes.min(rest.len()));
            memory.write_slice(part, address).map_err(|_| Broken)?;
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        if rest.is_empty() { Ok(()) } else { Err(Broken) }
    }

    /// The parts that lie behind the first `offset` bytes.
    fn from(&self, offset: usize) -> impl Iterator<Item = (GuestAddress, usize)> {
        let mut skip = offset;
        self.parts.iter().filter_map(move |&(address, bytes)| {
            let skipped = skip.min(bytes);
            skip -= skipped;
            let left = bytes - skipped;
            (left > 0).then(|| (address.unchecked_add(skipped as u64), left))
        })
    }

    fn clear(&mut self) {
        self.parts.clear();
        self.bytes = 0;
    }

    fn push(
        &mut self,
        memory: &GuestMemoryMmap<()>,
        address: GuestAddress,
        bytes: usize,
    ) -> Result<(), Broken> {
        if !memory.check_range(address, bytes) {
            return Err(Broken);
        }
        self.bytes = self.bytes.checked_add(bytes).ok_or(Broken)?;
        self.parts.push((address, bytes));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
