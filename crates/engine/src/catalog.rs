//! Which points there are: two LISTs, without any key, and the manifests behind them.
//!
//! A LIST tells what is there, never that something is absent: nothing is deleted or ended because a name was missing here.

use std::collections::{BTreeMap, BTreeSet};

use coffer_format::{
    Ended, Id, Label, Manifest, PlanId, PointState, Signed, Summary, Timestamp, VolumeName, object_key,
};

use coffer_store::ObjectStore;

use crate::repository::{
    DOCUMENT_BYTES_MAX, MANIFEST_BYTES_MAX, find_object, list_teams, read_object, store_key,
};
use crate::{EngineError, Repository};

/// A point as its summary tells it. Untrusted until its manifest was read.
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
}

impl PointEntry {
    /// The order of points: time, sequence, and the id where both are equal.
    pub fn order(&self) -> (Timestamp, u64, Id) {
        (self.summary.time, self.summary.sequence, self.id)
    }

    /// Whether all volumes are in it and its run said so; only such points are picked, kept by rules or built on.
    pub fn is_complete(&self) -> bool {
        self.confirmed && self.summary.state == PointState::Available
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

/// Lists the visible points that match, oldest first.
pub fn list_points(repository: &Repository, filter: &Filter) -> Result<Vec<PointEntry>, EngineError> {
    let teams = match filter.team.as_ref().or(repository.team()) {
        Some(team) => vec![team.clone()],
        None => list_teams(repository.store().as_ref())?,
    };
    let mut points = Vec::new();
    for team in &teams {
        points.extend(list_team(repository, team, filter)?);
    }
    points.sort_by_key(PointEntry::order);
    Ok(points)
}

fn list_team(repository: &Repository, team: &Label, filter: &Filter) -> Result<Vec<PointEntry>, EngineError> {
    let store = repository.store().as_ref();
    let (cluster, namespace, plan) =
        (filter.cluster.as_ref(), filter.namespace.as_ref(), filter.plan.as_ref());
    let summaries = read_summaries(store, &object_key::confirmed_prefix(team, cluster, namespace, plan))?;
    let mut points = Vec::new();
    for object in coffer_store::list_all(store, &object_key::points_prefix(team, cluster, namespace, plan))? {
        let key = object.key.as_str();
        let (plan, id) = object_key::parse_manifest(key).map_err(EngineError::object(key))?;
        let (summary, confirmed) = match summaries.get(&id) {
            Some(summary) => (summary.clone(), true),
            None => match read_summary(repository, key)? {
                // The listing proves nothing: the record's exact key decides.
                Some(summary) => {
                    let confirmed =
                        store.exists(&store_key(&object_key::confirmed(&plan, &id, &summary))?)?;
                    (summary, confirmed)
                }
                None => continue,
            },
        };
        let point = PointEntry { plan, id, summary, key: key.to_owned(), confirmed };
        if filter.matches(&point) {
            points.push(point);
        }
    }
    drop_void(repository, team, &mut points)?;
    retain_by_manifest(repository, filter, &mut points)?;
    Ok(points)
}

fn read_summaries(store: &dyn ObjectStore, prefix: &str) -> Result<BTreeMap<Id, Summary>, EngineError> {
    let mut summaries = BTreeMap::new();
    for object in coffer_store::list_all(store, prefix)? {
        let key = object.key.as_str();
        // The manifest tells which key it should have been; verify reports it.
        match object_key::parse_confirmed(key) {
            Ok((_, id, summary)) => drop(summaries.insert(id, summary)),
            Err(error) => {
                tracing::warn!(key, %error, "record of a confirmed point cannot be read; reading the manifest")
            }
        }
    }
    Ok(summaries)
}

fn read_summary(repository: &Repository, key: &str) -> Result<Option<Summary>, EngineError> {
    repository.looks().twice(|| {
        let Some(bytes) = find_object(repository.store().as_ref(), key, MANIFEST_BYTES_MAX)? else {
            return Ok(None);
        };
        Ok(Some(decode_manifest(repository, key, &bytes)?.payload.summary()))
    })
}

/// Whether an `ended` list names an object that the point names.
pub(crate) fn is_void(repository: &Repository, point: &PointEntry) -> Result<bool, EngineError> {
    let mut points = vec![point.clone()];
    drop_void(repository, &point.plan.team, &mut points)?;
    Ok(points.is_empty())
}

/// Rule `void_by_ended`: a manifest that names an object on an `ended` list does not count.
///
/// Only chains with an `ended` record are looked at, so the usual listing costs three LISTs and no GET.
fn drop_void(repository: &Repository, team: &Label, points: &mut Vec<PointEntry>) -> Result<(), EngineError> {
    let chains: BTreeSet<Id> = points.iter().map(|point| point.summary.chain).collect();
    if chains.is_empty() {
        return Ok(());
    }
    let ended = read_ended(repository, team, &chains)?;
    if ended.is_empty() {
        return Ok(());
    }
    let mut failure = None;
    points.retain(|point| {
        let relevant: Vec<&Ended> = ended.iter().filter(|ended| ended.chain == point.summary.chain).collect();
        if relevant.is_empty() || failure.is_some() {
            return true;
        }
        match load_manifest(repository, point) {
            Ok(manifest) => !relevant.iter().any(|ended| ended.voids(&manifest.payload)),
            // A damaged manifest stays listed; reading it tells what is wrong.
            Err(EngineError::Object { .. }) => true,
            Err(EngineError::Store(coffer_store::StoreError::NotFound { .. })) => false,
            Err(error) => {
                failure = Some(error);
                true
            }
        }
    });
    failure.map_or(Ok(()), Err)
}

/// Reads the `ended` records of the given chains.
pub(crate) fn read_ended(
    repository: &Repository,
    team: &Label,
    chains: &BTreeSet<Id>,
) -> Result<Vec<Ended>, EngineError> {
    let store = repository.store().as_ref();
    let mut records = Vec::new();
    for object in coffer_store::list_all(store, &object_key::ended_prefix(team))? {
        let key = object.key.as_str();
        let (_, chain, _, _) = object_key::parse_ended(key).map_err(EngineError::object(key))?;
        if !chains.contains(&chain) {
            continue;
        }
        records.extend(repository.looks().twice(|| {
            let bytes = find_object(store, key, DOCUMENT_BYTES_MAX)?;
            bytes.map(|bytes| Ended::decode(&bytes).map_err(EngineError::object(key))).transpose()
        })?);
    }
    Ok(records)
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
        let manifest = load_manifest(repository, &point)?.payload;
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

/// Reads and checks a point's manifest: seal, key, and inner consistency.
pub fn load_manifest(repository: &Repository, point: &PointEntry) -> Result<Signed<Manifest>, EngineError> {
    load_manifest_at(repository, &point.key)
}

/// As [`load_manifest`], by its key.
pub(crate) fn load_manifest_at(repository: &Repository, key: &str) -> Result<Signed<Manifest>, EngineError> {
    repository.looks().twice(|| {
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
    let wrong = || EngineError::object(key);
    let manifest = Signed::<Manifest>::decode_at(key, bytes).map_err(wrong())?;
    // Another team's points can be listed with this team's key, but only their digests can be checked.
    let foreign = repository.team().is_some_and(|team| *team != manifest.payload.team);
    let digest_only = coffer_format::Verifier::digest_only();
    let verifier = if foreign { &digest_only } else { repository.verifier() };
    verifier.verify(&manifest).map_err(wrong())?;
    Ok(manifest)
}

/// Names of the volumes of a point: from its key, or from its manifest where they did not fit.
pub fn volume_names(repository: &Repository, point: &PointEntry) -> Result<Vec<VolumeName>, EngineError> {
    match &point.summary.volumes {
        Some(names) => Ok(names.clone()),
        None => {
            let manifest = load_manifest(repository, point)?.payload;
            Ok(manifest.volumes.into_iter().map(|volume| volume.payload.name).collect())
        }
    }
}

/// Finds one point by id.
pub fn find_point(repository: &Repository, filter: &Filter, id: Id) -> Result<PointEntry, EngineError> {
    let filter = Filter { unconfirmed: true, ..filter.clone() };
    list_points(repository, &filter)?.into_iter().find(|point| point.id == id).ok_or_else(|| {
        EngineError::NotFound(format!("there is no point {id}; `coffer points` lists those that are there"))
    })
}
