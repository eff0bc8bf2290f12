//! Files with secrets: regular, not too long, and closed to others.
//!
//! Such a file must never be waited for, and nothing of it may stand in an error.

use std::fs::File;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// Whoever is not the owner and does more than read as the group: pods have their secrets by a group.
const OTHERS: u32 = 0o027;

/// Opens a file of at most `len_max` bytes; returns it and its length.
///
/// # Errors
/// What is wrong, and what to do.
pub fn open(path: &Path, len_max: u64) -> Result<(File, usize), String> {
    // A pipe without a writer does not hold anybody up.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).map_err(|error| error.to_string())?;
    let file =
        File::options().read(true).custom_flags(flags).open(path).map_err(|error| error.to_string())?;
    let found = file.metadata().map_err(|error| error.to_string())?;
    if !found.is_file() {
        return Err("it is no regular file".into());
    }
    check_mode(found.mode())?;
    match usize::try_from(found.len()) {
        Ok(len) if found.len() <= len_max => Ok((file, len)),
        _ => Err(format!("the file is longer than {len_max} bytes")),
    }
}

/// Whether a mode closes a file to others.
///
/// # Errors
/// What it allows, and what to do.
pub fn check_mode(mode: u32) -> Result<(), String> {
    match mode & OTHERS {
        0 => Ok(()),
        _ => Err(format!(
            "others may use the file (mode {:04o}): chmod 0600 it, or give the mounted Secret defaultMode 0400",
            mode & 0o7777
        )),
    }
}
