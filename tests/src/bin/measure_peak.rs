//! `measure-peak FILE PROGRAM ARGUMENT…`: runs a program and writes the KiB of its peak resident memory to FILE.
//!
//! The kernel counts a child's memory from the fork on, and so that of the process that forked: hence this small program between
//! the test and what it measures. Must not allocate more than what is measured.

use std::error::Error;
use std::ffi::OsString;
use std::process::{Command, ExitCode};

use nix::sys::resource::{UsageWho, getrusage};

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut words = std::env::args_os().skip(1);
    let (Some(file), Some(program)) = (words.next(), words.next()) else {
        return Err("usage: measure-peak FILE PROGRAM ARGUMENT…".into());
    };
    let status = Command::new(program).args(words.collect::<Vec<OsString>>()).status()?;
    let peak_kib = getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss();
    std::fs::write(file, peak_kib.to_string())?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
