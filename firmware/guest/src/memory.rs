//! The heap: the one region of memory that `alloc` and the vsock device share.
//!
//! Memory is mapped one to one, so an address is what the device knows it by.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::hint::spin_loop;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};

use virtio_drivers::{BufferDirection, Hal, PAGE_SIZE, PhysAddr};

use crate::heap::FreeList;
use crate::layout::{HEAP, HEAP_END, MAPPED_END};

/// The allocator of the guest.
pub struct Heap {
    held: AtomicBool,
    inner: UnsafeCell<Inner>,
}

struct Inner {
    begun: bool,
    free: FreeList,
}

// SAFETY: `inner` is only reached through `with`, which lets one vCPU in at a time.
unsafe impl Sync for Heap {}

impl Heap {
    /// The heap, untouched: the memory of a guest that uses no vsock stays as it is.
    pub const fn new() -> Self {
        Self {
            held: AtomicBool::new(false),
            inner: UnsafeCell::new(Inner {
                begun: false,
                free: FreeList::empty(),
            }),
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut FreeList) -> T) -> T {
        while self.held.swap(true, Ordering::Acquire) {
            spin_loop();
        }
        // SAFETY: `held` was false and is true, so nobody else is here until it is false again, and
        // `act` cannot come back here: it is one of the calls below.
        let inner = unsafe { &mut *self.inner.get() };
        if !inner.begun {
            inner.begun = true;
            // SAFETY: the region is memory, since a guest has as much as the layout says; nothing
            // else stands there; it is given once.
            unsafe {
                inner.free.give(HEAP as *mut u8, (HEAP_END - HEAP) as usize);
            }
        }
        let result = act(&mut inner.free);
        self.held.store(false, Ordering::Release);
        result
    }
}

// SAFETY: `FreeList` gives out memory that fits the layout and that nothing else uses, or null.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.with(|free| free.take(layout))
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller vouches that `at` came from here with this layout and is not used.
        self.with(|free| unsafe { free.give(at, layout.size()) });
    }
}

/// Writes to each page of so many bytes above the heap, so that the host has to find it.
pub fn touch(bytes: u64) {
    let end = HEAP_END.saturating_add(bytes).min(MAPPED_END);
    for page in (HEAP_END..end).step_by(PAGE_SIZE) {
        // SAFETY: the page tables map it, and nothing of the guest's stands there.
        unsafe { (page as *mut u8).write_volatile(1) };
    }
}

/// How the vsock driver gets at memory that the device sees: all of it, at its own address.
pub struct OneToOne;

fn pages_layout(pages: usize) -> Layout {
    match Layout::from_size_align(pages * PAGE_SIZE, PAGE_SIZE) {
        Ok(layout) => layout,
        Err(_) => panic!("{pages} pages"),
    }
}

// SAFETY: memory comes from the allocator, zeroed and aligned to a page; addresses are physical ones.
unsafe impl Hal for OneToOne {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let layout = pages_layout(pages);
        // SAFETY: the driver asks for at least one page.
        let at = unsafe { alloc::alloc::alloc_zeroed(layout) };
        match NonNull::new(at) {
            Some(at) => (at.addr().get() as u64, at),
            None => alloc::alloc::handle_alloc_error(layout),
        }
    }

    unsafe fn dma_dealloc(_: PhysAddr, at: NonNull<u8>, pages: usize) -> i32 {
        // SAFETY: the caller vouches that `dma_alloc` gave this out for as many pages.
        unsafe { alloc::alloc::dealloc(at.as_ptr(), pages_layout(pages)) };
        0
    }

    unsafe fn mmio_phys_to_virt(at: PhysAddr, _: usize) -> NonNull<u8> {
        // For PCI, of which there is none.
        panic!("PCI registers at {at:#x}")
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.addr().get() as u64
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}
