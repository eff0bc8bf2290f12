//! Fuzz target `lz4_libraries`; its body, and what it demands, is in `crates/format/tests/fuzz/bodies.rs`.
#![no_main]

#[path = "../../crates/format/tests/fuzz/bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bodies::lz4_libraries(data);
});
