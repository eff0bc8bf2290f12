//! Gives points up, and keeps them from being given up. Only manifests and summaries are deleted here; space comes back by prune.

use std::collections::BTreeSet;

use coffer_format::{Id, Label, Pin, PinKind, PlanId, Timestamp, object_key};
use coffer_store::{Key, StoreError};
use jiff::tz::TimeZone;

use crate::artefacts::keep_in_sight;
use crate::catalog::{Filter, PointEntry, confirms, load_manifest};
use crate::pins::read_pins;
use crate::proof::proven_points;
use crate::records::{self, Announced, announce, is_bad_object, is_ending};
use crate::repository::store_key;
use crate::request_error::SignedRequest;
use crate::reserve::with_reserve;
use crate::retention::{CLOCK_DIFFERENCE_MAX_MS, KeepRules, Verdict, decide, first_in_future};
use crate::shrunk::keep_from_before;
use crate::walk::walk;
use crate::{EngineError, Repository};

/// What to forget by rule.
pub struct ForgetRequest<'a> {
    /// Exactly one plan.
    pub plan: &'a PlanId,
    /// What stays.
    pub rules: &'a KeepRules,
    /// Decide as if it were this time.
    pub as_of: Option<Timestamp>,
    /// Time zone of hours, days, weeks and months.
    pub zone: &'a TimeZone,
    /// Only say what would go.
    pub dry_run: bool,
    /// Go on without a key where everything is signed: then digests decide, which whoever can write can make.
    pub unverified: bool,
}

/// Forgets the points of a plan that no rule keeps.
pub fn forget_by_rules(repository: &Repository, request: &ForgetRequest<'_>) -> Result<Verdict, EngineError> {
    let forget = || forget_once(repository, request);
    if request.dry_run { forget() } else { with_reserve(repository, forget) }
}

fn forget_once(repository: &Repository, request: &ForgetRequest<'_>) -> Result<Verdict, EngineError> {
    request.rules.check()?;
    let own = repository.environment().clock.now();
    let now = match request.as_of {
        Some(time) => time,
        None => checked_now(repository)?,
    };
    if !request.dry_run && !request.unverified {
        repository.needs_key(SignedRequest::ForgetByRules, &request.plan.team)?;
    }
    let points = proven_points(repository, &Filter::plan(request.plan))?;
    if points.is_empty() {
        return Err(EngineError::NotFound(format!("plan {} has no points", request.plan)));
    }
    refuse_future(&points, now.max(own))?;
    let pinned = read_pins(repository, &request.plan.team)?.pinned;
    let mut verdict = decide(&points, &pinned, request.rules, now, request.zone);
    keep_from_before(repository, &points, &mut verdict)?;
    if request.dry_run {
        return Ok(verdict);
    }
    check_newest(repository, &points)?;
    delete_points(repository, &points, verdict)
}

/// Rules that go by time cannot be trusted beside a point of a time that has not come.
fn refuse_future(points: &[PointEntry], now: Timestamp) -> Result<(), EngineError> {
    let Some(point) = first_in_future(points, now) else { return Ok(()) };
    let newest = points.iter().rev().find(|point| point.is_complete());
    let way_out = match newest.is_some_and(|newest| newest.id == point.id) {
        true => format!("make another backup, then `coffer forget {}`", point.id),
        false => format!("`coffer forget {}` gives it up", point.id),
    };
    Err(EngineError::Refused(format!(
        "point {} lies in the future: it shows {}, and it is {now}. A clock was wrong, and rules that go by time would go wrong with it. If \
         the clock is right now, {way_out}; or name the points to forget",
        point.id, point.summary.time
    )))
}

/// Nothing is given up for a newest point whose manifest is not the one that was confirmed.
fn check_newest(repository: &Repository, points: &[PointEntry]) -> Result<(), EngineError> {
    let newest = points.iter().rev().find(|point| point.is_complete());
    newest.map_or(Ok(()), |newest| load_manifest(repository, newest).map(drop))
}

/// Forgets points named by a person. All are checked before the first goes.
pub fn forget_points(
    repository: &Repository,
    ids: &[Id],
    filter: &Filter,
    dry_run: bool,
) -> Result<Verdict, EngineError> {
    let points = proven_points(repository, filter)?;
    let mut verdict = Verdict::default();
    for id in ids {
        let point = points.iter().find(|point| point.id == *id);
        let point = point.ok_or_else(|| {
            EngineError::NotFound(format!(
                "there is no point {id}; `coffer points` lists those that are there"
            ))
        })?;
        if !dry_run {
            repository.needs_key(SignedRequest::ForgetPoints, &point.plan.team)?;
        }
        let newest = points.iter().rev().find(|other| other.plan == point.plan && other.is_complete());
        // Rule forget_keeps_newest.
        if newest.is_some_and(|newest| newest.id == *id) {
            return Err(EngineError::Refused(format!(
                "point {id} is the newest complete one of plan {}; it is never forgotten. Make another backup first",
                point.plan
            )));
        }
        if read_pins(repository, &point.plan.team)?.pinned.contains(id) {
            return Err(EngineError::Refused(format!(
                "point {id} is held or being restored: release the hold first, or wait for the restore"
            )));
        }
        verdict.forgotten.push(*id);
    }
    let forgotten: BTreeSet<Id> = verdict.forgotten.iter().copied().collect();
    let kept = points.iter().filter(|point| !forgotten.contains(&point.id));
    verdict.kept = kept.map(|point| (point.id, "not named".to_owned())).collect();
    if dry_run {
        return Ok(verdict);
    }
    with_reserve(repository, || delete_points(repository, &points, verdict.clone()))
}

