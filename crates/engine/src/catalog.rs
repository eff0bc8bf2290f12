//! Which points there are: two LISTs, without any key, and the manifests behind them.
//!
//! A LIST tells what is there, never that something is absent: nothing is deleted or ended because a name was missing here. And a name is a
//! hint: what picks, builds on or forgets asks `proof` first.

use std::collections::{BTreeMap, BTreeSet};

use coffer_format::{
    Confirmed, Digest, FormatError, Id, Label, Manifest, PlanId, PointState, Signed, Summary, Timestamp,
    VolumeName, object_key,
};
use coffer_store::StoreError;

use crate::records::{self, is_bad_object};
use crate::repository::{MANIFEST_BYTES_MAX, find_object, list_teams, read_object};
use crate::voids::EndedRecords;
use crate::walk::walk;
use crate::{EngineError, Repository};

/// A point as its summary tells it. Untrusted until it was proven or its manifest was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointEntry {
    /// The plan it belongs to.
    pub plan: PlanId,
    /// Its id.
    pub id: Id,
    /// What its summary says of it.
    pub summary: Summary,
    /// The manifest's key.
    pub key: String,
    /// Whether the run that made it got through its checks. A point that is not confirmed never counts: its run died, was fenced, or
    /// is still at it.
    pub confirmed: bool,
    /// Whether prune has listed an object of it as going. Such a point counts for nothing; while all its objects stand it can be restored.
    pub void: bool,
    /// Digest of its manifest, by the record that confirms it; `None` where that was not read.
    pub manifest: Option<Digest>,
}

impl PointEntry {
    /// A point that nothing confirms.
    pub fn new(plan: PlanId, id: Id, summary: Summary) -> PointEntry {
        let key = object_key::manifest(&plan, &id);
        PointEntry { plan, id, summary, key, confirmed: false, void: false, manifest: None }
    }

    /// The order of the points of a plan: sequence, and the id where two runs overlapped. No clock has a say in it.
    pub fn order(&self) -> (u64, Id) {
        (self.summary.sequence, self.id)
    }

    /// Whether all volumes are in it and nothing of it is going.
    pub fn is_whole(&self) -> bool {
        !self.void && self.summary.state == PointState::Available
    }

    /// Whether it is whole and its run said so; only such points are picked, kept by rules or built on.
    pub fn is_complete(&self) -> bool {
        self.confirmed && self.is_whole()
    }
}

/// Which points are meant; what is `None` matches any.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Team.
    pub team: Option<Label>,
    /// Cluster.
    pub cluster: Option<Label>,
    /// Namespace.
    pub namespace: Option<Label>,
    /// Plan.
    pub plan: Option<Label>,
    /// Points that hold this volume.
    pub volume: Option<VolumeName>,
    /// Points at or after this time.
    pub since: Option<Timestamp>,
    /// Points at or before this time.
    pub until: Option<Timestamp>,
    /// Points that carry all of these tags.
    pub tags: Vec<(String, String)>,
    /// Also points that are not confirmed.
    pub unconfirmed: bool,
    /// Also points that are void.
    pub void: bool,
    /// Only this point.
    pub point: Option<Id>,
}

impl Filter {
    /// Exactly one plan.
    pub fn plan(plan: &PlanId) -> Filter {
        Filter {
            team: Some(plan.team.clone()),
            cluster: Some(plan.cluster.clone()),
            namespace: Some(plan.namespace.clone()),
            plan: Some(plan.plan.clone()),
            ..Filter::default()
        }
    }

    fn matches(&self, point: &PointEntry) -> bool {
        let label =
            |wanted: &Option<Label>, actual: &Label| wanted.as_ref().is_none_or(|wanted| wanted == actual);
        (point.confirmed || self.unconfirmed)
            && label(&self.team, &point.plan.team)
            && label(&self.cluster, &point.plan.cluster)
            && label(&self.namespace, &point.plan.namespace)
            && label(&self.plan, &point.plan.plan)
            && self.since.is_none_or(|since| point.summary.time >= since)
            && self.until.is_none_or(|until| point.summary.time <= until)
            && self.point.is_none_or(|wanted| point.id == wanted)
    }
}

/// Lists the visible points that match: those of a plan in their order, plan after plan.
pub fn list_points(repository: &Repository, filter: &Filter) -> Result<Vec<PointEntry>, EngineError> {
    let teams = match filter.team.as_ref().or(repository.team()) {
        Some(team) => vec![team.clone()],
        None => list_teams(repository.store().as_ref())?,
    };
    let mut points = Vec::new();
    for team in &teams {
        points.extend(list_team(repository, team, filter)?);
    }
    sort(&mut points);
    Ok(points)
}

