//! A point reference held against the bucket: what it names must be there, belong together, and not be on its way out.
//!
//! A point reference comes over a wire from somebody who may be mistaken, late or worse. Nothing is written before all of it was checked, and what the
//! commit checks at the end is checked here too, so that nobody works hours for a point that can only be fenced.

use coffer_format::{Id, Manifest, PlanId, PointState, Signed, VolumeName, VolumePath, object_key};
use coffer_store::StoreError;

use super::chain_context::ChainContext;
use super::incomplete_runs::{self, IncompleteRuns};
use super::open_chain::{OpenChain, continue_chain};
use super::point::PointReference;
use crate::catalog::{PointEntry, confirms, is_void, load_manifest_at};
use crate::pages::first_object;
use crate::records::is_ending;
use crate::repository::store_key;
use crate::{EngineError, Repository};

/// Reads what the point reference's point builds on.
pub(super) fn read_chain_context(
    repository: &Repository,
    reference: &PointReference,
) -> Result<ChainContext, EngineError> {
    let PointReference { plan, point, chain, parent } = reference;
    if is_ending(repository, &plan.team, point)? {
        return Err(fenced(reference, "prune has ended it".into()));
    }
    if exists(repository, &object_key::manifest(plan, point))? {
        return Err(EngineError::Refused(format!(
            "point {point} of plan {plan} was committed already; open a new point"
        )));
    }
    match (parent, reference.adopted_chain()) {
        (Some(parent), _) => continued(repository, reference, *parent),
        (None, None) => Ok(ChainContext {
            parent: None,
            chain: open_key(repository, reference)?,
            incomplete_runs: IncompleteRuns::default(),
        }),
        (None, Some(_)) => {
            check_key(repository, reference)?;
            let adopted = incomplete_runs::adopted(repository, plan, *chain, *point)?;
            let (chain, incomplete_runs) = adopted.ok_or_else(|| {
                fenced(reference, format!("chain {chain} of an unfinished run cannot be gone on with: it has a point, or its end was announced, or nothing of it is left"))
            })?;
            Ok(ChainContext { parent: None, chain, incomplete_runs })
        }
    }
}

/// Refuses a volume of which this very point stored something already: names are never used twice.
pub(super) fn check_untouched(
    repository: &Repository,
    reference: &PointReference,
    volume: &VolumeName,
) -> Result<(), EngineError> {
    let PointReference { plan, point, chain, .. } = reference;
    let path = VolumePath { plan: plan.clone(), chain: *chain, point: *point, volume: volume.clone() };
    // A listing may hide what is there: the first objects that a run writes, and its last, are asked for by name.
    let is_begun = exists(repository, &object_key::pack(&path, 0))?
        || exists(repository, &object_key::map(&path))?
        || first_object(repository.store().as_ref(), &object_key::volume_prefix(&path), None)?.is_some();
    if !is_begun {
        return Ok(());
    }
    let reason = format!("volume {volume} was begun before under this point, and no object is written twice");
    Err(fenced(reference, reason))
}

/// What to say of a run that failed, for whatever reason: where its end was announced that is the cause, and no advice about a disk would help.
pub(super) fn explain_end(
    repository: &Repository,
    reference: &PointReference,
    error: EngineError,
) -> EngineError {
    if error.is_cancellation() || matches!(error, EngineError::Fenced { .. }) {
        return error;
    }
    // Whoever cannot be asked has ended nothing, as far as is known.
    if !is_ending(repository, &reference.plan.team, &reference.point).unwrap_or(false) {
        return error;
    }
    tracing::warn!(run = %reference.point, %error, "the run was ended by prune; this is what it noticed of it");
    EngineError::Fenced { run: reference.point, reason: "prune ended it while it was running".into() }
}

fn continued(
    repository: &Repository,
    reference: &PointReference,
    parent: Id,
) -> Result<ChainContext, EngineError> {
    let PointReference { plan, point, chain, .. } = reference;
    let manifest = read_parent(repository, reference, parent)?;
    if manifest.chain != *chain {
        return Err(EngineError::Refused(format!(
            "the reference of point {point} names chain {chain}, its parent {parent} is of chain {}",
            manifest.chain
        )));
    }
    let chain = open_key(repository, reference)?;
    let incomplete_runs = incomplete_runs::of_chain(repository, plan, chain.id, parent, *point);
    Ok(ChainContext { parent: Some(manifest), chain, incomplete_runs })
}

/// The parent, if it is a point of the plan that may be built on now.
pub(super) fn read_parent(
    repository: &Repository,
    reference: &PointReference,
    parent: Id,
) -> Result<Manifest, EngineError> {
    let PointReference { plan, .. } = reference;
    // Rule parent_not_ending: what builds on it could only be fenced.
    if is_ending(repository, &plan.team, &parent)? {
        return Err(fenced(reference, format!("its parent {parent} is being ended by forget or prune")));
    }
    let manifest = match load_manifest_at(repository, &object_key::manifest(plan, &parent)) {
        Ok(manifest) => manifest,
        Err(EngineError::Store(StoreError::NotFound { .. })) => {
            let reason =
                format!("its parent {parent} is no point of plan {plan}: it was forgotten, or is of another");
            return Err(fenced(reference, reason));
        }
        Err(error) => return Err(error),
    };
    if manifest.payload.state != PointState::Available || !is_confirmed(repository, plan, &manifest)? {
        return Err(EngineError::Refused(format!(
            "the reference of point {} builds on {parent}, which is not complete; open a new point",
            reference.point
        )));
    }
    Ok(manifest.payload)
}

/// Rules confirm_after_checks and void_by_ended: a point whose run did not get through its checks, or that prune ended, counts for nothing.
fn is_confirmed(
    repository: &Repository,
    plan: &PlanId,
    manifest: &Signed<Manifest>,
) -> Result<bool, EngineError> {
    let point = PointEntry::new(plan.clone(), manifest.payload.point, manifest.payload.summary());
    let confirmed = confirms(repository, &point)? == Some(manifest.seal.digest);
    Ok(confirmed && !is_void(repository, &point)?)
}

fn open_key(repository: &Repository, reference: &PointReference) -> Result<OpenChain, EngineError> {
    check_key(repository, reference)?;
    continue_chain(repository, &reference.plan, reference.chain)?.ok_or_else(|| {
        let reason = "the team's key was rotated, and the key of its chain is not sealed to the new one, or has other secrets";
        fenced(reference, reason.into())
    })
}

/// A chain without its key is gone, or never was one of the plan's.
fn check_key(repository: &Repository, reference: &PointReference) -> Result<(), EngineError> {
    let PointReference { plan, chain, .. } = reference;
    if repository.is_encrypted() && !exists(repository, &object_key::chain_key(plan, chain, 1))? {
        let reason = format!("plan {plan} has no chain {chain}: it was removed, or is of another plan");
        return Err(fenced(reference, reason));
    }
    Ok(())
}

pub(super) fn exists(repository: &Repository, key: &str) -> Result<bool, EngineError> {
    Ok(repository.store().exists(&store_key(key)?)?)
}

fn fenced(reference: &PointReference, reason: String) -> EngineError {
    EngineError::Fenced { run: reference.point, reason }
}
