//! An allocator that wipes memory before it is free: keys and credentials leave copies in every library that handles them, and none of these
//! outlives its last use. What C code allocates by itself is not seen here.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};

/// The system's allocator; memory that is given back is made zero first.
///
/// A program takes it with `#[global_allocator]`. Large buffers of data belong in an [`Arena`](crate::Arena), which it does not concern.
#[derive(Debug, Clone, Copy, Default)]
pub struct WipingAllocator;

// SAFETY: every call is passed on to `System` with the arguments that the caller vouches for; `dealloc` writes only to the block that it was
// given, before it is freed. `realloc` is the provided one: it allocates, copies, and frees by this `dealloc`, so that the old place is wiped.
unsafe impl GlobalAlloc for WipingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller vouches.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller vouches.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller gives a block of this layout that nobody uses any more.
        unsafe { block.write_bytes(0, layout.size()) };
        keep_writes(block);
        // SAFETY: as the caller vouches.
        unsafe { System.dealloc(block, layout) }
    }
}

/// Keeps the compiler from leaving out writes to memory that is freed next.
fn keep_writes(block: *mut u8) {
    #[cfg(not(miri))]
    // SAFETY: there is no instruction in it; the compiler takes it for one that may read the block.
    unsafe {
        std::arch::asm!("/* {0} */", in(reg) block, options(nostack, preserves_flags));
    }
    #[cfg(miri)]
    std::hint::black_box(block);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_grow_shrink_and_keep_what_is_in_them() {
        let layout = Layout::from_size_align(100, 8).unwrap();
        // SAFETY: the block is used within its size and freed once, with the layout that it has then.
        unsafe {
            let block = WipingAllocator.alloc_zeroed(layout);
            assert!(!block.is_null());
            block.write_bytes(7, 100);
            let larger = WipingAllocator.realloc(block, layout, 10_000);
            assert_eq!(std::slice::from_raw_parts(larger, 100), [7; 100]);
            let layout = Layout::from_size_align(10_000, 8).unwrap();
            let smaller = WipingAllocator.realloc(larger, layout, 50);
            assert_eq!(std::slice::from_raw_parts(smaller, 50), [7; 50]);
            WipingAllocator.dealloc(smaller, Layout::from_size_align(50, 8).unwrap());
        }
    }
}
