//! Manifests, their confirmations, ancestors and chain keys.
//!
//! Of each manifest a few words are kept; the manifests themselves go through in batches of bounded size, so that memory does not grow with
//! the number of points.

use std::collections::{BTreeMap, BTreeSet};

use coffer_format::{Confirmed, Id, Label, Manifest, PlanId, Signed, object_key};
use coffer_store::StoreError;

use super::chains;
use super::note::Note;
use super::report::{VerifyReport, VerifyRequest};
use crate::catalog::{Filter, decode_manifest};
use crate::records::{self, is_bad_object, may_be_ending};
use crate::repository::{MANIFEST_BYTES_MAX, find_object, store_key};
use crate::voids::{EndedRecords, all_objects_stand};
use crate::walk::walk;
use crate::{Access, EngineError, Repository};

/// Bytes of the manifests that are held at once, as they are stored; a longer one is held alone.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// Reads and checks every manifest that matches, and hands those that are sound and not void to `each`, some at a time. Then what they say of
/// each other is checked.
pub(crate) fn check_manifests(
    repository: &Repository,
    team: &Label,
    request: &VerifyRequest,
    report: &mut VerifyReport,
    mut each: impl FnMut(&[Manifest], &mut VerifyReport) -> Result<(), EngineError>,
) -> Result<Vec<Note>, EngineError> {
    let mut found = Vec::new();
    let prefix = object_key::points_prefix(team, None, None, None);
    let strange = walk(repository, &prefix, object_key::parse_manifest, |(plan, _), object| {
        if matches_plan(&request.filter, &plan) {
            found.push(object.key.as_str().to_owned());
        }
    })?;
    report.strange(strange);
    let mut ended = EndedRecords::list(repository, team)?;
    let (mut notes, mut batch, mut batch_bytes) = (Vec::new(), Vec::new(), 0);
    for key in found {
        repository.environment().cancel.check()?;
        let Some((manifest, len)) = load(repository, &key, report)? else { continue };
        let mut note = Note::new(&manifest, &request.filter);
        note.void = is_void(repository, &manifest.payload, &mut ended, report)?;
        if note.counts() {
            report.points += 1;
            if batch_bytes + len > BATCH_BYTES_MAX && !batch.is_empty() {
                each(&batch, report)?;
                batch.clear();
                batch_bytes = 0;
            }
            batch_bytes += len;
            batch.push(manifest.payload);
        }
        notes.push(note);
    }
    each(&batch, report)?;
    drop(batch);
    if matches!(repository.access(), Access::Locked) {
        report.notice("no key given: signatures, maps and data were not checked");
    }
    notice_siblings(&notes, report);
    let lost = check_confirmed(repository, team, request, &notes, report)?;
    check_ancestors(repository, &notes, &lost, report)?;
    chains::check_chains(repository, &notes, request, report)?;
    Ok(notes)
}

