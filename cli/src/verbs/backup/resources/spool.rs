//! Data of resources on their way into the point: one file each, closed to others, that goes when the run is over.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use coffer_blockio::{BlockSource, SourceOpener};
use coffer_engine::{EngineError, one_line};
use coffer_resources::DataSink;

/// A directory of data.
pub(super) struct Spool {
    directory: PathBuf,
}

impl Spool {
    pub(super) fn new(directory: &Path) -> Self {
        Spool { directory: directory.to_owned() }
    }

    fn path(&self, number: usize) -> PathBuf {
        self.directory.join(number.to_string())
    }

    /// Opens the data of a resource as a volume; where that fails its volume does.
    pub(super) fn open_source(
        &self,
        number: usize,
        opener: &SourceOpener,
    ) -> Result<Box<dyn BlockSource>, EngineError> {
        opener.open(self.path(number)).map_err(|error| EngineError::Usage(one_line(&error)))
    }
}

impl DataSink for Spool {
    fn open(&self, number: usize) -> io::Result<Box<dyn Write + Send>> {
        let file = File::options().create_new(true).write(true).mode(0o600).open(self.path(number))?;
        Ok(Box::new(BufWriter::with_capacity(1 << 20, file)))
    }
}
