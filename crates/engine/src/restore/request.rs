//! What is restored, where to and how.

use coffer_blockio::BlockTarget;
use coffer_format::{Manifest, VolumeName, VolumeRecord};

use crate::EngineError;
use crate::read::musts::refuse_point;

/// How a target is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoreMode {
    /// Everything is written; zeroes only where the target is not known to read as zeroes.
    Write,
    /// The target is read and only blocks that differ are written.
    InPlace,
}

/// One volume to restore.
pub struct RestoreVolume {
    /// Its name in the point.
    pub name: VolumeName,
    /// Where it goes; `None` in a dry run.
    pub target: Option<Box<dyn BlockTarget>>,
    /// How the target is called in reports.
    pub label: String,
    /// How it is filled.
    pub mode: RestoreMode,
    /// Write zeroes even where the target is known to read as zeroes.
    pub write_all_zeroes: bool,
}

/// What a restore is content with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// Nothing less than all.
    Whole,
    /// What can be proved.
    Salvage,
}

/// The record of a volume that can be read at this point.
pub(crate) fn find_volume<'m>(
    manifest: &'m Manifest,
    name: &VolumeName,
) -> Result<&'m VolumeRecord, EngineError> {
    refuse_point(manifest)?;
    let record = manifest.volumes.iter().map(|volume| &volume.payload).find(|record| record.name == *name);
    let record = record.ok_or_else(|| {
        let names: Vec<String> =
            manifest.volumes.iter().map(|volume| volume.payload.name.to_string()).collect();
        EngineError::NotFound(format!(
            "point {} has no volume {name}; it has {}",
            manifest.point,
            names.join(", ")
        ))
    })?;
    match &record.error {
        None => Ok(record),
        Some(error) => Err(EngineError::NotFound(format!(
            "volume {name} failed when point {} was made ({error}); choose another point",
            manifest.point
        ))),
    }
}
