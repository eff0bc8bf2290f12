//! The program `coffer-agent`. Everything is in the library, where tests reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    coffer_agent::run::run(std::env::args_os())
}
