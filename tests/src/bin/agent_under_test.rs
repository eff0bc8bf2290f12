//! The program `coffer-agent` as these tests run it: the same call of the same library. Must stay equal to the program's own `main`.

use std::process::ExitCode;

use coffer_blockio::WipingAllocator;

#[global_allocator]
static ALLOCATOR: WipingAllocator = WipingAllocator;

fn main() -> ExitCode {
    coffer_agent::run::run(std::env::args_os())
}
