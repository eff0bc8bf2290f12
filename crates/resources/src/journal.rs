//! What a run is about to make, written down before it makes anything, so that a run that was killed leaves nothing behind for good.
//!
//! One file for each plan of a repository: it appears whole before the first call, and goes when the point stands or all of it was taken back. While
//! it is there the next run of the plan settles it first. It is locked while a run is alive.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use coffer_format::{Id, PlanId, RepositoryId, ResourceRef};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::error::ResourceError;

/// Longest journal that is read: resources with their options.
const LEN_MAX: u64 = 64 << 20;

/// A run as it was begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begun {
    /// The point that it makes.
    pub point: Id,
    /// Its resources.
    pub resources: Vec<BegunResource>,
    /// What earlier runs made and nobody could take back yet.
    #[serde(default)]
    pub left: Vec<BegunResource>,
}

/// A resource of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BegunResource {
    /// The resource.
    pub reference: ResourceRef,
    /// Version of the schema of its options.
    pub schema: String,
    /// Options with defaults.
    pub options: String,
    /// Names the work.
    pub key: String,
}

/// The journal of one plan, locked until it goes.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    spool: PathBuf,
    _lock: File,
}

impl Journal {
    /// Opens the journal of a plan below `state`, which is made where it is missing.
    ///
    /// # Errors
    /// [`ResourceError::Refused`] while another run of the plan is alive on this machine.
    pub fn open(state: &Path, repository: &RepositoryId, plan: &PlanId) -> Result<Self, ResourceError> {
        let directory = state.join(repository.to_string());
        let failed = |step, path: &Path| {
            let path = path.to_owned();
            move |source| ResourceError::File { step, path, source }
        };
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(failed("make", &directory))?;
        let name = format!("{}.{}.{}.{}", plan.team, plan.cluster, plan.namespace, plan.plan);
        let lock_path = directory.join(format!("{name}.lock"));
        let lock = File::options().create(true).append(true).mode(0o600).open(&lock_path);
        let lock = lock.map_err(failed("open", &lock_path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let text = format!(
                    "another run of plan {plan} with resources is alive on this machine; wait for it"
                );
                return Err(ResourceError::Refused(text));
            }
            Err(error) => return Err(failed("lock", &lock_path)(error.into())),
        }
        let spool = directory.join(format!("{name}.data"));
        Ok(Journal { path: directory.join(format!("{name}.json")), spool, _lock: lock })
    }

    /// What an earlier run began and did not settle.
    ///
    /// # Errors
    /// Where it cannot be read: nobody knows then what that run made.
    pub fn unsettled(&self) -> Result<Option<Begun>, ResourceError> {
        let failed = |source| self.failed("read the journal", source);
        let bytes = match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
            Ok(found) if found.len() > LEN_MAX => {
                return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "it is no journal")));
            }
            Ok(_) => fs::read(&self.path).map_err(failed)?,
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| failed(error.into()))
    }

    /// Writes a run down. It is on disk when this returns.
    ///
    /// # Errors
    /// Where it cannot be written; nothing may be begun then.
    pub fn begin(&self, begun: &Begun) -> Result<(), ResourceError> {
        let failed = |source| self.failed("write the journal", source);
        let part = self.path.with_extension("part");
        let bytes = serde_json::to_vec(begun).map_err(|error| failed(error.into()))?;
        let write = || {
            let mut file = File::options().create(true).write(true).truncate(true).mode(0o600).open(&part)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&part, &self.path)?;
            self.sync_directory()
        };
        write().map_err(failed)
    }

    /// Strikes the run off: its point stands, or all that it made was taken back.
    ///
    /// # Errors
    /// Where the file cannot be removed; the next run then settles it once more, which does no harm.
    pub fn settle(&self) -> Result<(), ResourceError> {
        match fs::remove_dir_all(&self.spool) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(self.failed("remove data of", error));
            }
            _ => {}
        }
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.failed("remove the journal", error))
            }
            _ => self.sync_directory().map_err(|source| self.failed("sync", source)),
        }
    }

    /// A directory for data of the run, made empty. It goes with [`Journal::settle`].
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn spool(&self) -> Result<&Path, ResourceError> {
        match fs::remove_dir_all(&self.spool) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(self.failed("remove data of", error));
            }
            _ => {}
        }
        let made = fs::DirBuilder::new().mode(0o700).create(&self.spool);
        made.map_err(|source| self.failed("make a directory for data of", source))?;
        Ok(&self.spool)
    }

    /// Where [`Journal::spool`] is.
    pub fn spool_path(&self) -> &Path {
        &self.spool
    }

    fn sync_directory(&self) -> io::Result<()> {
        match self.path.parent() {
            Some(directory) => File::open(directory)?.sync_all(),
            None => Ok(()),
        }
    }

    fn failed(&self, step: &'static str, source: io::Error) -> ResourceError {
        ResourceError::File { step, path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> PlanId {
        let label = |text: &str| text.parse().expect("a label");
        PlanId { team: label("t"), cluster: label("c"), namespace: label("n"), plan: label("p") }
    }

    fn open(state: &Path) -> Result<Journal, ResourceError> {
        Journal::open(state, &RepositoryId::from_bytes([7; 16]), &plan())
    }

    #[test]
    fn a_run_stays_until_it_is_settled() {
        let state = tempfile::tempdir().expect("a directory");
        let begun = Begun {
            point: "01aaaaaaaaaaaaaaaaaaaaaaaa".parse().expect("an id"),
            resources: vec![BegunResource {
                reference: "T/1".parse().expect("a reference"),
                schema: "1".into(),
                options: "{}".into(),
                key: "k".into(),
            }],
            left: Vec::new(),
        };
        let journal = open(state.path()).expect("opened");
        assert_eq!(journal.unsettled().expect("read"), None);
        journal.begin(&begun).expect("written");
        drop(journal);
        let journal = open(state.path()).expect("opened");
        assert_eq!(journal.unsettled().expect("read"), Some(begun));
        journal.settle().expect("settled");
        assert_eq!(journal.unsettled().expect("read"), None);
        journal.settle().expect("settled twice");
    }

    #[test]
    fn two_runs_of_a_plan_exclude_each_other() {
        let state = tempfile::tempdir().expect("a directory");
        let _first = open(state.path()).expect("opened");
        assert!(matches!(open(state.path()), Err(ResourceError::Refused(_))));
    }

    #[test]
    fn a_journal_that_cannot_be_read_is_an_error() {
        let state = tempfile::tempdir().expect("a directory");
        let journal = open(state.path()).expect("opened");
        fs::write(&journal.path, "{").expect("written");
        assert!(matches!(journal.unsettled(), Err(ResourceError::File { .. })));
    }
}
