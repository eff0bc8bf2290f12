//! Which points stand when a key is replaced: all whose manifest is genuine, whether confirmed or not.
//!
//! A manifest that this misses does not count afterwards, so a LIST is not believed to be whole: manifests are asked for by the exact key of every id
//! that any name mentions, as prune does.

use std::collections::BTreeSet;

use coffer_format::{
    Id, Label, Manifest, PlanId, RotationPoints, Signed, StandingPoint, Verifier, object_key,
};

use crate::generations::is_strange;
use crate::inventory::for_each_object;
use crate::repository::{MANIFEST_BYTES_MAX, find_object};
use crate::{EngineError, Repository};

/// Refused, if more manifests stand than a list can hold.
pub(super) fn check_room(repository: &Repository, team: &Label) -> Result<(), EngineError> {
    let mut count: usize = 0;
    for_each_object(repository, &object_key::points_prefix(team, None, None, None), |_| count += 1)?;
    if count <= RotationPoints::POINTS_MAX {
        return Ok(());
    }
    Err(EngineError::Refused(format!(
        "team {team} has {count} points, a rotation can list {} at most; forget some first",
        RotationPoints::POINTS_MAX
    )))
}

/// The points that stand and are genuine, of generations before `generation`; `verifier` knows that one.
pub(super) fn standing(
    repository: &Repository,
    team: &Label,
    verifier: &Verifier,
    generation: u32,
) -> Result<Vec<StandingPoint>, EngineError> {
    let mut todo = mentioned(repository, team)?;
    let (mut seen, mut points) = (BTreeSet::new(), Vec::new());
    while let Some((plan, id)) = todo.pop_first() {
        repository.environment().cancel.check()?;
        if !seen.insert((plan.clone(), id)) {
            continue;
        }
        let Some(signed) = read(repository, verifier, &plan, &id)? else { continue };
        todo.extend(related(&signed.payload).into_iter().map(|id| (plan.clone(), id)));
        let certified_by = signed.seal.certificate.map_or(0, |certificate| certificate.generation);
        if certified_by < generation {
            points.push(StandingPoint { point: id, manifest: signed.seal.digest });
        }
    }
    points.sort_unstable_by_key(|standing| (standing.point, standing.manifest));
    Ok(points)
}

/// Every id that owns or names something of the team.
fn mentioned(repository: &Repository, team: &Label) -> Result<BTreeSet<(PlanId, Id)>, EngineError> {
    let mut ids = BTreeSet::new();
    for_each_object(repository, &object_key::points_prefix(team, None, None, None), |object| {
        ids.extend(object_key::parse_manifest(object.key.as_str()));
    })?;
    for_each_object(repository, &object_key::confirmed_prefix(team, None, None, None), |object| {
        let parsed = object_key::parse_confirmed(object.key.as_str());
        ids.extend(parsed.map(|(plan, id, _)| (plan, id)));
    })?;
    for_each_object(repository, &object_key::team_data_prefix(team), |object| {
        let parsed = object_key::parse_data(object.key.as_str());
        ids.extend(parsed.map(|(plan, chain, data)| (plan, data.owner().unwrap_or(chain))));
    })?;
    Ok(ids)
}

fn related(manifest: &Manifest) -> Vec<Id> {
    let lineages = manifest.volume_records().flat_map(|record| record.lineage.iter());
    lineages.map(|entry| entry.point).chain(manifest.parent).chain([manifest.chain]).collect()
}

/// The manifest of a point, if it is there and genuine. What is damaged or forged does not stand, and blocks nobody.
fn read(
    repository: &Repository,
    verifier: &Verifier,
    plan: &PlanId,
    id: &Id,
) -> Result<Option<Signed<Manifest>>, EngineError> {
    let key = object_key::manifest(plan, id);
    let read = repository.rereads().reread_damage(|| {
        let bytes = find_object(repository.store().as_ref(), &key, MANIFEST_BYTES_MAX)?;
        let Some(bytes) = bytes else { return Ok(None) };
        let manifest = Signed::<Manifest>::decode_at(&key, &bytes).map_err(EngineError::object(&key))?;
        verifier.verify(&manifest).map_err(EngineError::object(&key))?;
        Ok(Some(manifest))
    });
    match read {
        Err(error) if is_strange(&error) => {
            tracing::warn!(point = %id, %error, "a manifest is damaged or forged; the point does not count after the rotation");
            Ok(None)
        }
        other => other,
    }
}
