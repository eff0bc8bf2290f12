//! The result of `init`.

use coffer_format::RepositoryId;
use serde::Serialize;

use crate::output::Document;
use crate::probe::Capabilities;
use crate::text::Text;

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
    fn text(&self) -> Text {
        let mut text = Text::of(format_args!("repository {} is ready", self.repository));
        match &self.key_file {
            Some(path) => text.line(format_args!(
                "recovery key: {} (keep a copy elsewhere; without it nothing can be restored)",
                path
            )),
            None => text.line("no encryption: this repository detects accidents, not malice"),
        }
        if let Some(path) = &self.writer_key_file {
            text.line(format_args!("writer key: {} (makes backups, cannot read data)", path));
        }
        text
    }
}
