//! Gives points up, and keeps them from being given up. Only manifests and summaries are deleted here; space comes back by prune.

use std::collections::BTreeSet;

use coffer_format::{Ending, Id, Label, Pin, PinKind, PlanId, Timestamp, object_key};
use coffer_store::Key;
use jiff::tz::TimeZone;

use crate::catalog::{Filter, PointEntry, list_points};
use crate::repository::{DOCUMENT_BYTES_MAX, find_object, store_key};
use crate::reserve::with_reserve;
use crate::retention::{KeepRules, Verdict, decide};
use crate::shrunk::keep_from_before;
use crate::{EngineError, Repository};

/// Our clock and the store's may differ by this much.
const CLOCK_DIFFERENCE_MAX_MS: i64 = 5 * 60 * 1_000;
/// A restore's pin that is older is left over from a killed restore.
pub(crate) const RESTORE_PIN_AGE_MAX_MS: i64 = 7 * 24 * 3_600 * 1_000;

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
}

/// Forgets the points of a plan that no rule keeps.
pub fn forget_by_rules(repository: &Repository, request: &ForgetRequest<'_>) -> Result<Verdict, EngineError> {
    let forget = || forget_once(repository, request);
    if request.dry_run { forget() } else { with_reserve(repository, forget) }
}

fn forget_once(repository: &Repository, request: &ForgetRequest<'_>) -> Result<Verdict, EngineError> {
    request.rules.check()?;
    let now = match request.as_of {
        Some(time) => time,
        None => checked_now(repository)?,
    };
    let filter = Filter { unconfirmed: true, ..Filter::plan(request.plan) };
    let points = list_points(repository, &filter)?;
    if points.is_empty() {
        return Err(EngineError::NotFound(format!("plan {} has no points", request.plan)));
    }
    let pinned = pinned_points(repository, &request.plan.team)?;
    let mut verdict = decide(&points, &pinned, request.rules, now, request.zone);
    keep_from_before(repository, &points, &mut verdict)?;
    if request.dry_run { Ok(verdict) } else { delete_points(repository, &points, verdict) }
}