/// Puts points of several plans in order. Only within a plan is there one; among plans time must do.
pub(crate) fn sort(points: &mut [PointEntry]) {
    let one_plan = points.windows(2).all(|pair| matches!(pair, [a, b] if a.plan == b.plan));
    if one_plan {
        points.sort_by_key(PointEntry::order);
        return;
    }
    points.sort_by(|a, b| (&a.plan, a.order()).cmp(&(&b.plan, b.order())));
}

fn list_team(repository: &Repository, team: &Label, filter: &Filter) -> Result<Vec<PointEntry>, EngineError> {
    let (cluster, namespace, plan) =
        (filter.cluster.as_ref(), filter.namespace.as_ref(), filter.plan.as_ref());
    let hints = read_hints(repository, &object_key::confirmed_prefix(team, cluster, namespace, plan))?;
    let mut found = Vec::new();
    let prefix = object_key::points_prefix(team, cluster, namespace, plan);
    walk(repository, &prefix, object_key::parse_manifest, |point, _| found.push(point))?;
    let mut points = Vec::new();
    for point in found {
        repository.environment().cancel.check()?;
        let hints = hints.get(&point).map_or(&[][..], Vec::as_slice);
        points.extend(entry(repository, point, hints)?);
    }
    warn_of_lost_records(repository, &points);
    points.retain(|point| filter.matches(point));
    mark_void(repository, team, &mut points)?;
    points.retain(|point| filter.void || !point.void);
    retain_by_manifest(repository, filter, &mut points)?;
    Ok(points)
}

/// What the names of records that confirm points say.
fn read_hints(
    repository: &Repository,
    prefix: &str,
) -> Result<BTreeMap<(PlanId, Id), Vec<Summary>>, EngineError> {
    let mut hints: BTreeMap<(PlanId, Id), Vec<Summary>> = BTreeMap::new();
    walk(repository, prefix, object_key::parse_confirmed, |(plan, id, summary), _| {
        hints.entry((plan, id)).or_default().push(summary);
    })?;
    Ok(hints)
}

/// One name is taken at its word here; without one, or with several that contradict each other, the manifest tells.
fn entry(
    repository: &Repository,
    (plan, id): (PlanId, Id),
    hints: &[Summary],
) -> Result<Option<PointEntry>, EngineError> {
    if let [summary] = hints {
        return Ok(Some(PointEntry { confirmed: true, ..PointEntry::new(plan, id, summary.clone()) }));
    }
    if let Some(point) = entry_of_manifest(repository, &plan, id)? {
        return Ok(Some(point));
    }
    for summary in hints {
        let point = PointEntry::new(plan.clone(), id, summary.clone());
        if let Some(digest) = confirms(repository, &point)? {
            return Ok(Some(PointEntry { confirmed: true, manifest: Some(digest), ..point }));
        }
    }
    Ok(None)
}

/// The digest of the manifest that the record of `point` confirms, if there is such a record under the key that its summary makes.
pub(crate) fn confirms(repository: &Repository, point: &PointEntry) -> Result<Option<Digest>, EngineError> {
    let key = object_key::confirmed(&point.plan, &point.id, &point.summary);
    Ok(records::find::<Confirmed>(repository, &key)?.map(|record| record.manifest))
}

/// The point as its manifest tells it; `None` where there is no manifest, or none of ours.
pub(crate) fn entry_of_manifest(
    repository: &Repository,
    plan: &PlanId,
    id: Id,
) -> Result<Option<PointEntry>, EngineError> {
    let Some(manifest) = find_manifest(repository, &object_key::manifest(plan, &id))? else {
        return Ok(None);
    };
    let mut point = PointEntry::new(plan.clone(), id, manifest.payload.summary());
    // The listing proves nothing: the record's exact key decides.
    point.manifest = confirms(repository, &point)?.filter(|digest| *digest == manifest.seal.digest);
    point.confirmed = point.manifest.is_some();
    Ok(Some(point))
}

fn find_manifest(repository: &Repository, key: &str) -> Result<Option<Signed<Manifest>>, EngineError> {
    let read = repository.rereads().reread_damage(|| {
        let bytes = find_object(repository.store().as_ref(), key, MANIFEST_BYTES_MAX)?;
        bytes.map(|bytes| records::decode::<Manifest>(repository, key, &bytes)).transpose()
    });
    match read {
        Err(error) if is_bad_object(&error) => {
            repository.set_aside().report(key, &error);
            Ok(None)
        }
        other => other,
    }
}

/// Records that confirm points are lost where later points build on one that none confirms, or where none of several is confirmed: a copy that
/// left small files out looks like that.
fn warn_of_lost_records(repository: &Repository, points: &[PointEntry]) {
    for (id, key) in without_record(points) {
        if repository.set_aside().is_new(&key) {
            tracing::warn!(
                point = %id, key,
                "the record that confirms the point is missing; the point is not picked and not built on; `coffer verify` tells more"
            );
        }
    }
}

