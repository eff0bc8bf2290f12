//! Volumes without a snapshot: read as they are, and watched. What was written to meanwhile is no moment's state, and the point says so.

use std::fs::File;
use std::path::{Path, PathBuf};

use coffer_blockio::describe_path;

use crate::changed_blocks::ChangedBlockSource;
use crate::error::SnapshotError;
use crate::facts::{Consistency, Facts, SnapshotKind};
use crate::provider::{Outcome, Probe, Snapshot, SnapshotProvider, SnapshotRequest};
use crate::stamp::Stamp;

const ENGINE: &str = "live";

/// Reads volumes as they are.
#[derive(Debug, Clone, Copy, Default)]
pub struct LiveProvider;

/// What tells that nobody wrote.
#[derive(Debug)]
enum Watch {
    /// A device: who uses it.
    Device(PathBuf),
    /// An image, as it was before.
    Image(PathBuf, Stamp),
    /// It cannot be watched.
    Blind,
}

#[derive(Debug)]
struct LiveSnapshot {
    watch: Watch,
    in_use_before: Option<String>,
}

impl SnapshotProvider for LiveProvider {
    fn engine(&self) -> &'static str {
        ENGINE
    }

    fn probe(&self, _path: &Path) -> Probe {
        Probe::Can
    }

    fn take(&self, request: &SnapshotRequest<'_>) -> Result<Box<dyn Snapshot>, SnapshotError> {
        let path = request.path;
        let stamp = || Stamp::of(&File::open(path).ok()?).ok();
        let watch = match std::fs::metadata(path) {
            Ok(found) if found.is_file() => {
                stamp().map_or(Watch::Blind, |stamp| Watch::Image(path.into(), stamp))
            }
            Ok(_) => Watch::Device(path.into()),
            Err(_) => Watch::Blind,
        };
        Ok(Box::new(LiveSnapshot { watch, in_use_before: user_of(path) }))
    }
}

impl LiveSnapshot {
    /// Why the copy may be no moment's state.
    fn doubt(&self) -> Option<String> {
        if let Some(user) = &self.in_use_before {
            return Some(format!("it was read while in use: {user}"));
        }
        match &self.watch {
            Watch::Device(path) => {
                user_of(path).map(|user| format!("it came into use while it was read: {user}"))
            }
            Watch::Image(path, before) => {
                let now = File::open(path).and_then(|file| Stamp::of(&file));
                let unchanged = now.is_ok_and(|now| now == *before);
                (!unchanged).then(|| "the image was written to while it was read".to_owned())
            }
            Watch::Blind => Some("it could not be watched while it was read".to_owned()),
        }
    }
}

impl Snapshot for LiveSnapshot {
    fn file(&self) -> Option<&File> {
        None
    }

    fn facts(&self) -> Facts {
        let doubt = self.doubt();
        Facts {
            engine: ENGINE,
            snapshot: SnapshotKind::None,
            consistency: if doubt.is_some() { Consistency::None } else { Consistency::Crash },
            frozen_ms: None,
            fallbacks: doubt.into_iter().collect(),
        }
    }

    fn changes(&self) -> Option<&dyn ChangedBlockSource> {
        None
    }

    fn settle(&self, _outcome: Outcome) -> Result<(), SnapshotError> {
        Ok(())
    }
}

fn user_of(path: &Path) -> Option<String> {
    describe_path(path).ok().and_then(|info| info.mounted_or_held)
}
