//! Packs that verify noted as damaged: their blocks are stored again.

use std::collections::BTreeSet;

use coffer_format::{Damaged, Id, Label, VolumeName, VolumeRecord, object_key};

use crate::records;
use crate::walk::walk;
use crate::{EngineError, Repository};

/// Packs of a volume's lineage in which verify found damage: (point that wrote it, number).
pub(crate) fn damaged_packs(
    repository: &Repository,
    team: &Label,
    record: &VolumeRecord,
) -> Result<BTreeSet<(Id, u32)>, EngineError> {
    let points: BTreeSet<Id> = record.lineage.iter().map(|entry| entry.point).collect();
    let prefix = object_key::damaged_prefix(team);
    let is_of = |point: &Id, volume: &VolumeName| points.contains(point) && *volume == record.name;
    read_damaged(repository, &prefix, is_of)
}

/// Packs that records below `prefix` call damaged, of those that are asked for. What is no record of ours calls nothing damaged.
pub(crate) fn read_damaged(
    repository: &Repository,
    prefix: &str,
    is_wanted: impl Fn(&Id, &VolumeName) -> bool,
) -> Result<BTreeSet<(Id, u32)>, EngineError> {
    let mut notes = Vec::new();
    walk(repository, prefix, object_key::parse_damaged, |(_, point, volume, number, _), object| {
        if is_wanted(&point, &volume) {
            notes.push((point, number, object.key.as_str().to_owned()));
        }
    })?;
    let mut damaged = BTreeSet::new();
    for (point, number, key) in notes {
        if !damaged.contains(&(point, number)) && records::find::<Damaged>(repository, &key)?.is_some() {
            damaged.insert((point, number));
        }
    }
    Ok(damaged)
}