fn without_record(points: &[PointEntry]) -> Vec<(Id, String)> {
    let built_on: BTreeSet<Id> = points.iter().filter_map(|point| point.summary.parent).collect();
    let mut of_plan: BTreeMap<&PlanId, (usize, usize)> = BTreeMap::new();
    for point in points {
        let (all, confirmed) = of_plan.entry(&point.plan).or_default();
        *all += 1;
        *confirmed += usize::from(point.confirmed);
    }
    let none_of_several = |plan: &PlanId| matches!(of_plan.get(plan), Some((2.., 0)));
    let lost = |point: &&PointEntry| {
        !point.confirmed && (built_on.contains(&point.id) || none_of_several(&point.plan))
    };
    points.iter().filter(lost).map(|point| (point.id, point.key.clone())).collect()
}

/// Whether an `ended` record that counts lists an object that the point names.
pub(crate) fn is_void(repository: &Repository, point: &PointEntry) -> Result<bool, EngineError> {
    let mut points = vec![point.clone()];
    mark_void(repository, &point.plan.team, &mut points)?;
    Ok(points.iter().all(|point| point.void))
}

/// Rule `void_by_ended`: a manifest that names an object on an `ended` list does not count. One that went away meanwhile leaves `points`.
///
/// Only chains with an `ended` record are looked at, so the usual listing costs three LISTs and no GET.
fn mark_void(repository: &Repository, team: &Label, points: &mut Vec<PointEntry>) -> Result<(), EngineError> {
    if points.is_empty() {
        return Ok(());
    }
    let mut ended = EndedRecords::list(repository, team)?;
    let mut gone = BTreeSet::new();
    for point in points.iter_mut().filter(|point| ended.has(&point.summary.chain)).collect::<Vec<_>>() {
        match load_manifest(repository, point) {
            Ok(manifest) => point.void = ended.void(&manifest.payload)?,
            Err(EngineError::Store(StoreError::NotFound { .. })) => {
                gone.insert(point.key.clone());
            }
            // A damaged manifest stays listed; reading it tells what is wrong.
            Err(error) if is_bad_object(&error) => {}
            Err(error) => return Err(error),
        }
    }
    points.retain(|point| !gone.contains(&point.key));
    Ok(())
}

fn retain_by_manifest(
    repository: &Repository,
    filter: &Filter,
    points: &mut Vec<PointEntry>,
) -> Result<(), EngineError> {
    if filter.volume.is_none() && filter.tags.is_empty() {
        return Ok(());
    }
    let mut kept = Vec::new();
    for point in points.drain(..) {
        let manifest = match load_manifest(repository, &point) {
            Ok(manifest) => manifest.payload,
            Err(error) if is_bad_object(&error) => {
                repository.set_aside().report(&point.key, &error);
                continue;
            }
            Err(error) => return Err(error),
        };
        let has_volume = filter
            .volume
            .as_ref()
            .is_none_or(|name| manifest.volumes.iter().any(|v| v.payload.name == *name));
        let has_tags = filter.tags.iter().all(|(key, value)| manifest.tags.get(key) == Some(value));
        if has_volume && has_tags {
            kept.push(point);
        }
    }
    *points = kept;
    Ok(())
}

/// Reads and checks a point's manifest: seal, key, inner consistency, and that it is the one that the point's record confirms, where that was
/// read.
pub fn load_manifest(repository: &Repository, point: &PointEntry) -> Result<Signed<Manifest>, EngineError> {
    let manifest = load_manifest_at(repository, &point.key)?;
    if point.manifest.is_some_and(|digest| digest != manifest.seal.digest) {
        let source = FormatError::Inconsistent {
            what: "manifest",
            detail: "is not the one that the record of the point confirms",
        };
        return Err(EngineError::Object { key: point.key.clone(), source });
    }
    Ok(manifest)
}

/// As [`load_manifest`], by its key.
pub(crate) fn load_manifest_at(repository: &Repository, key: &str) -> Result<Signed<Manifest>, EngineError> {
    repository.rereads().reread_damage(|| {
        let bytes = read_object(repository.store().as_ref(), key, MANIFEST_BYTES_MAX)?;
        decode_manifest(repository, key, &bytes)
    })
}

/// As [`load_manifest`], from bytes that were read already.
pub(crate) fn decode_manifest(
    repository: &Repository,
    key: &str,
    bytes: &[u8],
) -> Result<Signed<Manifest>, EngineError> {
    records::decode(repository, key, bytes)
}

/// Names of the volumes of a point: from its key, or from its manifest where they did not fit. None where that cannot be read.
pub fn volume_names(repository: &Repository, point: &PointEntry) -> Result<Vec<VolumeName>, EngineError> {
    if let Some(names) = &point.summary.volumes {
        return Ok(names.clone());
    }
    match load_manifest(repository, point) {
        Ok(manifest) => Ok(manifest.payload.volumes.into_iter().map(|volume| volume.payload.name).collect()),
        Err(error) if is_bad_object(&error) => {
            repository.set_aside().report(&point.key, &error);
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}
