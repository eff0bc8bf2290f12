//! The locks that the arena is made of: the standard library's, or loom's where its interleavings are tried (`tests/interleavings.rs`).

#[cfg(loom)]
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
#[cfg(not(loom))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
