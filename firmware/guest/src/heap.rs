//! Memory for `alloc`: a list of free blocks, first fit.
//!
//! Used by the vsock verbs only, and by one vCPU at a time, so that neither speed nor fairness
//! matters. The list is sorted by address and neighbours are joined, since buffers of very
//! different sizes come and go. It knows no address of its own: its owner gives it a region.

use core::alloc::Layout;
use core::ptr;

/// Blocks start at multiples of this, and have sizes that are multiples of it: what a [`Block`]
/// needs.
const GRAIN: usize = 16;

/// The start of a free block.
#[repr(C, align(16))]
struct Block {
    bytes: usize,
    next: *mut Block,
}

/// Free memory.
pub struct FreeList {
    first: *mut Block,
}

impl FreeList {
    /// No memory.
    pub const fn empty() -> Self {
        Self {
            first: ptr::null_mut(),
        }
    }

    /// Memory for `layout`, or null if there is none.
    pub fn take(&mut self, layout: Layout) -> *mut u8 {
        let bytes = size_of_block(layout.size());
        let align = layout.align().max(GRAIN);
        let mut link: *mut *mut Block = &mut self.first;
        loop {
            // SAFETY: `link` points at `first` or at the `next` of a block of the list, all of which
            // lie in memory that was given to the list and that nothing else uses.
            let block = unsafe { *link };
            if block.is_null() {
                return ptr::null_mut();
            }
            let start = block.addr();
            // SAFETY: `block` is one of the list's, as above.
            let (end, next) = unsafe { (start + (*block).bytes, (*block).next) };
            let at = start.next_multiple_of(align);
            if at.checked_add(bytes).is_some_and(|after| after <= end) {
                let mut rest = next;
                if at + bytes < end {
                    // SAFETY: the tail lies within the block, and all three numbers are multiples of
                    // the grain, so a `Block` fits there.
                    unsafe {
                        rest = block.byte_add(at + bytes - start);
                        let bytes = end - (at + bytes);
                        rest.write(Block { bytes, next });
                    }
                }
                // SAFETY: `block` and `link` are the list's; `at` lies within the block.
                unsafe {
                    if at > start {
                        (*block).bytes = at - start;
                        (*block).next = rest;
                    } else {
                        *link = rest;
                    }
                    return block.byte_add(at - start).cast();
                }
            }
            // SAFETY: `block` is one of the list's.
            link = unsafe { &raw mut (*block).next };
        }
    }

    /// Takes memory in: a region for the list, or what [`take`](Self::take) gave out for a layout of
    /// this size.
    ///
    /// # Safety
    ///
    /// The `bytes` from `start`, a multiple of 16, are memory that nothing uses while the list has it.
    pub unsafe fn give(&mut self, start: *mut u8, bytes: usize) {
        let bytes = size_of_block(bytes);
        let block: *mut Block = start.cast();
        let mut before: *mut Block = ptr::null_mut();
        let mut after = self.first;
        // SAFETY: both pointers walk along the list, whose blocks are its own memory.
        unsafe {
            while !after.is_null() && after.addr() < block.addr() {
                before = after;
                after = (*after).next;
            }
            block.write(Block { bytes, next: after });
        }
        if before.is_null() {
            self.first = block;
        } else {
            // SAFETY: `before` is a block of the list.
            unsafe {
                (*before).next = block;
            }
        }
        join(block);
        join(before);
    }
}

/// Joins a block of the list to the one after it, if they touch. Null is none.
fn join(block: *mut Block) {
    if block.is_null() {
        return;
    }
    // SAFETY: the callers pass blocks of the list, and `next` is another or null.
    unsafe {
        let next = (*block).next;
        if !next.is_null() && block.addr() + (*block).bytes == next.addr() {
            (*block).bytes += (*next).bytes;
            (*block).next = (*next).next;
        }
    }
}

fn size_of_block(bytes: usize) -> usize {
    bytes.max(1).next_multiple_of(GRAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[repr(align(4096))]
    struct Region([u8; 64 * 1024]);

    fn list(region: &mut Region) -> FreeList {
        let mut list = FreeList::empty();
        // SAFETY: the region outlives the list in every test, and is used through it alone.
        unsafe { list.give(region.0.as_mut_ptr(), region.0.len()) };
        list
    }

    #[test]
    fn what_is_given_back_in_any_order_becomes_one_block_again() {
        let mut region = Box::new(Region([0; _]));
        let mut list = list(&mut region);
        let sizes = [1, 16, 17, 100, 4096, 5000, 0, 33];
        for rotation in 0..sizes.len() {
            let mut held: Vec<_> = sizes
                .iter()
                .map(|&size| (list.take(Layout::from_size_align(size, 8).unwrap()), size))
                .collect();
            held.rotate_left(rotation);
            for (at, size) in held {
                assert!(!at.is_null());
                // SAFETY: taken above with this size.
                unsafe { list.give(at, size) };
            }
            let all = Layout::from_size_align(64 * 1024, 4096).unwrap();
            let whole = list.take(all);
            assert!(!whole.is_null(), "rotation {rotation}");
            // SAFETY: taken above with this size.
            unsafe { list.give(whole, all.size()) };
        }
    }

    #[test]
    fn blocks_are_aligned_and_do_not_overlap() {
        let mut region = Box::new(Region([0; _]));
        let mut list = list(&mut region);
        let mut held: Vec<(usize, usize)> = Vec::new();
        for (size, align) in [(10, 1), (4096, 4096), (48, 32), (8192, 4096), (1, 64)] {
            let at = list.take(Layout::from_size_align(size, align).unwrap());
            assert!(!at.is_null());
            assert!(at.addr().is_multiple_of(align));
            for &(other, bytes) in &held {
                assert!(at.addr() + size <= other || other + bytes <= at.addr());
            }
            held.push((at.addr(), size));
        }
        let too_much = Layout::from_size_align(64 * 1024, 8).unwrap();
        assert!(list.take(too_much).is_null());
    }
}
