//! Tests of the repository format as a whole: round trips, tampering, golden bytes, the worked example.

mod codec;
mod documents;
mod garbage;
mod golden;
mod keys;
mod maps;
mod nonces;
mod packs;
mod samples;
mod summaries;
mod tamper;
