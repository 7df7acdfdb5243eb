//! Guest memory: anonymous pages of this process, below and above the MMIO hole.
//!
//! Pages are taken from the host when they are first touched, so that a guest costs what it uses.

use vm_memory::{GuestAddress, GuestMemoryMmap};

use crate::HvError;

/// The memory of one guest. Clones share the same pages.
pub type GuestMemory = GuestMemoryMmap<()>;

/// First guest-physical address of the MMIO hole: RAM stops below it.
pub const HOLE_START: u64 = 0xc000_0000;

/// First guest-physical address above the MMIO hole: the rest of RAM goes on here.
pub const HOLE_END: u64 = 0x1_0000_0000;

const PAGE_BYTES: u64 = 4096;

/// Maps `bytes` of guest memory, zeroed, without reserving swap for it.
///
/// Up to 3 GiB lie at address 0; what is above that lies at 4 GiB, since 3 to 4 GiB is for MMIO.
///
/// # Errors
///
/// [`HvError::MemorySize`] unless `bytes` is a multiple of a page above zero;
/// [`HvError::MapMemory`] if the host refuses the mapping.
pub fn guest_memory(bytes: u64) -> Result<GuestMemory, HvError> {
    let ranges = ranges(bytes)?;
    GuestMemory::from_ranges(&ranges).map_err(|error| HvError::MapMemory {
        bytes,
        reason: error.to_string(),
    })
}

fn ranges(bytes: u64) -> Result<Vec<(GuestAddress, usize)>, HvError> {
    if bytes == 0 || !bytes.is_multiple_of(PAGE_BYTES) {
        return Err(HvError::MemorySize(bytes));
    }
    let low = bytes.min(HOLE_START);
    let high = bytes - low;
    let mut ranges = vec![(GuestAddress(0), low as usize)];
    if high > 0 {
        ranges.push((GuestAddress(HOLE_END), high as usize));
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_that_is_not_whole_pages_is_refused() {
        for bytes in [0, 1, 4095, 4097] {
            assert!(matches!(guest_memory(bytes), Err(HvError::MemorySize(b)) if b == bytes));
        }
    }

    #[test]
    fn memory_is_split_around_the_hole() {
        let gib = 1 << 30;
        assert_eq!(ranges(gib).unwrap(), [(GuestAddress(0), gib as usize)]);
        assert_eq!(ranges(3 * gib).unwrap().len(), 1);
        assert_eq!(
            ranges(5 * gib).unwrap(),
            [
                (GuestAddress(0), 3 * gib as usize),
                (GuestAddress(HOLE_END), 2 * gib as usize)
            ]
        );
    }

    #[test]
    fn a_size_no_host_has_is_an_error_not_a_panic() {
        let error = guest_memory(1 << 60).unwrap_err();
        assert!(matches!(error, HvError::MapMemory { .. }), "{error}");
        assert!(guest_memory(!4095).is_err());
    }
}
