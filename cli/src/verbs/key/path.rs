//! Paths of key files.

use std::path::Path;

use crate::error::CliError;
use crate::options::KeyOptions;

/// The key file, which these verbs cannot do without.
pub(super) fn key_path(key: &KeyOptions) -> Result<&Path, CliError> {
    key.key
        .as_deref()
        .ok_or_else(|| CliError::Usage("this needs a key file: give --key FILE or COFFER_KEY_FILE".into()))
}

pub(super) fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
