//! Fuzz target `key_file`; its body, and what it demands, is in `crates/format/tests/fuzz/bodies.rs`.
#![no_main]

#[path = "../../crates/format/tests/fuzz/bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bodies::key_file(data);
});
