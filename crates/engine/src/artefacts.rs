//! What plugins made for points, and have to delete when a point goes.
//!
//! A manifest is the only place that names the artefacts of its point, so before one is deleted they are written to a record beside it (rule
//! `artefacts_before_manifest`). That record stays until a caller with the plugins at hand has deleted all of them; who has none leaves it.

use std::collections::BTreeMap;

use coffer_format::{Artefacts, Id, Label, Manifest, PlanId, ResourceRecord, object_key};
use coffer_store::Key;

use crate::records;
use crate::repository::{list_teams, store_key};
use crate::walk::walk;
use crate::{Access, EngineError, Repository};

/// Artefacts of one point that is gone, to be deleted.
#[derive(Debug, Clone)]
pub struct LeftArtefacts {
    /// The records in the store, all of the one point.
    keys: Vec<Key>,
    /// The point.
    pub point: Id,
    /// Its resources that have artefacts.
    pub resources: Vec<ResourceRecord>,
}

/// Whether a resource of a point left something to delete. One that failed may have: its plugin finds it by the key.
fn leaves_something(resource: &&ResourceRecord) -> bool {
    !resource.key.is_empty()
}

/// Writes down what plugins have to delete of a point whose manifest is about to go. Nothing where the point has no resources.
///
/// # Errors
/// [`EngineError::Refused`] without a key in an encrypted repository: the record could not be signed, and the artefacts would be lost from sight.
pub(crate) fn keep_in_sight(
    repository: &Repository,
    manifest: &Manifest,
    run: Id,
) -> Result<(), EngineError> {
    let resources: Vec<ResourceRecord> =
        manifest.resources.iter().filter(leaves_something).cloned().collect();
    if resources.is_empty() {
        return Ok(());
    }
    if matches!(repository.access(), Access::Locked) {
        return Err(EngineError::Refused(format!(
            "point {} has resources, whose artefacts are written down and signed before it goes; give a key",
            manifest.point
        )));
    }
    let record = Artefacts {
        format: 1,
        repository: repository.id(),
        team: manifest.team.clone(),
        cluster: manifest.cluster.clone(),
        namespace: manifest.namespace.clone(),
        plan: manifest.plan.clone(),
        point: manifest.point,
        run,
        resources,
    };
    records::put(repository, &record.key(), &record)
}

/// Artefacts of points that are gone, newest point first: what was built on something comes before it.
///
/// A point whose manifest stands (a forget that died between record and manifest) is left out: its artefacts are in use.
pub fn left_artefacts(repository: &Repository, team: &Label) -> Result<Vec<LeftArtefacts>, EngineError> {
    let mut keys = Vec::new();
    walk(repository, &object_key::artefacts_prefix(team), object_key::parse_artefacts, |_, object| {
        keys.push(object.key.clone());
    })?;
    let mut left: BTreeMap<Id, LeftArtefacts> = BTreeMap::new();
    for key in keys {
        repository.environment().cancel.check()?;
        let Some(record) = records::find::<Artefacts>(repository, key.as_str())? else { continue };
        let manifest = object_key::manifest(&record.plan_id(), &record.point);
        // A GET by exact key: a LIST proves no absence.
        if repository.store().exists(&store_key(&manifest)?)? {
            continue;
        }
        let resources = record.resources;
        let point = left.entry(record.point);
        point
            .or_insert_with(|| LeftArtefacts { keys: Vec::new(), point: record.point, resources })
            .keys
            .push(key);
    }
    Ok(left.into_values().rev().collect())
}

/// Strikes a point off: all its artefacts were deleted.
pub fn strike_off(repository: &Repository, left: &LeftArtefacts) -> Result<(), EngineError> {
    repository.store().delete(&left.keys)?;
    Ok(())
}

/// What became of a point that a run opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointFate {
    /// Its manifest stands, and names what was made for it.
    Stands,
    /// Its end was announced: it was forgotten, or ended as unfinished.
    GivenUp,
    /// It has no manifest, and nobody ended it.
    Unfinished,
}

/// What became of a point that an earlier run opened.
pub fn point_fate(repository: &Repository, plan: &PlanId, point: &Id) -> Result<PointFate, EngineError> {
    if repository.store().exists(&store_key(&object_key::manifest(plan, point))?)? {
        return Ok(PointFate::Stands);
    }
    let ended = records::may_be_ending(repository, &plan.team, point)?;
    Ok(if ended { PointFate::GivenUp } else { PointFate::Unfinished })
}

/// All teams of the repository.
pub fn all_teams(repository: &Repository) -> Result<Vec<Label>, EngineError> {
    list_teams(repository.store().as_ref())
}
