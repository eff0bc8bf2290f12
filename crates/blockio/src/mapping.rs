//! One contiguous piece of page-aligned, initialised memory that is touched only when used.
//!
//! It must never be unmapped while a buffer lives (buffers keep the arena, the arena keeps this), and never hands out
//! references: who owns which bytes is the arena's business.
#![allow(unsafe_code)]

use std::io;
use std::ptr::NonNull;

/// An anonymous mapping (under Miri: an allocation), freed on drop.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len_bytes: usize,
}

// SAFETY: the mapping is plain memory that belongs to no thread; `Mapping` itself never reads or writes it.
unsafe impl Send for Mapping {}
// SAFETY: as above; `&Mapping` gives out raw pointers only.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Reserves `len_bytes` bytes of zeroes; physical memory is taken page by page on first use.
    ///
    /// `len_bytes` is a multiple of 4 KiB and not zero.
    pub(crate) fn new(len_bytes: usize) -> io::Result<Self> {
        Ok(Self { base: reserve(len_bytes)?, len_bytes })
    }

    /// The length in bytes.
    pub(crate) fn len_bytes(&self) -> usize {
        self.len_bytes
    }

    /// A pointer to the byte at `offset_bytes`, valid for the rest of the mapping.
    ///
    /// # Panics
    /// If `offset_bytes` lies outside.
    pub(crate) fn pointer(&self, offset_bytes: usize) -> NonNull<u8> {
        assert!(offset_bytes < self.len_bytes, "offset {offset_bytes} lies outside of the arena");
        // SAFETY: the offset is inside of the one allocation that `base` points to, which is at most isize::MAX long.
        unsafe { self.base.add(offset_bytes) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        release(self.base, self.len_bytes);
    }
}

#[cfg(not(miri))]
fn reserve(len_bytes: usize) -> io::Result<NonNull<u8>> {
    use nix::sys::mman::{MapFlags, MmapAdvise, ProtFlags, madvise, mmap_anonymous};

    let length = std::num::NonZeroUsize::new(len_bytes).ok_or(io::ErrorKind::InvalidInput)?;
    let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    let flags = MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE;
    // SAFETY: a new anonymous mapping at an address of the kernel's choice aliases nothing.
    let base = unsafe { mmap_anonymous(None, length, protection, flags) }?;
    // Best effort: without huge pages everything works, with more TLB misses.
    // SAFETY: the range is exactly the mapping made above; the advice does not change its contents.
    let _unsupported = unsafe { madvise(base, len_bytes, MmapAdvise::MADV_HUGEPAGE) };
    Ok(base.cast())
}

#[cfg(not(miri))]
fn release(base: NonNull<u8>, len_bytes: usize) {
    // SAFETY: base and length are those of one mapping, and nothing points into it any more.
    let unmapped = unsafe { nix::sys::mman::munmap(base.cast(), len_bytes) };
    debug_assert!(unmapped.is_ok(), "munmap of our own mapping: {unmapped:?}");
}

#[cfg(miri)]
fn layout(len_bytes: usize) -> std::alloc::Layout {
    std::alloc::Layout::from_size_align(len_bytes, crate::BUFFER_ALIGN_BYTES).expect("tests map a few pages")
}

#[cfg(miri)]
fn reserve(len_bytes: usize) -> io::Result<NonNull<u8>> {
    // SAFETY: the layout has a size above zero.
    let base = unsafe { std::alloc::alloc_zeroed(layout(len_bytes)) };
    NonNull::new(base).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

#[cfg(miri)]
fn release(base: NonNull<u8>, len_bytes: usize) {
    // SAFETY: allocated above with this very layout, and nothing points into it any more.
    unsafe { std::alloc::dealloc(base.as_ptr(), layout(len_bytes)) };
}
