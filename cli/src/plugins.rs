//! What verbs need to call plugins.

use tokio::runtime::{Builder, Runtime};

use crate::error::CliError;

/// A runtime for calls of plugins; one thread, since all work is theirs.
pub(crate) fn runtime() -> Result<Runtime, CliError> {
    Builder::new_current_thread().enable_all().build().map_err(|source| CliError::File {
        step: "start",
        path: "the plugins' runtime".into(),
        source,
    })
}
