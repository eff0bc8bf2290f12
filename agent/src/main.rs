//! The program `coffer-agent`. Everything is in the library, where tests reach it.

use std::process::ExitCode;

use coffer_blockio::WipingAllocator;

/// Keys and credentials of operations pass through many libraries; no copy outlives its use.
#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator;

fn main() -> ExitCode {
    coffer_agent::run::run(std::env::args_os())
}
