//! Text for people, on standard output, standard error and in logs.
//!
//! Nothing here may panic because nobody reads, and nothing may send a character that steers a terminal. It knows nothing of
//! backups.
//!
//! # Map
//! - `clean`: what must not reach a terminal, made visible.
//! - `streams`: writing that fails in silence (standard error) or with an error (standard output).
//! - `log`: the same two rules for lines of `tracing`.
#![forbid(unsafe_code)]
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod clean;
mod log;
mod streams;

pub use clean::{Clean, clean, clean_lines};
pub use log::{CleanFields, LogWriter};
pub use streams::{print, remark, remark_exactly};
