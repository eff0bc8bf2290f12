//! The result of `init`.

use coffer_format::RepositoryId;
use serde::Serialize;

use crate::output::Document;
use crate::probe::Capabilities;

/// A new repository.
#[derive(Debug, Serialize)]
pub(crate) struct InitDocument {
    pub(crate) repository: RepositoryId,
    pub(crate) format: u32,
    pub(crate) encrypted: bool,
    pub(crate) capabilities: Capabilities,
    pub(crate) key_file: Option<String>,
    pub(crate) writer_key_file: Option<String>,
}

impl Document for InitDocument {
    fn text(&self) -> String {
        let mut text = format!("repository {} is ready\n", self.repository);
        match &self.key_file {
            Some(path) => text.push_str(&format!(
                "recovery key: {} (keep a copy elsewhere; without it nothing can be restored)\n",
                path
            )),
            None => text.push_str("no encryption: this repository detects accidents, not malice\n"),
        }
        if let Some(path) = &self.writer_key_file {
            text.push_str(&format!("writer key: {} (makes backups, cannot read data)\n", path));
        }
        text
    }
}
