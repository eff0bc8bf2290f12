//! `protocol-model`: explores the model of the repository protocol and says what it found.
//!
//! Exit status 0: everything holds, and with `--all` every rule is needed; 1 otherwise; 2 for wrong usage.

use coffer_sim::protocol::command;
use std::process::ExitCode;

fn main() -> ExitCode {
    match command::Options::parse(std::env::args().skip(1)) {
        Ok(options) => command::run(&options, &mut std::io::stdout().lock()),
        Err(message) => {
            eprintln!("{message}\n{}", command::USAGE);
            ExitCode::from(2)
        }
    }
}