/// A manifest with its stored length; `None` after it was reported as damaged.
fn load(
    repository: &Repository,
    key: &str,
    report: &mut VerifyReport,
) -> Result<Option<(Signed<Manifest>, usize)>, EngineError> {
    let read = repository.rereads().reread_damage(|| {
        let bytes = find_object(repository.store().as_ref(), key, MANIFEST_BYTES_MAX)?;
        let bytes = bytes.ok_or_else(|| StoreError::NotFound { key: key.to_owned() })?;
        Ok((decode_manifest(repository, key, &bytes)?, bytes.len()))
    });
    match read {
        Ok(read) => Ok(Some(read)),
        // A run that a rotation fenced leaves its manifest; whoever confirms it all the same holds a key that leaked.
        Err(error) if error.is_replaced() && !has_confirmation(repository, key)? => {
            report.points += 1;
            report.notice(format!("{error}; prune removes it"));
            Ok(None)
        }
        Err(error)
            if is_bad_object(&error) || matches!(error, EngineError::Store(StoreError::NotFound { .. })) =>
        {
            report.points += 1;
            report.problem("manifest", key, error, object_key::parse_manifest(key).map(|(_, id)| id));
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Whether the point counts for nothing, which is said. Without a key nobody's signature can be told: then a point of which nothing is gone is
/// checked whatever records say.
fn is_void(
    repository: &Repository,
    manifest: &Manifest,
    ended: &mut EndedRecords<'_>,
    report: &mut VerifyReport,
) -> Result<bool, EngineError> {
    if !ended.void(manifest)? {
        return Ok(false);
    }
    let stands = all_objects_stand(repository, manifest)?;
    if stands && matches!(repository.access(), Access::Locked) {
        report.notice(format!(
            "records that cannot be verified without a key say that point {} was ended; it is whole, and was checked",
            manifest.point
        ));
        return Ok(false);
    }
    report.notice(match stands {
        true => format!(
            "point {} is void by signed records, and whole: it can be restored when it is named; look who ended it",
            manifest.point
        ),
        false => format!("point {} is void: prune had ended what it names; prune removes it", manifest.point),
    });
    Ok(true)
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

fn notice_siblings(notes: &[Note], report: &mut VerifyReport) {
    let mut children: BTreeMap<Id, Vec<Id>> = BTreeMap::new();
    for note in notes.iter().filter(|note| note.counts()) {
        if let Some(parent) = note.parent {
            children.entry(parent).or_default().push(note.point);
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

/// Records of confirmed points: each is signed and agrees with its manifest, none stands alone, and points without one are named. Returns the
/// points whose manifests were found lost.
fn check_confirmed(
    repository: &Repository,
    team: &Label,
    request: &VerifyRequest,
    notes: &[Note],
    report: &mut VerifyReport,
) -> Result<BTreeSet<Id>, EngineError> {
    let by_id: BTreeMap<(&PlanId, Id), &Note> =
        notes.iter().map(|note| ((&note.plan, note.point), note)).collect();
    let mut found = Vec::new();
    let prefix = object_key::confirmed_prefix(team, None, None, None);
    let strange = walk(repository, &prefix, object_key::parse_confirmed, |(plan, id, _), object| {
        if matches_plan(&request.filter, &plan) {
            found.push((plan, id, object.key.as_str().to_owned()));
        }
    })?;
    report_strange_records(strange, report);
    let (mut confirmed, mut lost) = (BTreeSet::new(), BTreeSet::new());
    for (plan, id, key) in found {
        repository.environment().cancel.check()?;
        let record = match records::read::<Confirmed>(repository, &key) {
            Ok(Some(record)) => record.payload,
            Ok(None) => continue,
            Err(error) if is_bad_object(&error) => {
                report.problem("confirmed", key, error, [id]);
                continue;
            }
            Err(error) => return Err(error),
        };
        match by_id.get(&(&plan, id)) {
            Some(note) if note.confirmed_key == key && note.digest == record.manifest => {
                confirmed.insert((plan, id));
            }
            Some(_) => {
                report.problem(
                    "confirmed",
                    key,
                    "the record does not agree with the manifest; delete it",
                    [id],
                );
            }
            None => {
                if is_lost(repository, &plan, &id)? {
                    let detail =
                        "the manifest is missing, its confirmation stands, and no forget announced its end";
                    report.problem("missing", object_key::manifest(&plan, &id), detail, [id]);
                    lost.insert(id);
                }
            }
        }
    }
    report_unconfirmed(notes, &confirmed, report);
    Ok(lost)
}

/// A name below `confirmed/` that begins with a point's id was that point's record once.
fn report_strange_records(strange: Vec<String>, report: &mut VerifyReport) {
    let (mut records, mut others) = (Vec::new(), Vec::new());
    for key in strange {
        let name = key.rsplit('/').next().unwrap_or_default();
        match name.split('.').next().unwrap_or_default().parse::<Id>() {
            Ok(id) => records.push((key, id)),
            Err(_) => others.push(key),
        }
    }
    report.strange(others);
    for (key, id) in records {
        report.problem("confirmed", key, "the name of a point's record cannot be read; delete it", [id]);
    }
}

/// Whether a manifest is gone that no forget has taken away.
fn is_lost(repository: &Repository, plan: &PlanId, id: &Id) -> Result<bool, EngineError> {
    Ok(!may_be_ending(repository, &plan.team, id)?
        && !repository.store().exists(&store_key(&object_key::manifest(plan, id))?)?)
}

/// A point without a record may be one whose run is still at it, or died; but nothing is built on such a point, and not all runs of a plan die
/// in that one moment.
fn report_unconfirmed(notes: &[Note], confirmed: &BTreeSet<(PlanId, Id)>, report: &mut VerifyReport) {
    let built_on: BTreeSet<Id> = notes.iter().flat_map(|note| note.ancestors.iter().copied()).collect();
    let mut of_plan: BTreeMap<&PlanId, (usize, usize)> = BTreeMap::new();
    let is_confirmed = |note: &Note| confirmed.contains(&(note.plan.clone(), note.point));
    for note in notes.iter().filter(|note| !note.void) {
        let (all, with_record) = of_plan.entry(&note.plan).or_default();
        *all += 1;
        *with_record += usize::from(is_confirmed(note));
    }
    for note in notes.iter().filter(|note| note.counts() && !is_confirmed(note)) {
        let key = object_key::manifest(&note.plan, &note.point);
        if built_on.contains(&note.point) {
            let detail = "the record that confirms the point is missing, and later points build on it; it is not picked and not built on";
            report.problem("unconfirmed", key, detail, [note.point]);
        } else if matches!(of_plan.get(&note.plan), Some((2.., 0))) {
            let detail = "no point of the plan has the record that confirms it: they were lost, or a copy left them out";
            report.problem("unconfirmed", key, detail, [note.point]);
        } else {
            report.notice(format!(
                "point {} is not confirmed: its run died, was fenced, or is still at it; it does not count",
                note.point
            ));
        }
    }
}

/// Ancestors whose manifests are gone: forget announces before it deletes, so one without a trace was lost.
fn check_ancestors(
    repository: &Repository,
    notes: &[Note],
    lost: &BTreeSet<Id>,
    report: &mut VerifyReport,
) -> Result<(), EngineError> {
    let mut missing: BTreeMap<(&PlanId, Id), Vec<Id>> = BTreeMap::new();
    let known: BTreeSet<(&PlanId, Id)> = notes.iter().map(|note| (&note.plan, note.point)).collect();
    for note in notes.iter().filter(|note| note.counts()) {
        for ancestor in &note.ancestors {
            if !known.contains(&(&note.plan, *ancestor)) && !lost.contains(ancestor) {
                missing.entry((&note.plan, *ancestor)).or_default().push(note.point);
            }
        }
    }
    for ((plan, ancestor), points) in missing {
        repository.environment().cancel.check()?;
        if is_lost(repository, plan, &ancestor)? {
            let detail = "the manifest is missing, later points build on it, and no forget announced its end";
            report.problem("missing", object_key::manifest(plan, &ancestor), detail, points);
        }
    }
    Ok(())
}
