//! The program `coffer`. Everything is in the library, where tests reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    coffer_cli::run(std::env::args_os().collect())
}
