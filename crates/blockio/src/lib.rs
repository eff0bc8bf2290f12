//! Block devices and image files, in and out, with the one pool of buffers that all of it uses.
//!
//! This crate knows neither the engine nor the store. It is the only one that may use `unsafe`. It must never take a
//! short read for a full one, never call data a hole, and never discard anything on a device.
//!
//! # Map
//! - [`Arena`], [`Buf`]: aligned memory under one byte budget.
//! - [`BlockSource`]: the read port. [`PreadSource`]: any number of threads calling `pread`. [`UringSource`]: batches
//!   of reads by io_uring. [`SourceOpener`] picks one.
//! - [`ReadBatch`]: ranges of a source that are read into one buffer, ahead of their use where the engine can.
//! - [`BlockTarget`]: the write port. [`FileTarget`]: `pwrite` to an image or a device.
//! - [`describe_path`]: what is at a path, for the checks before a restore.
//! - Sources and targets open by path, or by a handle that somebody else has opened and judged (`open_handle`).
//! - [`give_back_memory`]: for a process that will be idle. [`WipingAllocator`]: for one that handles secrets.
//! - [`DiskActivity`]: what the disks below a source do for everybody.
//! - [`ExtentMap`], [`clone_file`], [`freeze`], [`thaw`]: what file systems are asked by ioctl.
//! - [`lower_this_thread`]: makes a thread step back behind the workload beside it.
//!
//! # Who owns a buffer
//! 1. A [`Buf`] is the permit for its bytes of the budget and travels with the data: reader, encoder, upload. It
//!    returns by drop, also in the middle of a panic, and only then. [`Buf::into_bytes`] moves it into
//!    [`bytes::Bytes`], whose last clone returns it.
//! 2. A port borrows: `read_exact_at(&mut buf)` and `write_all_at(&buf)` are done with the memory when they return,
//!    with success or error. After an error a read buffer holds unspecified (initialised) bytes.
//!    A [`ReadBatch`] is the exception: it moves in by value with its buffer and comes back when it was read.
//! 3. A fresh buffer holds zeroes or stale data of an earlier use. Never send what you have not written.
//! 4. The arena is the only back-pressure. Requests are served in order of arrival, so a thread that keeps a buffer
//!    while it blocks for another may wait for itself. Take all buffers of a step before the step, keep the arena at
//!    least as large as what all threads hold at most, or use [`Arena::try_alloc`] for the second one. Requests need
//!    contiguous room: equal lengths, or lengths with a common multiple, pack without loss.
//! 5. To cancel: set your flag, then call [`Arena::wake_all`]. Buffers already handed out return by drop as usual.
//!
//! `make interleavings` tries every order in which up to three threads meet at the arena's lock (loom).
//!
//! # The io_uring engine
//! keeps these rules in the way that `uring.rs` writes down: the kernel may write to the memory of a read until its last
//! completion, also when nobody waits for it any more, so the ring owns the [`Buf`] until then.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod alignment;
mod arena;
mod bounce;
mod buf;
mod describe;
mod disk;
mod document_source;
mod durable;
mod error;
mod file_limit;
mod file_system;
mod file_target;
mod free_ranges;
mod handle;
mod heap;
mod holes;
mod kernel;
mod kind;
mod mapping;
mod open;
mod opener;
mod patience;
mod place;
mod pool;
mod pread;
mod read_batch;
mod source;
mod staged_target;
mod sync;
mod target;
#[cfg(feature = "testing")]
pub mod testing;
mod thread_priority;
mod uring;
mod usage;
mod wiping;
mod zero;

pub use arena::Arena;
pub use buf::Buf;
pub use describe::{PathInfo, describe_handle, describe_path};
pub use disk::DiskActivity;
pub use document_source::DocumentSource;
pub use durable::sync_directory;
pub use error::{ArenaError, OpenError, ReadError, WriteError};
pub use file_limit::{file_limit_bytes, is_past_file_limit, outlive_file_limit};
pub use file_system::{
    ExtentMap, ExtentPlace, FileExtent, OPEN_NAMELESS, OPEN_NO_FOLLOW, OPEN_NO_WAIT, clone_file,
    file_generation, freeze, thaw,
};
pub use file_target::{FileTarget, NewFile};
pub use heap::give_back_memory;
pub use kind::{PathKind, SourceKind};
pub use opener::{EngineWish, SourceOpener};
pub use pread::PreadSource;
pub use read_batch::{ReadBatch, StartedRead};
pub use source::{BlockSource, ReadEngine};
pub use staged_target::{StagedTarget, leftover_bytes};
pub use target::BlockTarget;
pub use thread_priority::{IoClass, lower_this_thread};
pub use uring::{Ring, RingUse, UringError, UringSource};
pub use wiping::WipingAllocator;

/// Every [`Buf`] begins at a multiple of this many bytes, which suits direct I/O on every device in use.
pub const BUFFER_ALIGN_BYTES: usize = 4096;
