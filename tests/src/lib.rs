//! What the tests of the whole program share: running it within a time limit, killing it, and making volumes for it.
//!
//! It knows the program only by its command line, its JSON and the documented names of its objects. It never ends a process, mount or
//! loop device that it did not make, and leaves none behind.
#![forbid(unsafe_code)]

pub mod chance;
pub mod content;
pub mod devices;
pub mod leftovers;
pub mod moment;
pub mod node;
pub mod process;
pub mod repository;
pub mod s3;
