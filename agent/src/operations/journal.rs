//! The journal: one small file per operation, so that what was accepted is known after any death of the agent.
//!
//! A file is written under another name, flushed, renamed and its directory flushed: at every moment the journal holds the state before or the
//! state after, whole. Its last line is the digest of the line before. A file that is damaged is set aside and never stops the agent; one that a
//! newer agent wrote is left alone. No secret is ever written.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use coffer_format::{Digest, Id};
use serde::{Deserialize, Serialize};

use super::files::Files;
use super::record::Record;
use crate::errors::AgentError;

/// Version of the files that this agent writes.
const SCHEMA: u32 = 1;
/// No record is longer: 256 volumes with full lineages stay far below.
const LEN_MAX: u64 = 64 << 20;
const ENDING: &str = "json";
const ENDING_NEW: &str = "new";
const ENDING_DAMAGED: &str = "damaged";

/// The records on disk.
pub struct Journal {
    directory: PathBuf,
    files: Arc<dyn Files>,
    /// What is on disk of each operation.
    saved: Mutex<HashMap<Id, Saved>>,
    /// Locked as long as this lives, so that no second agent writes here.
    _lock: File,
}

/// One operation's file.
#[derive(Debug, Clone, Copy)]
struct Saved {
    revision: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct Written<'a> {
    schema: u32,
    record: &'a Record,
}

#[derive(Deserialize)]
struct Read {
    record: Record,
}

#[derive(Deserialize)]
struct Version {
    schema: u32,
}

/// What a file turned out to be.
enum Found {
    Record(Box<Record>),
    Newer(u32),
    Damaged(String),
}

impl Journal {
    /// Opens or makes the journal in `state_dir`, and reads what is there, oldest first, each with the length of its file.
    ///
    /// # Errors
    /// [`AgentError::Journal`] where the directory cannot be used, and where another agent uses it.
    pub fn open(
        state_dir: &Path,
        files: Arc<dyn Files>,
    ) -> Result<(Journal, Vec<(Record, u64)>), AgentError> {
        let directory = state_dir.join("operations");
        std::fs::create_dir_all(&directory).map_err(failed("make directory", &directory))?;
        let lock = lock(&state_dir.join("lock"))?;
        let journal = Journal { directory, files, saved: Mutex::default(), _lock: lock };
        let records = journal.read_all()?;
        let saved = records
            .iter()
            .map(|(record, bytes)| (record.id, Saved { revision: record.revision, bytes: *bytes }));
        *journal.saved() = saved.collect();
        Ok((journal, records))
    }

    /// Writes a record down, and returns how long its file is then. An older revision than the one on disk is left out.
    ///
    /// # Errors
    /// [`AgentError::Journal`]; the state before then stands.
    pub fn save(&self, record: &Record) -> Result<u64, AgentError> {
        let mut saved = self.saved();
        if let Some(on_disk) = saved.get(&record.id).filter(|on_disk| on_disk.revision >= record.revision) {
            return Ok(on_disk.bytes);
        }
        let (path, new) = (self.path(record.id, ENDING), self.path(record.id, ENDING_NEW));
        let encoded = encode(record)?;
        let written = self.write(&new, &encoded).and_then(|()| {
            self.files.rename(&new, &path).map_err(failed("rename", &new))?;
            // From here on a reader sees the new state; without this flush a power cut may bring the old one back.
            self.files.sync_directory(&self.directory).map_err(failed("flush", &self.directory))
        });
        if written.is_err() {
            // What is half there only takes space; the first error is the one to report.
            let _still_there = self.files.remove(&new);
        }
        written?;
        let bytes = encoded.len() as u64;
        saved.insert(record.id, Saved { revision: record.revision, bytes });
        Ok(bytes)
    }

    /// Reads one record.
    ///
    /// # Errors
    /// [`AgentError::Journal`] where it cannot be read any more.
    pub fn load(&self, id: Id) -> Result<Record, AgentError> {
        let path = self.path(id, ENDING);
        let bytes = self.files.read(&path, LEN_MAX).map_err(failed("read", &path))?;
        match decode(&bytes, id) {
            Found::Record(record) => Ok(*record),
            Found::Newer(schema) => Err(damaged(&path, format!("is of schema {schema}"))),
            Found::Damaged(what) => Err(damaged(&path, what)),
        }
    }

    /// Forgets an operation.
    ///
    /// # Errors
    /// [`AgentError::Journal`]; it may come back when the agent starts again.
    pub fn remove(&self, id: Id) -> Result<(), AgentError> {
        let mut saved = self.saved();
        let path = self.path(id, ENDING);
        self.files.remove(&path).map_err(failed("remove", &path))?;
        saved.remove(&id);
        Ok(())
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), AgentError> {
        self.files.write_durably(path, bytes).map_err(failed("write", path))
    }

