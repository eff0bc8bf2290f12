//! Image files on file systems that share blocks between files (XFS with reflink, btrfs): a snapshot is a clone, and changes are where the extent maps of two clones
//! differ.
//!
//! The base clone has to be there still, and untouched: a map from an earlier time says nothing, as places are used again. So the maps are read base, target, and
//! both once more, and must not have moved.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use coffer_blockio::ExtentMap;

use crate::changed_blocks::ChangedBlockSource;
use crate::clone_file::{CloneFile, CloneSet};
use crate::error::{ChangesError, SnapshotError};
use crate::extent_compare::{CompareError, Seen, compare, digest};
use crate::facts::{Consistency, Facts, SnapshotKind};
use crate::provider::{Outcome, Probe, Snapshot, SnapshotProvider, SnapshotRequest};
use crate::stamp::Stamp;
use crate::token::BaseToken;

const ENGINE: &str = "reflink";
/// Of the token: `incarnation` is the clone's inode, generation, and times of its last changes.
const TOKEN_VERSION: u16 = 1;

/// Clones image files.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReflinkProvider;

struct ReflinkSnapshot {
    clones: CloneSet,
    clone: CloneFile,
    token: BaseToken,
    keep_as_base: bool,
    /// The base that was asked for, which stays until the point exists.
    base: Mutex<Option<CloneFile>>,
}

impl SnapshotProvider for ReflinkProvider {
    fn engine(&self) -> &'static str {
        ENGINE
    }

    fn probe(&self, path: &Path) -> Probe {
        match std::fs::metadata(path) {
            Ok(found) if !found.is_file() => return Probe::Cannot("it is no image file".into()),
            Ok(_) => {}
            Err(error) => return Probe::Cannot(format!("it cannot be looked at: {error}")),
        }
        // Whether the file system shares blocks is found out by trying, with a file of no length that goes away with its descriptor.
        match try_clone(path) {
            Ok(()) => Probe::Can,
            Err(error) => Probe::Cannot(format!(
                "its file system makes no clones there ({error}); XFS with reflink and btrfs do, in a directory that may be written to"
            )),
        }
    }

    fn take(&self, request: &SnapshotRequest<'_>) -> Result<Box<dyn Snapshot>, SnapshotError> {
        let failed = |step, path: &Path, source| SnapshotError::Io { step, path: path.into(), source };
        let path = request.path.canonicalize().map_err(|error| failed("find", request.path, error))?;
        let image = open_image(&path).map_err(|error| failed("open", &path, error))?;
        let clones = CloneSet::new(&path, request.owner);
        let clone = clones.create(&image).map_err(|error| failed("clone", &path, error))?;
        let stamp = Stamp::of(&clone.file).map_err(|error| failed("look at", &clone.path, error))?;
        let token = BaseToken {
            engine: ENGINE.to_owned(),
            version: TOKEN_VERSION,
            id: clone.name.clone(),
            incarnation: stamp.text().to_owned(),
            size: stamp.size,
        };
        let keep_as_base = request.keep_as_base;
        Ok(Box::new(ReflinkSnapshot { clones, clone, token, keep_as_base, base: Mutex::default() }))
    }
}

impl Snapshot for ReflinkSnapshot {
    fn file(&self) -> Option<&File> {
        Some(&self.clone.file)
    }

    fn facts(&self) -> Facts {
        let untouched = self.is_untouched();
        let mut fallbacks = Vec::new();
        if !untouched {
            fallbacks.push("somebody wrote to the clone while it was read".to_owned());
        }
        Facts {
            engine: ENGINE,
            snapshot: SnapshotKind::Reflink,
            consistency: if untouched { Consistency::Crash } else { Consistency::None },
            frozen_ms: None,
            fallbacks,
        }
    }

    fn changes(&self) -> Option<&dyn ChangedBlockSource> {
        (self.keep_as_base && self.is_untouched()).then_some(self)
    }

    fn settle(&self, outcome: Outcome) -> Result<(), SnapshotError> {
        let failed = |source| SnapshotError::Io {
            step: "remove clones in",
            path: self.clones.directory().into(),
            source,
        };
        let base = self.base.lock().expect("no thread panics with it").take();
        let base_name = base.as_ref().map(|base| base.name.clone());
        drop(base);
        if outcome == Outcome::Failed || !self.keep_as_base {
            return self.clone.remove().map_err(failed);
        }
        let mut kept = vec![self.clone.name.as_str()];
        if outcome == Outcome::Stored {
            kept.extend(base_name.as_deref());
        }
        self.clones.sweep(&kept).map_err(failed)
    }
}

