//! The program `coffer-controller`. Everything is in the library, where tests reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    coffer_controller::run::run(std::env::args_os())
}
