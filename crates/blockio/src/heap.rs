//! Gives freed heap memory back to the kernel. What the data path uses lies in arenas and goes back by itself.
#![allow(unsafe_code)]

/// Returns what the allocator keeps of freed memory, as far as it can; a process that will be idle for long calls it. Takes milliseconds.
pub fn give_back_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: glibc's own locks protect its heap; memory in use is not touched.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}