/// Forgets points named by a person. All are checked before the first goes.
pub fn forget_points(
    repository: &Repository,
    ids: &[Id],
    filter: &Filter,
    dry_run: bool,
) -> Result<Verdict, EngineError> {
    let points = list_points(repository, &Filter { unconfirmed: true, ..filter.clone() })?;
    let mut verdict = Verdict::default();
    for id in ids {
        let point = points.iter().find(|point| point.id == *id);
        let point = point.ok_or_else(|| {
            EngineError::NotFound(format!(
                "there is no point {id}; `coffer points` lists those that are there"
            ))
        })?;
        let newest = points.iter().rev().find(|other| other.plan == point.plan && other.is_complete());
        // Rule forget_keeps_newest.
        if newest.is_some_and(|newest| newest.id == *id) {
            return Err(EngineError::Refused(format!(
                "point {id} is the newest complete one of plan {}; it is never forgotten. Make another backup first",
                point.plan
            )));
        }
        if pinned_points(repository, &point.plan.team)?.contains(id) {
            return Err(EngineError::Refused(format!(
                "point {id} is held or being restored; `coffer hold --release {id}` releases a hold"
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
    let run = repository.environment().new_id()?;
    let time = repository.environment().clock.now();
    let pin = Pin { format: 1, point: point.id, run, kind: PinKind::Hold, time, note: note.to_owned() };
    let key = store_key(&object_key::pin(&point.plan.team, &point.id, &run))?;
    repository.store().put(&key, pin.encode().into())?;
    // Rule hold_looks_at_ending: a forget that is on its way has looked for holds already, so this one would come too late.
    let announced =
        repository.store().exists(&store_key(&object_key::ending(&point.plan.team, &point.id))?)?;
    if !announced && repository.store().exists(&store_key(&point.key)?)? {
        return Ok(());
    }
    repository.store().delete(&[key])?;
    Err(EngineError::Forgotten(point.id))
}

/// Ends all holds of a point. Returns how many there were.
pub fn release(repository: &Repository, point: &PointEntry) -> Result<usize, EngineError> {
    let mut keys: Vec<Key> = Vec::new();
    for object in coffer_store::list_all(
        repository.store().as_ref(),
        &object_key::pins_prefix(&point.plan.team, &point.id),
    )? {
        let key = object.key.as_str();
        let Some(bytes) = find_object(repository.store().as_ref(), key, DOCUMENT_BYTES_MAX)? else {
            continue;
        };
        if Pin::decode(&bytes).map_err(EngineError::object(key))?.kind == PinKind::Hold {
            keys.push(object.key.clone());
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

/// Points with a hold, or with a restore that is not older than 7 days. A pin that cannot be read counts.
pub(crate) fn pinned_points(repository: &Repository, team: &Label) -> Result<BTreeSet<Id>, EngineError> {
    let now = repository.environment().clock.now().unix_ms();
    let mut pinned = BTreeSet::new();
    for object in coffer_store::list_all(repository.store().as_ref(), &object_key::all_pins_prefix(team))? {
        let key = object.key.as_str();
        let (_, point, _) = object_key::parse_pin(key).map_err(EngineError::object(key))?;
        let Some(bytes) = find_object(repository.store().as_ref(), key, DOCUMENT_BYTES_MAX)? else {
            continue;
        };
        if !is_stale(&bytes, now) {
            pinned.insert(point);
        }
    }
    Ok(pinned)
}

/// Whether a pin is left over from a killed restore.
pub(crate) fn is_stale(pin: &[u8], now_ms: i64) -> bool {
    Pin::decode(pin).is_ok_and(|pin| {
        pin.kind == PinKind::Restore && now_ms.saturating_sub(pin.time.unix_ms()) > RESTORE_PIN_AGE_MAX_MS
    })
}

/// Deletes manifests, each after its announcement and one more look for pins; returns the verdict as it came true.
fn delete_points(
    repository: &Repository,
    points: &[PointEntry],
    mut verdict: Verdict,
) -> Result<Verdict, EngineError> {
    let wanted: BTreeSet<Id> = verdict.forgotten.iter().copied().collect();
    let mut going: Vec<&PointEntry> = points.iter().filter(|point| wanted.contains(&point.id)).collect();
    let run = repository.environment().new_id()?;
    for point in &going {
        put_ending(repository, &point.plan, point.id, run)?;
    }
    let teams: BTreeSet<&Label> = going.iter().map(|point| &point.plan.team).collect();
    let mut pinned = BTreeSet::new();
    for team in teams {
        // Rules pin_checked_by_forget, hold_checked_by_forget: a pin put after the announcement is not relied on.
        pinned.extend(pinned_points(repository, team)?);
    }
    going.retain(|point| !pinned.contains(&point.id));
    let kept_late = wanted.iter().filter(|id| pinned.contains(id));
    verdict.kept.extend(kept_late.map(|id| (*id, "held or being restored".to_owned())));
    verdict.forgotten.retain(|id| !pinned.contains(id));
    let manifests: Vec<Key> = going.iter().map(|point| store_key(&point.key)).collect::<Result<_, _>>()?;
    delete_all(repository, &manifests)?;
    let confirmed =
        |point: &&PointEntry| store_key(&object_key::confirmed(&point.plan, &point.id, &point.summary));
    delete_all(repository, &going.iter().map(confirmed).collect::<Result<Vec<_>, _>>()?)?;
    Ok(verdict)
}

/// Announces the end of an id (rules `forget_announces`, `ending_before_reread`). The record is never deleted.
pub(crate) fn put_ending(
    repository: &Repository,
    plan: &PlanId,
    point: Id,
    run: Id,
) -> Result<(), EngineError> {
    let key = store_key(&object_key::ending(&plan.team, &point))?;
    if repository.store().exists(&key)? {
        return Ok(());
    }
    let PlanId { team, cluster, namespace, plan } = plan.clone();
    let time = repository.environment().clock.now();
    let ending = Ending { format: 1, point, team, cluster, namespace, plan, run, time };
    match repository.store().put(&key, ending.encode().into()) {
        // Another run announced the same id: that is as good.
        Err(coffer_store::StoreError::Exists { .. }) => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

/// Deletes in batches of 1,000, in order.
pub(crate) fn delete_all(repository: &Repository, keys: &[Key]) -> Result<(), EngineError> {
    for batch in keys.chunks(1000) {
        repository.environment().cancel.check()?;
        repository.store().delete(batch)?;
    }
    Ok(())
}
