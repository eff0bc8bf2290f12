//! Tests of the repository format as a whole: round trips, tampering, golden bytes, the worked example.
#![allow(clippy::unwrap_used, reason = "a test stops where its own setup fails")]

mod codec;
mod documents;
mod example;
mod garbage;
mod golden;
mod keys;
mod maps;
mod nonces;
mod packs;
mod resources;
mod samples;
mod summaries;
mod tamper;
