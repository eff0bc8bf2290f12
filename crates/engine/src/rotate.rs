//! Rotation of a team's recovery key: a new statement, a list of the points that stood, and every chain key sealed anew. No data is touched.
//!
//! The order is everything. The statement comes first: runs that commit later see it and are fenced, chains opened later are sealed to the new
//! key. Then the points that stand are listed (rule `lists_after_statement`): what replaced keys sign from then on counts no more. Then the
//! chains that are there are sealed to the new key. A rotation that was interrupted is finished by [`finish_rotation`], as often as it takes.

mod chains;
mod points;

use bytes::Bytes;
use coffer_format::{KeyFile, RotationPoints, SecretsWish, Verifier, object_key};
use coffer_store::StoreError;

use crate::generations::{Listed, is_strange};
use crate::repository::{SaveKey, store_key};
use crate::request_error::{RecoveryUse, RequestError};
use crate::{Access, EngineError, Repository};

/// What a rotation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RotateReport {
    /// The new key's generation.
    pub generation: u32,
    /// Points that stood, which go on counting; 0 where an earlier call listed them.
    pub points: u64,
    /// Chains whose keys were sealed to it by this call.
    pub chains: u64,
    /// Chains of which no key could be opened; a warning names each. The new key does not open them.
    pub chains_unopened: u64,
}

/// Makes the next generation of the recovery key that the repository was opened with, and seals all chain keys to it.
///
/// Writer keys of the generation before make no more points; with [`SecretsWish::Replace`] they also read no metadata of chains that are opened
/// from then on.
///
/// # Errors
/// [`EngineError::Refused`] where the key was rotated already, or more points stand than a list can hold: nothing was changed.
pub fn rotate(
    repository: &Repository,
    secrets: SecretsWish,
    save: SaveKey<'_>,
) -> Result<RotateReport, EngineError> {
    let old = recovery_key(repository)?;
    let newest = repository.newest_key()?.generation;
    if newest != old.generation {
        return Err(EngineError::Refused(format!(
            "the recovery key of generation {} was rotated already; use the newest one, of generation {newest}, or finish an interrupted rotation",
            old.generation
        )));
    }
    points::check_room(repository, &old.team)?;
    let generation = repository.statements(&old.team).free_after(old.generation)?;
    let rotated = repository.environment().with_entropy(|draw| old.rotate(generation, secrets, draw))?;
    let new = rotated.map_err(EngineError::Limit)?;
    save(&new)?;
    finish_rotation(repository, &new)
}

/// Publishes `new` where that was not done or was lost, lists what stands, and seals every chain key to it that is not yet. The repository was opened
/// with the key before.
///
/// # Errors
/// [`EngineError::Refused`] where another key of its generation was published, or something else took its name: nothing is sealed to it.
pub fn finish_rotation(repository: &Repository, new: &KeyFile) -> Result<RotateReport, EngineError> {
    let old = recovery_key(repository)?;
    let follows = new.generation_before() == Some(old.generation);
    if new.team != old.team || new.repository != old.repository || !follows {
        return Err(EngineError::Usage(format!(
            "the new key is of team {} and generation {}; it should be of team {} and the one that replaced generation {}",
            new.team, new.generation, old.team, old.generation
        )));
    }
    let mut verifier = repository.verifier().clone();
    publish(repository, (old, new), &mut verifier)?;
    let points = list_points(repository, new, &mut verifier)?;
    let sealed = chains::seal_all(repository, &verifier, (old, new))?;
    Ok(RotateReport {
        generation: new.generation,
        points,
        chains: sealed.sealed,
        chains_unopened: sealed.unopened,
    })
}

/// Puts the statement of `new` where there is none. Nothing is sealed to a key that is not the published one of its generation: nobody else could open
/// those chains.
fn publish(
    repository: &Repository,
    (old, new): (&KeyFile, &KeyFile),
    verifier: &mut Verifier,
) -> Result<(), EngineError> {
    let key = object_key::team(&new.team, new.generation);
    let statements = repository.statements(&new.team);
    let refused = |detail: &str| {
        EngineError::Refused(format!(
            "the new key of generation {} is not the one published in {key}{detail}, nothing is sealed to it: rotate again, or use the one that is",
            new.generation
        ))
    };
    match statements.statement(new.generation, |statement| verifier.learn(statement)) {
        Ok(Some(statement)) if statement.payload.x25519 == new.x25519_public => return Ok(()),
        Ok(Some(_)) => return Err(refused("")),
        Ok(None) => {}
        Err(error) if is_strange(&error) => return Err(refused(&format!(" ({error})"))),
        Err(error) => return Err(error),
    }
    let newest = repository.newest_key()?.generation;
    if newest != old.generation {
        return Err(refused(&format!(", and generation {newest} replaced the key before it since then")));
    }
    let statement = old.publish(new).map_err(EngineError::Limit)?;
    match repository.store().put(&store_key(&key)?, Bytes::from(statement.encode())) {
        Ok(_) => verifier.learn(&statement).map_err(EngineError::object(&key)),
        Err(StoreError::Exists { .. }) => Err(refused(": somebody else wrote it at the same time")),
        Err(error) => Err(error.into()),
    }
}

/// Lists the points that stand, unless an earlier call did. `verifier` believes the new statement.
fn list_points(repository: &Repository, new: &KeyFile, verifier: &mut Verifier) -> Result<u64, EngineError> {
    let statements = repository.statements(&new.team);
    let key = object_key::team_points(&new.team, new.generation);
    match statements.learn_points(new.generation, verifier)? {
        Listed::Known => return Ok(0),
        Listed::Missing => {}
        Listed::Strange(error) => {
            return Err(EngineError::Refused(format!(
                "where the list of points goes lies something that is none of ours: {error}; remove {key} and finish the rotation"
            )));
        }
    }
    let points = points::standing(repository, &new.team, verifier, new.generation)?;
    let count = points.len() as u64;
    let list = RotationPoints {
        format: coffer_format::FORMAT_VERSION,
        repository: new.repository,
        team: new.team.clone(),
        generation: new.generation,
        points,
    };
    let signed = new.sign_as_recovery(list).map_err(EngineError::Limit)?;
    match repository.store().put(&store_key(&key)?, Bytes::from(signed.encode())) {
        Ok(_) => Ok(count),
        // Two that finish at once list nearly the same: what was certified before the statement is on both.
        Err(StoreError::Exists { .. }) => match statements.learn_points(new.generation, verifier)? {
            Listed::Known => Ok(count),
            _ => Err(EngineError::Refused(format!(
                "{key} was taken by something that is none of ours; remove it and finish the rotation"
            ))),
        },
        Err(error) => Err(error.into()),
    }
}

fn recovery_key(repository: &Repository) -> Result<&KeyFile, EngineError> {
    match repository.access() {
        Access::Key(key) if key.recovery.is_some() => Ok(key),
        Access::Unencrypted => {
            Err(EngineError::Usage("this repository is not encrypted, there is no key to rotate".into()))
        }
        _ => Err(RequestError::NoRecoveryKey(RecoveryUse::Rotate).into()),
    }
}