impl ChangedBlockSource for ReflinkSnapshot {
    fn name(&self) -> &'static str {
        ENGINE
    }

    fn token(&self) -> &BaseToken {
        &self.token
    }

    fn changed_since(&self, base: &BaseToken, sink: &mut dyn FnMut(Range<u64>)) -> Result<(), ChangesError> {
        let found = self.find(base)?;
        let result = self.compare(&found, sink);
        *self.base.lock().expect("no thread panics with it") = Some(found);
        result
    }
}

impl ReflinkSnapshot {
    fn is_untouched(&self) -> bool {
        Stamp::of(&self.clone.file).is_ok_and(|stamp| stamp.text() == self.token.incarnation)
    }

    /// The base's clone, if it is what the parent point was read from.
    fn find(&self, base: &BaseToken) -> Result<CloneFile, ChangesError> {
        if base.engine != ENGINE || base.version != TOKEN_VERSION {
            return Err(ChangesError::ForeignToken { engine: base.engine.clone(), version: base.version });
        }
        let path = self.clones.directory().join(&base.id);
        let failed = |source| ChangesError::Io { step: "open the base", path, source };
        let Some(found) = self.clones.open(&base.id).map_err(failed)? else {
            return Err(ChangesError::BaseMissing { id: base.id.clone() });
        };
        self.check(&found, base)?;
        Ok(found)
    }

    fn check(&self, found: &CloneFile, base: &BaseToken) -> Result<(), ChangesError> {
        let stamp = Stamp::of(&found.file).map_err(|source| io_error("look at", &found.path, source))?;
        if (stamp.text(), stamp.size) == (base.incarnation.as_str(), base.size) {
            return Ok(());
        }
        Err(ChangesError::BaseMismatch {
            id: base.id.clone(),
            detail: format!(
                "identity and times {} with {} bytes, recorded {} with {}",
                stamp.text(),
                stamp.size,
                base.incarnation,
                base.size
            ),
        })
    }

    fn compare(&self, base: &CloneFile, sink: &mut dyn FnMut(Range<u64>)) -> Result<(), ChangesError> {
        let before = Stamp::of(&base.file).map_err(|source| io_error("look at", &base.path, source))?;
        let wrong = |error| match error {
            CompareError::Base(source) => io_error("read the extent map of", &base.path, source),
            CompareError::Target(source) => io_error("read the extent map of", &self.clone.path, source),
            CompareError::Order => {
                ChangesError::Implausible { detail: "extents are empty or overlap".into() }
            }
        };
        let maps = (ExtentMap::of(&base.file), ExtentMap::of(&self.clone.file));
        let seen = compare(maps.0, before.size, maps.1, self.token.size, sink).map_err(wrong)?;
        let again = Seen {
            base: digest(ExtentMap::of(&base.file), before.size).map_err(wrong)?,
            target: digest(ExtentMap::of(&self.clone.file), self.token.size).map_err(wrong)?,
        };
        let after = Stamp::of(&base.file).map_err(|source| io_error("look at", &base.path, source))?;
        if seen != again || before != after {
            return Err(ChangesError::Moved);
        }
        if !self.is_untouched() {
            return Err(ChangesError::Invalidated { detail: "somebody wrote to the clone".into() });
        }
        Ok(())
    }
}

fn io_error(step: &'static str, path: &Path, source: io::Error) -> ChangesError {
    ChangesError::Io { step, path: path.into(), source }
}

fn open_image(path: &Path) -> io::Result<File> {
    // Never waits for a pipe that took the image's place.
    let file = OpenOptions::new().read(true).custom_flags(coffer_blockio::OPEN_NO_WAIT).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    Ok(file)
}

/// Clones the image into a file without a name in its directory, which is gone at once.
fn try_clone(path: &Path) -> io::Result<()> {
    let path: PathBuf = path.canonicalize()?;
    let image = open_image(&path)?;
    let directory = path.parent().unwrap_or(Path::new("/"));
    let nameless = OpenOptions::new()
        .read(true)
        .write(true)
        .mode(0o600)
        .custom_flags(coffer_blockio::OPEN_NAMELESS)
        .open(directory)?;
    coffer_blockio::clone_file(&image, &nameless)
}