/// Exempts a point from forget.
pub fn hold(repository: &Repository, point: &PointEntry, note: &str) -> Result<(), EngineError> {
    let team = &point.plan.team;
    repository.needs_key(SignedRequest::Hold, team)?;
    let run = repository.environment().new_id()?;
    let pin = Pin {
        format: 1,
        repository: repository.id(),
        team: team.clone(),
        point: point.id,
        run,
        kind: PinKind::Hold,
        time: repository.environment().clock.now(),
        note: note.to_owned(),
    };
    records::put(repository, &pin.key(), &pin)?;
    // Rule hold_looks_at_ending: a forget that is on its way has looked for holds already, so this one would come too late.
    if !is_ending(repository, team, &point.id)? && repository.store().exists(&store_key(&point.key)?)? {
        return Ok(());
    }
    repository.store().delete(&[store_key(&pin.key())?])?;
    Err(EngineError::Forgotten(point.id))
}

/// Ends all holds of a point. Returns how many there were.
pub fn release(repository: &Repository, point: &PointEntry) -> Result<usize, EngineError> {
    let team = &point.plan.team;
    repository.needs_key(SignedRequest::Hold, team)?;
    let mut found: Vec<Key> = Vec::new();
    let prefix = object_key::pins_prefix(team, &point.id);
    walk(repository, &prefix, object_key::parse_pin, |_, object| found.push(object.key.clone()))?;
    let mut keys = Vec::new();
    for key in found {
        let pin = records::find::<Pin>(repository, key.as_str())?;
        if pin.is_some_and(|pin| pin.kind == PinKind::Hold) {
            keys.push(key);
        }
    }
    delete_all(repository, &keys)?;
    Ok(keys.len())
}

/// Our clock, if it agrees with the store's.
fn checked_now(repository: &Repository) -> Result<Timestamp, EngineError> {
    let ours = repository.environment().clock.now();
    let theirs = repository.store().now()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let theirs = Timestamp::from_unix_ms(i64::try_from(theirs.as_millis()).unwrap_or(i64::MAX));
    let difference = ours.unix_ms().abs_diff(theirs.unix_ms());
    if difference > CLOCK_DIFFERENCE_MAX_MS.unsigned_abs() {
        return Err(EngineError::Refused(format!(
            "this machine's clock says {ours}, the store's {theirs}: they differ by more than 5 minutes. Set the clock, or name \
             the points to forget"
        )));
    }
    Ok(ours)
}

/// Deletes manifests, each after its announcement and one more look for pins and confirmation; returns the verdict as it came true.
fn delete_points(
    repository: &Repository,
    points: &[PointEntry],
    mut verdict: Verdict,
) -> Result<Verdict, EngineError> {
    let wanted: BTreeSet<Id> = verdict.forgotten.iter().copied().collect();
    let mut going: Vec<&PointEntry> = points.iter().filter(|point| wanted.contains(&point.id)).collect();
    let run = repository.environment().new_id()?;
    let mut late: Vec<(Id, String)> = Vec::new();
    for point in &going {
        if announce(repository, &point.plan, point.id, run)? == Announced::PlaceTaken {
            late.push((point.id, place_taken(&point.plan.team, &point.id)));
        }
    }
    let teams: BTreeSet<&Label> = going.iter().map(|point| &point.plan.team).collect();
    let mut pinned = BTreeSet::new();
    for team in teams {
        // Rules pin_checked_by_forget, hold_checked_by_forget: a pin put after the announcement is not relied on.
        pinned.extend(read_pins(repository, team)?.pinned);
    }
    for point in &going {
        if pinned.contains(&point.id) {
            late.push((point.id, "held or being restored".to_owned()));
        } else if !point.confirmed && confirms(repository, point)?.is_some() {
            // Its run looked for its `ending` record before that stood, and has reported the point since.
            late.push((point.id, "confirmed in the meantime".to_owned()));
        }
    }
    let kept_late: BTreeSet<Id> = late.iter().map(|(id, _)| *id).collect();
    going.retain(|point| !kept_late.contains(&point.id));
    verdict.forgotten.retain(|id| !kept_late.contains(id));
    verdict.kept.extend(late);
    for point in &going {
        // Rule artefacts_before_manifest: the manifest alone names what plugins made.
        match load_manifest(repository, point) {
            Ok(manifest) => keep_in_sight(repository, &manifest.payload, run)?,
            Err(error) if is_bad_object(&error) => {
                tracing::warn!(point = %point.id, %error, "manifest cannot be read: what plugins made for the point is not known");
            }
            Err(EngineError::Store(StoreError::NotFound { .. })) => {}
            Err(error) => return Err(error),
        }
    }
    let manifests: Vec<Key> = going.iter().map(|point| store_key(&point.key)).collect::<Result<_, _>>()?;
    delete_all(repository, &manifests)?;
    let confirmed =
        |point: &&PointEntry| store_key(&object_key::confirmed(&point.plan, &point.id, &point.summary));
    delete_all(repository, &going.iter().map(confirmed).collect::<Result<Vec<_>, _>>()?)?;
    Ok(verdict)
}

/// Said of an id whose end cannot be announced.
pub(crate) fn place_taken(team: &Label, id: &Id) -> String {
    format!(
        "its end cannot be announced: {} is none of our records; look where it comes from, and delete it",
        object_key::ending(team, id)
    )
}

/// Deletes in batches of 1,000, in order.
pub(crate) fn delete_all(repository: &Repository, keys: &[Key]) -> Result<(), EngineError> {
    for batch in keys.chunks(1000) {
        repository.environment().cancel.check()?;
        repository.store().delete(batch)?;
    }
    Ok(())
}