    fn read_all(&self) -> Result<Vec<(Record, u64)>, AgentError> {
        let mut paths = self.files.list(&self.directory).map_err(failed("list", &self.directory))?;
        paths.sort();
        Ok(paths.into_iter().filter_map(|path| self.read_one(&path)).collect())
    }

    /// A record, if the file is one; what is in the way is moved out of it.
    fn read_one(&self, path: &Path) -> Option<(Record, u64)> {
        let ending = path.extension().and_then(|ending| ending.to_str())?;
        if ending == ENDING_NEW {
            // Of a save that did not come to its end.
            if let Err(error) = self.files.remove(path) {
                tracing::warn!(path = %path.display(), %error, "remove unfinished journal file");
            }
            return None;
        }
        let id: Id = path.file_stem()?.to_str()?.parse().ok().filter(|_| ending == ENDING)?;
        let (found, bytes) = match self.files.read(path, LEN_MAX) {
            Ok(bytes) => (decode(&bytes, id), bytes.len() as u64),
            Err(error) => (Found::Damaged(error.to_string()), 0),
        };
        match found {
            // What is only told one at a time does not lie in memory while the others are read.
            Found::Record(record) if record.state.has_ended() => Some((record.light(), bytes)),
            Found::Record(record) => Some((*record, bytes)),
            Found::Newer(schema) => {
                tracing::warn!(path = %path.display(), schema, "journal file of a newer agent, left alone");
                None
            }
            Found::Damaged(what) => {
                self.set_aside(path, &what);
                None
            }
        }
    }

    fn set_aside(&self, path: &Path, what: &str) {
        let aside = path.with_extension(ENDING_DAMAGED);
        let moved = self.files.rename(path, &aside).map_err(|error| error.to_string());
        tracing::warn!(path = %path.display(), what, ?moved, "journal file is damaged, set aside: its operation is forgotten");
    }

    fn path(&self, id: Id, ending: &str) -> PathBuf {
        self.directory.join(format!("{id}.{ending}"))
    }

    fn saved(&self) -> std::sync::MutexGuard<'_, HashMap<Id, Saved>> {
        self.saved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn encode(record: &Record) -> Result<Vec<u8>, AgentError> {
    let mut bytes = serde_json::to_vec(&Written { schema: SCHEMA, record })
        .map_err(|error| AgentError::Bug(format!("a record has no JSON: {error}")))?;
    let digest = Digest::of(&bytes);
    bytes.extend_from_slice(format!("\n{digest}\n").as_bytes());
    Ok(bytes)
}

fn decode(bytes: &[u8], id: Id) -> Found {
    let Some(line) = bytes.split(|byte| *byte == b'\n').next() else { return Found::Damaged("empty".into()) };
    let seal = format!("\n{}\n", Digest::of(line));
    if bytes.get(line.len()..) != Some(seal.as_bytes()) {
        return Found::Damaged("its digest is missing or wrong".into());
    }
    match serde_json::from_slice::<Version>(line) {
        Ok(Version { schema: SCHEMA }) => {}
        Ok(Version { schema }) if schema > SCHEMA => return Found::Newer(schema),
        Ok(Version { schema }) => return Found::Damaged(format!("there is no schema {schema}")),
        Err(error) => return Found::Damaged(error.to_string()),
    }
    match serde_json::from_slice::<Read>(line) {
        Ok(Read { record }) if record.id == id => Found::Record(Box::new(record)),
        Ok(_) => Found::Damaged("it is of another operation".into()),
        Err(error) => Found::Damaged(error.to_string()),
    }
}

fn lock(path: &Path) -> Result<File, AgentError> {
    let open = File::options().create(true).truncate(false).write(true).open(path);
    let file = open.map_err(failed("open", path))?;
    file.try_lock().map_err(|error| match error {
        std::fs::TryLockError::WouldBlock => {
            let busy = "another agent uses this state directory; give each its own";
            failed("lock", path)(io::Error::new(io::ErrorKind::ResourceBusy, busy))
        }
        std::fs::TryLockError::Error(error) => failed("lock", path)(error),
    })?;
    Ok(file)
}

fn failed(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AgentError {
    let path = path.to_owned();
    move |source| AgentError::Journal { step, path, source }
}

fn damaged(path: &Path, what: String) -> AgentError {
    failed("read", path)(io::Error::new(io::ErrorKind::InvalidData, what))
}

#[cfg(test)]
mod tests;
