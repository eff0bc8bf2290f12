//! The arena takes physical memory when it is touched, not when it is reserved. Alone in its process, to measure it.

use coffer_blockio::Arena;

/// What the process has resident now, in bytes.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("every process has one");
    let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number of KiB");
    kib * 1024
}

#[test]
fn memory_is_taken_when_touched_and_used_again() {
    let arena = Arena::new(8 << 30).expect("address space is plentiful");
    let before = resident_bytes();
    for length in (1..200).map(|round| round * 10_000) {
        let mut large = arena.alloc(length).expect("fits");
        let mut small = arena.alloc(4096).expect("fits");
        large.fill(1);
        small.fill(2);
    }
    let grown = resident_bytes().saturating_sub(before);
    // 2 MB and 4 KiB at once, each end rounded to huge pages; without reuse it would be 200 MB.
    assert!(grown >= 1_000_000, "the measurement works: {grown}");
    assert!(grown < 32 << 20, "{grown}");
}
