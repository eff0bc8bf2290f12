//! Standard output and standard error.

use std::fmt;
use std::io::{self, Write};

use crate::clean::Clean;

/// Writes all of `bytes` to standard output. A reader that went away, such as `head`, is no failure of ours.
///
/// # Errors
/// Whatever else keeps the bytes from being written, such as a full disk.
pub fn print(bytes: &[u8]) -> io::Result<()> {
    match write_whole(&mut io::stdout().lock(), bytes) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// Writes a line for people to standard error, cleaned. Where that fails there is nobody left to tell.
pub fn remark(line: impl fmt::Display) {
    remark_exactly(Clean(line));
}

/// Writes a line for programs to standard error as it is, such as a JSON document. Where that fails there is nobody left to tell.
pub fn remark_exactly(line: impl fmt::Display) {
    let line = format!("{line}\n");
    let _nobody_reads = write_whole(&mut io::stderr().lock(), line.as_bytes());
}

fn write_whole(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    out.write_all(bytes)?;
    out.flush()
}
