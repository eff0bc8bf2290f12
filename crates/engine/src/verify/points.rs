//! Manifests, summaries and chain keys, and whether everything that manifests name is there in its full length.

use std::collections::{BTreeMap, BTreeSet};

use coffer_format::{Id, Label, Manifest, PlanId, VolumeState, object_key};

use super::chains;
use super::report::{VerifyReport, VerifyRequest};
use crate::catalog::{Filter, load_manifest_at, read_ended};
use crate::inventory::{PlanObjects, for_each_object, list_objects};
use crate::{Access, EngineError, Repository};

/// Reads and checks every manifest that matches; returns those that are sound and not void.
pub(crate) fn check_manifests(
    repository: &Repository,
    team: &Label,
    request: &VerifyRequest,
    report: &mut VerifyReport,
) -> Result<Vec<Manifest>, EngineError> {
    let mut keys = Vec::new();
    for_each_object(repository, &object_key::points_prefix(team, None, None, None), |object| {
        keys.push(object.key.as_str().to_owned())
    })?;
    let mut manifests = Vec::new();
    for key in keys {
        repository.environment().cancel.check()?;
        let plan = match object_key::parse_manifest(&key) {
            Ok((plan, _)) => plan,
            Err(error) => {
                report.problem("key", key, error, []);
                continue;
            }
        };
        if !matches_plan(&request.filter, &plan) {
            continue;
        }
        report.points += 1;
        match load_manifest_at(repository, &key) {
            Ok(manifest) => manifests.push(manifest.payload),
            // A run that a rotation fenced leaves its manifest; whoever confirms it all the same holds a key that leaked.
            Err(error) if error.is_replaced() && !has_confirmation(repository, &key)? => {
                report.notice(format!("{error}; prune removes it"));
            }
            Err(
                error @ (EngineError::Object { .. }
                | EngineError::Store(coffer_store::StoreError::NotFound { .. })),
            ) => {
                report.problem(
                    "manifest",
                    key.clone(),
                    error,
                    object_key::parse_manifest(&key).map(|(_, id)| id),
                );
            }
            Err(error) => return Err(error),
        }
    }
    if matches!(repository.access(), Access::Locked) {
        report.notice("no key given: signatures, maps and data were not checked");
    }
    drop_void(repository, team, &mut manifests, report)?;
    manifests.retain(|manifest| matches_manifest(&request.filter, manifest));
    notice_siblings(&manifests, report);
    check_confirmed(repository, team, &manifests, report)?;
    chains::check_chains(repository, &manifests, request, report)?;
    Ok(manifests)
}

/// Whether a LIST shows a `confirmed` record of the point whose manifest lies at `key`.
fn has_confirmation(repository: &Repository, key: &str) -> Result<bool, EngineError> {
    let (plan, id) = object_key::parse_manifest(key).map_err(EngineError::object(key))?;
    let PlanId { team, cluster, namespace, plan } = &plan;
    let prefix = object_key::confirmed_prefix(team, Some(cluster), Some(namespace), Some(plan));
    Ok(!repository.store().list(&format!("{prefix}{id}."), None, 1)?.objects.is_empty())
}

fn matches_plan(filter: &Filter, plan: &PlanId) -> bool {
    let label =
        |wanted: &Option<Label>, actual: &Label| wanted.as_ref().is_none_or(|wanted| wanted == actual);
    label(&filter.cluster, &plan.cluster)
        && label(&filter.namespace, &plan.namespace)
        && label(&filter.plan, &plan.plan)
}

fn matches_manifest(filter: &Filter, manifest: &Manifest) -> bool {
    filter.since.is_none_or(|since| manifest.time >= since)
        && filter.until.is_none_or(|until| manifest.time <= until)
        && filter.volume.as_ref().is_none_or(|name| manifest.volumes.iter().any(|v| v.payload.name == *name))
        && filter.tags.iter().all(|(key, value)| manifest.tags.get(key) == Some(value))
}

fn drop_void(
    repository: &Repository,
    team: &Label,
    manifests: &mut Vec<Manifest>,
    report: &mut VerifyReport,
) -> Result<(), EngineError> {
    let chains = manifests.iter().map(|manifest| manifest.chain).collect();
    let ended = match read_ended(repository, team, &chains) {
        Ok(ended) => ended,
        // The record itself was reported as damaged already.
        Err(EngineError::Object { .. }) => Vec::new(),
        Err(error) => return Err(error),
    };
    manifests.retain(|manifest| {
        let void = ended.iter().any(|ended| ended.chain == manifest.chain && ended.voids(manifest));
        if void {
            report.notice(format!(
                "point {} is void: prune had ended what it names; prune removes it",
                manifest.point
            ));
        }
        !void
    });
    Ok(())
}

