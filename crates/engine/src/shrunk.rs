//! Volumes that are less than half as long as they were: a device that lost its disk, an image that was cut, or somebody's wish.
//!
//! Nobody can tell these apart, so the new point says so, and the newest point from before is not given up by rules alone.

use std::collections::BTreeMap;

use coffer_format::{Id, Manifest, VolumeName, VolumeState};
use coffer_store::StoreError;

use crate::catalog::{Filter, PointEntry, list_points, load_manifest};
use crate::retention::Verdict;
use crate::{EngineError, Repository};

/// What the record of a volume says that has `size` bytes now; `previous` is the newest complete point before.
pub(crate) fn warning(previous: Option<&Manifest>, volume: &VolumeName, size: u64) -> Option<String> {
    let previous = previous?;
    let record = previous.volume_records().find(|record| record.name == *volume)?;
    (record.state == VolumeState::Available && has_shrunk(record.size, size))
        .then(|| format!("it shrank from {} bytes in point {} to {size} bytes", record.size, previous.point))
}

/// The newest complete point of a plan, for a run that builds on none. Only a warning hangs on it, so what cannot be read is left out.
pub(crate) fn newest_complete(repository: &Repository, filter: &Filter) -> Option<Manifest> {
    let read = || -> Result<Option<Manifest>, EngineError> {
        let points = list_points(repository, filter)?;
        let newest = points.iter().rev().find(|point| point.is_complete());
        newest.map(|point| Ok(load_manifest(repository, point)?.payload)).transpose()
    };
    read().inspect_err(|error| tracing::warn!(%error, "sizes are not compared with the newest point")).ok()?
}

/// Takes back of a verdict by rules the newest complete points from before a volume shrank. `points` are the plan's, oldest first.
pub(crate) fn keep_from_before(
    repository: &Repository,
    points: &[PointEntry],
    verdict: &mut Verdict,
) -> Result<(), EngineError> {
    if verdict.forgotten.is_empty() {
        return Ok(());
    }
    let mut sizes = Vec::new();
    let mut before: Option<(&PointEntry, Sizes)> = None;
    for point in points.iter().filter(|point| point.is_complete()) {
        repository.environment().cancel.check()?;
        let Some(found) = sizes_of(repository, point, before.as_ref())? else { continue };
        sizes.push((point.id, found.clone()));
        before = Some((point, found));
    }
    let reasons = before_shrinks(&sizes);
    verdict.forgotten.retain(|id| !reasons.contains_key(id));
    let kept: Vec<Id> = verdict.kept.iter().map(|(id, _)| *id).collect();
    verdict.kept.extend(reasons.into_iter().filter(|(id, _)| !kept.contains(id)));
    Ok(())
}

type Sizes = BTreeMap<VolumeName, u64>;

/// Which points are the newest from before a shrink, and why. Pure: sizes of the volumes of complete points go in, oldest first.
fn before_shrinks(points: &[(Id, Sizes)]) -> BTreeMap<Id, String> {
    let mut last: BTreeMap<&VolumeName, (Id, u64)> = BTreeMap::new();
    let mut reasons = BTreeMap::new();
    for (point, sizes) in points {
        for (volume, size) in sizes {
            if let Some((before, long)) = last.insert(volume, (*point, *size))
                && has_shrunk(long, *size)
            {
                let reason = format!(
                    "newest from before volume {volume} shrank from {long} to {size} bytes; name it to forget it"
                );
                reasons.entry(before).or_insert(reason);
            }
        }
    }
    reasons
}

fn has_shrunk(before: u64, now: u64) -> bool {
    now < before / 2
}

/// Sizes of a point's volumes; none if its manifest cannot be read. The summary tells them for one volume, and where nothing changed.
fn sizes_of(
    repository: &Repository,
    point: &PointEntry,
    before: Option<&(&PointEntry, Sizes)>,
) -> Result<Option<Sizes>, EngineError> {
    if let Some([volume]) = point.summary.volumes.as_deref() {
        return Ok(Some(Sizes::from([(volume.clone(), point.summary.size)])));
    }
    if let Some((before, sizes)) = before
        && point.summary.volumes.is_some()
        && (&before.summary.volumes, before.summary.size) == (&point.summary.volumes, point.summary.size)
    {
        return Ok(Some(sizes.clone()));
    }
    match load_manifest(repository, point) {
        Ok(manifest) => Ok(Some(
            manifest.payload.volume_records().map(|volume| (volume.name.clone(), volume.size)).collect(),
        )),
        Err(EngineError::Object { .. } | EngineError::Store(StoreError::NotFound { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> Id {
        Id::from_bytes([number; 16])
    }

    fn sizes(of: &[(&str, u64)]) -> Sizes {
        of.iter().map(|(name, size)| (name.parse().unwrap(), *size)).collect()
    }

    fn kept(points: &[&[(&str, u64)]]) -> Vec<u8> {
        let points: Vec<_> = (1..).map(id).zip(points.iter().map(|of| sizes(of))).collect();
        let reasons = before_shrinks(&points);
        (1..=9).filter(|number| reasons.contains_key(&id(*number))).collect()
    }

    #[test]
    fn the_newest_point_from_before_a_shrink_by_more_than_half_is_kept() {
        assert_eq!(kept(&[&[("a", 100)], &[("a", 100)], &[("a", 49)], &[("a", 49)]]), [2]);
        assert_eq!(kept(&[&[("a", 100)], &[("a", 50)], &[("a", 25)]]), [0; 0], "half is not less than half");
        assert_eq!(kept(&[&[("a", 100)], &[("a", 0)], &[("a", 100)], &[("a", 1)]]), [1, 3]);
        assert_eq!(kept(&[&[("a", 0)], &[("a", 100)]]), [0; 0]);
    }

    #[test]
    fn each_volume_counts_for_itself_also_after_points_without_it() {
        assert_eq!(kept(&[&[("a", 9), ("b", 100)], &[("a", 900), ("b", 10)]]), [1]);
        assert_eq!(kept(&[&[("a", 9), ("b", 100)], &[("a", 9)], &[("a", 9), ("b", 10)]]), [1]);
        assert_eq!(
            kept(&[&[("a", 9), ("b", 100)], &[("a", 9)]]),
            [0; 0],
            "a volume that is left out has not shrunk"
        );
    }

    #[test]
    fn the_reason_names_volume_and_sizes() {
        let reasons = before_shrinks(&[(id(1), sizes(&[("db", 100)])), (id(2), sizes(&[("db", 3)]))]);
        assert!(reasons[&id(1)].contains("volume db shrank from 100 to 3 bytes"), "{reasons:?}");
    }
}
