//! A ticket held against the bucket: what it names must be there, belong together, and not be on its way out.
//!
//! A ticket comes over a wire from somebody who may be mistaken, late or worse. Nothing is written before all of it was checked, and what the
//! commit checks at the end is checked here too, so that nobody works hours for a point that can only be fenced.

use coffer_format::{Id, Manifest, PlanId, PointState, Signed, VolumeName, VolumePath, object_key};
use coffer_store::StoreError;

use super::commit;
use super::leftovers::{self, Leftovers};
use super::opening::Basis;
use super::point::PointTicket;
use crate::catalog::{PointEntry, confirms, is_void, load_manifest_at};
use crate::pages::first_object;
use crate::records::is_ending;
use crate::repository::store_key;
use crate::{EngineError, Repository};

/// Reads what the ticket's point builds on.
pub(super) fn read_basis(repository: &Repository, ticket: &PointTicket) -> Result<Basis, EngineError> {
    let PointTicket { plan, point, chain, parent } = ticket;
    if is_ending(repository, &plan.team, point)? {
        return Err(fenced(ticket, "prune has ended it".into()));
    }
    if exists(repository, &object_key::manifest(plan, point))? {
        return Err(EngineError::Refused(format!(
            "point {point} of plan {plan} was committed already; open a new point"
        )));
    }
    match (parent, ticket.adopted_chain()) {
        (Some(parent), _) => continued(repository, ticket, *parent),
        (None, None) => {
            Ok(Basis { parent: None, chain: open_key(repository, ticket)?, leftovers: Leftovers::default() })
        }
        (None, Some(_)) => {
            check_key(repository, ticket)?;
            let adopted = leftovers::adopted(repository, plan, *chain, *point)?;
            let (chain, leftovers) = adopted.ok_or_else(|| {
                fenced(ticket, format!("chain {chain} of an unfinished run cannot be gone on with: it has a point, or its end was announced, or nothing of it is left"))
            })?;
            Ok(Basis { parent: None, chain, leftovers })
        }
    }
}

/// Refuses a volume of which this very point stored something already: names are never used twice.
pub(super) fn check_untouched(
    repository: &Repository,
    ticket: &PointTicket,
    volume: &VolumeName,
) -> Result<(), EngineError> {
    let PointTicket { plan, point, chain, .. } = ticket;
    let path = VolumePath { plan: plan.clone(), chain: *chain, point: *point, volume: volume.clone() };
    // A listing may hide what is there: the first objects that a run writes, and its last, are asked for by name.
    let is_begun = exists(repository, &object_key::pack(&path, 0))?
        || exists(repository, &object_key::map(&path))?
        || first_object(repository.store().as_ref(), &object_key::volume_prefix(&path), None)?.is_some();
    if !is_begun {
        return Ok(());
    }
    let reason = format!("volume {volume} was begun before under this point, and no object is written twice");
    Err(fenced(ticket, reason))
}

fn continued(repository: &Repository, ticket: &PointTicket, parent: Id) -> Result<Basis, EngineError> {
    let PointTicket { plan, point, chain, .. } = ticket;
    let manifest = read_parent(repository, ticket, parent)?;
    if manifest.chain != *chain {
        return Err(EngineError::Refused(format!(
            "the ticket of point {point} names chain {chain}, its parent {parent} is of chain {}",
            manifest.chain
        )));
    }
    let chain = open_key(repository, ticket)?;
    let leftovers = leftovers::of_chain(repository, plan, chain.id, parent, *point);
    Ok(Basis { parent: Some(manifest), chain, leftovers })
}

/// The parent, if it is a point of the plan that may be built on now.
pub(super) fn read_parent(
    repository: &Repository,
    ticket: &PointTicket,
    parent: Id,
) -> Result<Manifest, EngineError> {
    let PointTicket { plan, .. } = ticket;
    // Rule parent_not_ending: what builds on it could only be fenced.
    if is_ending(repository, &plan.team, &parent)? {
        return Err(fenced(ticket, format!("its parent {parent} is being ended by forget or prune")));
    }
    let manifest = match load_manifest_at(repository, &object_key::manifest(plan, &parent)) {
        Ok(manifest) => manifest,
        Err(EngineError::Store(StoreError::NotFound { .. })) => {
            let reason =
                format!("its parent {parent} is no point of plan {plan}: it was forgotten, or is of another");
            return Err(fenced(ticket, reason));
        }
        Err(error) => return Err(error),
    };
    if manifest.payload.state != PointState::Available || !is_confirmed(repository, plan, &manifest)? {
        return Err(EngineError::Refused(format!(
            "the ticket of point {} builds on {parent}, which is not complete; open a new point",
            ticket.point
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

fn open_key(repository: &Repository, ticket: &PointTicket) -> Result<commit::OpenChain, EngineError> {
    check_key(repository, ticket)?;
    commit::continue_chain(repository, &ticket.plan, ticket.chain)?.ok_or_else(|| {
        let reason = "the team's key was rotated, and the key of its chain is not sealed to the new one, or has other secrets";
        fenced(ticket, reason.into())
    })
}

/// A chain without its key is gone, or never was one of the plan's.
fn check_key(repository: &Repository, ticket: &PointTicket) -> Result<(), EngineError> {
    let PointTicket { plan, chain, .. } = ticket;
    if repository.is_encrypted() && !exists(repository, &object_key::chain_key(plan, chain, 1))? {
        let reason = format!("plan {plan} has no chain {chain}: it was removed, or is of another plan");
        return Err(fenced(ticket, reason));
    }
    Ok(())
}

pub(super) fn exists(repository: &Repository, key: &str) -> Result<bool, EngineError> {
    Ok(repository.store().exists(&store_key(key)?)?)
}

fn fenced(ticket: &PointTicket, reason: String) -> EngineError {
    EngineError::Fenced { run: ticket.point, reason }
}
