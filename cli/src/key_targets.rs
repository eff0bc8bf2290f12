//! Writes new key files: private, never over something that exists, and on disk before the repository relies on them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use coffer_blockio::sync_directory;
use coffer_engine::{EngineError, Environment};
use coffer_format::KeyFile;

use crate::error::CliError;
use crate::paths::directory_of;

/// Where the files of a new key go.
pub(crate) struct KeyTargets<'a> {
    /// The recovery key.
    pub(crate) recovery: &'a Path,
    /// A writer key made from it.
    pub(crate) writer: Option<&'a Path>,
}

impl KeyTargets<'_> {
    /// Fails where a file could not be made, before anything else is done.
    pub(crate) fn check(&self) -> Result<(), CliError> {
        check_free(self.recovery)?;
        let Some(writer) = self.writer else { return Ok(()) };
        check_free(writer)?;
        if writer == self.recovery {
            return Err(CliError::Usage(format!(
                "--key-out and --writer-key-out both name {}; give two files",
                writer.display()
            )));
        }
        Ok(())
    }

    /// Writes the files; where one fails, none stays.
    pub(crate) fn save(&self, environment: &Environment, recovery: &KeyFile) -> Result<(), CliError> {
        let writer_key = self.writer.map(|_| make_writer_key(environment, recovery)).transpose()?;
        write_new(self.recovery, recovery)?;
        if let (Some(path), Some(key)) = (self.writer, &writer_key) {
            write_new(path, key).inspect_err(|_| remove(self.recovery))?;
        }
        Ok(())
    }

    /// As [`KeyTargets::save`], in the engine's terms.
    pub(crate) fn save_for_engine(
        &self,
        environment: &Environment,
        recovery: &KeyFile,
    ) -> Result<(), EngineError> {
        self.save(environment, recovery).map_err(|error| match error {
            CliError::Engine(error) => error,
            CliError::Refused(text) => EngineError::Refused(text),
            other => EngineError::Usage(other.line()),
        })
    }

    /// Whether a file was written, so that a failure afterwards has to speak of it.
    pub(crate) fn explain(&self, error: CliError) -> CliError {
        if !self.recovery.exists() {
            return error;
        }
        let next = format!(
            "key file {} was written before; if the command is not going to be finished, remove it",
            self.recovery.display()
        );
        CliError::After { source: Box::new(error), next }
    }
}

/// A writer key with a certificate of its own.
pub(crate) fn make_writer_key(environment: &Environment, recovery: &KeyFile) -> Result<KeyFile, CliError> {
    let serial = environment.new_id()?;
    let made = environment.with_entropy(|draw| recovery.writer_key(serial, draw))?;
    Ok(made.map_err(EngineError::Limit)?)
}

/// Fails where `path` is taken or its directory missing.
pub(crate) fn check_free(path: &Path) -> Result<(), CliError> {
    if path.symlink_metadata().is_ok() {
        return Err(CliError::Refused(format!(
            "key file {} exists and is never overwritten; choose another name or move it away",
            path.display()
        )));
    }
    let directory = directory_of(path);
    if !directory.is_dir() {
        return Err(CliError::Usage(format!(
            "there is no directory {} for key file {}; make it first",
            directory.display(),
            path.display()
        )));
    }
    Ok(())
}

/// Makes a file that only its owner can read and that survives a power cut; a file that fails half way is removed.
pub(crate) fn write_new(path: &Path, key: &KeyFile) -> Result<(), CliError> {
    let failed = |source| CliError::File { step: "write key file", path: path.into(), source };
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let file = file.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => CliError::Refused(format!(
            "key file {} exists and is never overwritten; choose another name or move it away",
            path.display()
        )),
        _ => failed(error),
    })?;
    fill(file, path, key).map_err(failed).inspect_err(|_| remove(path))
}

fn fill(mut file: File, path: &Path, key: &KeyFile) -> io::Result<()> {
    file.write_all(key.encode().as_bytes())?;
    file.sync_data()?;
    sync_directory(&File::open(directory_of(path))?)
}

/// Takes a file of ours away again; the error that led here is the one to report.
fn remove(path: &Path) {
    let _still_there = std::fs::remove_file(path);
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use coffer_engine::CancelToken;

    use super::*;
    use crate::environment::system;

    fn new_key() -> KeyFile {
        let repository = coffer_format::RepositoryId::from_bytes([7; 16]);
        let team = "default".parse().unwrap();
        let environment = system(CancelToken::default());
        environment.with_entropy(|draw| KeyFile::generate_team(repository, team, draw)).unwrap()
    }

    #[test]
    fn files_are_private_and_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let (recovery, writer) = (directory.path().join("r.key"), directory.path().join("w.key"));
        let targets = KeyTargets { recovery: &recovery, writer: Some(&writer) };
        targets.check().unwrap();
        targets.save(&system(CancelToken::default()), &new_key()).unwrap();
        for path in [&recovery, &writer] {
            assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let before = std::fs::read(&recovery).unwrap();
        assert!(matches!(targets.check(), Err(CliError::Refused(_))));
        assert!(matches!(write_new(&recovery, &new_key()), Err(CliError::Refused(_))));
        assert_eq!(std::fs::read(&recovery).unwrap(), before);
    }

    #[test]
    fn a_writer_key_that_cannot_be_written_leaves_no_recovery_key_behind() {
        let directory = tempfile::tempdir().unwrap();
        let recovery = directory.path().join("r.key");
        let writer = directory.path().join("taken");
        std::fs::create_dir(&writer).unwrap();
        let targets = KeyTargets { recovery: &recovery, writer: Some(&writer) };
        assert!(targets.save(&system(CancelToken::default()), &new_key()).is_err());
        assert!(!recovery.exists());
    }
}
