//! Fuzz target `pack_header_frame`; its body, and what it demands, is in `crates/format/tests/fuzz/bodies.rs`.
#![no_main]

#[path = "../../crates/format/tests/fuzz/bodies.rs"]
mod bodies;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    bodies::pack_header_frame(data);
});