fn notice_siblings(manifests: &[Manifest], report: &mut VerifyReport) {
    let mut children: BTreeMap<Id, Vec<Id>> = BTreeMap::new();
    for manifest in manifests {
        if let Some(parent) = manifest.parent {
            children.entry(parent).or_default().push(manifest.point);
        }
    }
    for (parent, points) in children.into_iter().filter(|(_, points)| points.len() > 1) {
        let names: Vec<String> = points.iter().map(ToString::to_string).collect();
        report.notice(format!(
            "points {} have the same parent {parent}: two runs overlapped; all are valid",
            names.join(", ")
        ));
    }
}

/// Records of confirmed points: each agrees with its manifest, and points without one are named.
fn check_confirmed(
    repository: &Repository,
    team: &Label,
    manifests: &[Manifest],
    report: &mut VerifyReport,
) -> Result<(), EngineError> {
    let by_id: BTreeMap<Id, &Manifest> =
        manifests.iter().map(|manifest| (manifest.point, manifest)).collect();
    let mut keys = Vec::new();
    for_each_object(repository, &object_key::confirmed_prefix(team, None, None, None), |object| {
        keys.push((object.key.as_str().to_owned(), object.len))
    })?;
    let mut confirmed = BTreeSet::new();
    for (key, len) in keys {
        match object_key::parse_confirmed(&key) {
            Err(error) => report.problem("confirmed", key, error, []),
            Ok((plan, id, summary)) => {
                let Some(manifest) = by_id.get(&id) else { continue };
                if manifest.plan_id() == plan && manifest.summary() == summary && len == 0 {
                    confirmed.insert(id);
                } else {
                    let detail = "the record does not agree with the manifest; delete it";
                    report.problem("confirmed", key, detail, [id]);
                }
            }
        }
    }
    for id in by_id.keys().filter(|id| !confirmed.contains(id)) {
        report.notice(format!(
            "point {id} is not confirmed: its run died, was fenced, or is still at it; it does not count"
        ));
    }
    Ok(())
}

/// Turns damage into a problem; other errors end the verification.
pub(crate) fn keep_damage(
    report: &mut VerifyReport,
    kind: &'static str,
    key: String,
    error: EngineError,
    points: &[Id],
) -> Result<(), EngineError> {
    match error {
        EngineError::Object { .. } | EngineError::Damaged { .. } | EngineError::Usage(_) => {
            if !report.problems.iter().any(|problem| problem.key == key && problem.kind == kind) {
                report.problem(kind, key, error, points.iter().copied());
            }
            Ok(())
        }
        other => Err(other),
    }
}

/// Every object that manifests name is listed, and each run's objects have together the length that the record states.
pub(crate) fn check_lengths(
    repository: &Repository,
    team: &Label,
    manifests: &[Manifest],
    report: &mut VerifyReport,
) -> Result<BTreeMap<PlanId, PlanObjects>, EngineError> {
    let listed = list_objects(repository, team)?;
    for objects in listed.values() {
        for chain in objects.chains.values() {
            if let Some(strange) = &chain.strange {
                report.problem("key", strange.clone(), "not an object of a chain", []);
            }
        }
    }
    let mut done = BTreeSet::new();
    for manifest in manifests {
        let plan = manifest.plan_id();
        let chain = listed.get(&plan).and_then(|plan| plan.chains.get(&manifest.chain));
        for record in manifest.volumes.iter().map(|volume| &volume.payload) {
            if record.state == VolumeState::Failed {
                continue;
            }
            for entry in &record.lineage {
                if !done.insert((plan.clone(), entry, record.name.clone())) {
                    continue;
                }
                let objects = chain.and_then(|chain| chain.volumes.get(&(entry.point, record.name.clone())));
                let path = coffer_format::VolumePath {
                    plan: plan.clone(),
                    chain: manifest.chain,
                    point: entry.point,
                    volume: record.name.clone(),
                };
                let have = objects.cloned().unwrap_or_default();
                let named = entry.named_packs();
                for number in named.numbers().filter(|number| !have.packs.contains_key(number)) {
                    report.problem(
                        "missing",
                        object_key::pack(&path, number),
                        "the object is missing",
                        [manifest.point],
                    );
                }
                let map = if entry.names_map() { have.map } else { Some(0) };
                if map.is_none() {
                    report.problem(
                        "missing",
                        object_key::map(&path),
                        "the object is missing",
                        [manifest.point],
                    );
                }
                let packs = have.packs.iter().filter(|(number, _)| named.contains(**number));
                let bytes = packs.map(|(_, len)| len).sum::<u64>() + map.unwrap_or(0);
                if bytes != entry.bytes {
                    let detail = format!("map and packs have {bytes} bytes, the record says {}", entry.bytes);
                    report.problem("length", object_key::map(&path), detail, [manifest.point]);
                }
            }
        }
    }
    Ok(listed)
}
