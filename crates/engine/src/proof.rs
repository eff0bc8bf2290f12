//! What decides goes by signatures: the name below `confirmed/` is a hint, and the record under it proves it.
//!
//! One GET for each point that decides. Without a key only digests are proven.

use coffer_format::Id;
use jiff::tz::TimeZone;

use crate::catalog::{Filter, PointEntry, confirms, entry_of_manifest, list_points, load_manifest, sort};
use crate::pick::{Intent, pick};
use crate::voids::all_objects_stand;
use crate::{EngineError, Repository};

/// The point with its record read. Where nothing proves that it is confirmed its manifest tells what it is; `None` where that is none of ours.
pub(crate) fn prove(repository: &Repository, point: PointEntry) -> Result<Option<PointEntry>, EngineError> {
    if !point.confirmed || point.manifest.is_some() {
        return Ok(Some(point));
    }
    if let Some(digest) = confirms(repository, &point)? {
        return Ok(Some(PointEntry { manifest: Some(digest), ..point }));
    }
    let told = entry_of_manifest(repository, &point.plan, point.id)?;
    Ok(told.map(|told| PointEntry { void: point.void, ..told }))
}

/// The points of one plan in their order, all of them proven, those too that are not confirmed.
pub(crate) fn proven_points(
    repository: &Repository,
    filter: &Filter,
) -> Result<Vec<PointEntry>, EngineError> {
    let mut points = Vec::new();
    for point in list_points(repository, &Filter { unconfirmed: true, ..filter.clone() })? {
        repository.environment().cancel.check()?;
        points.extend(prove(repository, point)?);
    }
    sort(&mut points);
    Ok(points)
}

/// Proves points of one plan from the last one on until a complete one is proven, and all that have a later id than that.
pub(crate) fn prove_newest(
    repository: &Repository,
    points: &mut Vec<PointEntry>,
) -> Result<Option<PointEntry>, EngineError> {
    loop {
        let Some(at) = points.iter().rposition(PointEntry::is_complete) else { return Ok(None) };
        let newest = points.get(at).map(|newest| (newest.id, newest.manifest.is_some()));
        let Some((id, is_proven)) = newest else { return Ok(None) };
        let unproven = match is_proven {
            false => Some(at),
            true => {
                points.iter().position(|point| point.id > id && point.confirmed && point.manifest.is_none())
            }
        };
        let Some(unproven) = unproven else { return Ok(points.get(at).cloned()) };
        let point = points.remove(unproven);
        points.extend(prove(repository, point)?);
        sort(points);
    }
}

/// Picks from the `points` of one plan, and proves what it picks: a name that is not proven is passed over.
pub fn pick_proven(
    repository: &Repository,
    points: &[PointEntry],
    intent: &Intent,
    zone: &TimeZone,
) -> Result<PointEntry, EngineError> {
    let mut points = points.to_vec();
    if !matches!(intent, Intent::Latest | Intent::Oldest | Intent::AsOf(_)) {
        // These count points, so that each must be proven.
        let mut proven = Vec::new();
        for point in points {
            proven.extend(prove(repository, point)?);
        }
        points = proven;
        sort(&mut points);
    }
    loop {
        let picked = pick(&points, intent, zone)?.clone();
        if picked.manifest.is_some() {
            return Ok(picked);
        }
        points.retain(|point| point.key != picked.key);
        points.extend(prove(repository, picked)?);
        sort(&mut points);
    }
}

/// Finds one point by id: also one that is not confirmed, and one that is void while all its objects stand.
pub fn find_point(repository: &Repository, filter: &Filter, id: Id) -> Result<PointEntry, EngineError> {
    let filter = Filter { unconfirmed: true, void: true, ..filter.clone() };
    let found = list_points(repository, &filter)?.into_iter().find(|point| point.id == id);
    let found = found.ok_or_else(|| {
        EngineError::NotFound(format!("there is no point {id}; `coffer points` lists those that are there"))
    })?;
    let mut point = match prove(repository, found.clone())? {
        Some(point) => point,
        // Its manifest cannot be read: that is what to say.
        None => {
            load_manifest(repository, &found)?;
            found
        }
    };
    if point.void {
        point = void_but_whole(repository, point)?;
    }
    Ok(point)
}

fn void_but_whole(repository: &Repository, point: PointEntry) -> Result<PointEntry, EngineError> {
    let id = point.id;
    if !all_objects_stand(repository, &load_manifest(repository, &point)?.payload)? {
        return Err(EngineError::NotFound(format!(
            "there is no point {id} any more: prune has deleted objects of it; `coffer points` lists those that are there"
        )));
    }
    tracing::warn!(
        point = %id,
        "records say that prune ended the point, and all its objects stand: it can be read now, and is not listed, picked or built on"
    );
    Ok(point)
}
