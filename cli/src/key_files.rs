//! Reads key files. What is in them goes into the engine, and never into a message.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use coffer_format::{FormatError, KeyFile};
use zeroize::Zeroizing;

use crate::error::CliError;

/// No key file is longer; what is longer is another file.
const LEN_MAX: u64 = 1 << 20;

/// Reads a key file, and warns where others may read it too.
pub(crate) fn read(path: &Path) -> Result<KeyFile, CliError> {
    if let Some(mode) = open_to_others(path) {
        tracing::warn!(path = %path.display(), mode = %format!("{mode:04o}"), "key file is readable by others, run chmod 600");
    }
    read_again(path)
}

/// Reads a key file of which all that is odd was said already.
pub(crate) fn read_again(path: &Path) -> Result<KeyFile, CliError> {
    let failed = |source| CliError::File { step: "read key file", path: path.into(), source };
    let text = read_text(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => CliError::Usage(format!(
            "there is no key file {}; check --key or COFFER_KEY_FILE",
            path.display()
        )),
        _ => failed(error),
    })?;
    KeyFile::decode(&text).map_err(|source| CliError::KeyFile { path: path.into(), source })
}

/// What a key file's permissions let others do; `None` where only the owner has any.
pub(crate) fn open_to_others(path: &Path) -> Option<u32> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    (mode & 0o077 != 0).then_some(mode)
}

fn read_text(path: &Path) -> io::Result<Zeroizing<String>> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mut text =
        Zeroizing::new(String::with_capacity(usize::try_from(metadata.len().min(LEN_MAX)).unwrap_or(0) + 1));
    file.take(LEN_MAX + 1).read_to_string(&mut text).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => {
            io::Error::new(io::ErrorKind::InvalidData, "it is not text, so no key file")
        }
        _ => error,
    })?;
    Ok(text)
}

/// Fails unless `key` is a recovery key.
pub(crate) fn need_recovery(key: &KeyFile, what: &'static str) -> Result<(), CliError> {
    match key.recovery(what) {
        Ok(_) => Ok(()),
        Err(error @ FormatError::RecoveryKeyNeeded { .. }) => {
            Err(CliError::Usage(format!("{error}; give --key RECOVERY-KEY-FILE")))
        }
        Err(error) => Err(CliError::Usage(error.to_string())),
    }
}
