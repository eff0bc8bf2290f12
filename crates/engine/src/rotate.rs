//! Rotation of a team's recovery key: a new statement, and every chain key sealed anew. No data is touched.
//!
//! The statement comes first, so that chains opened from then on are sealed to the new key; then the chains that are there are done. A
//! rotation that was interrupted is finished by [`finish_rotation`], as often as it takes.

use std::collections::BTreeSet;

use bytes::Bytes;
use coffer_format::{
    ChainKeyDocument, DataObject, Id, KeyFile, Label, ObjectContext, PlanId, Recipient, Signed,
    TeamStatement, object_key, seal_chain_key,
};

use crate::backup::read_chain_key;
use crate::inventory::for_each_object;
use crate::read::fetch::open_chain_key;
use crate::repository::{DOCUMENT_BYTES_MAX, SaveKey, find_object, store_key};
use crate::{Access, EngineError, Repository};

/// What a rotation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RotateReport {
    /// The new key's generation.
    pub generation: u32,
    /// Chains whose keys were sealed to it by this call.
    pub chains: u64,
}

/// Makes the next generation of the recovery key that the repository was opened with, and seals all chain keys to it.
pub fn rotate(repository: &Repository, save: SaveKey<'_>) -> Result<RotateReport, EngineError> {
    let old = recovery_key(repository)?;
    let statement_key = store_key(&object_key::team(&old.team, old.generation + 1))?;
    if repository.store().exists(&statement_key)? {
        return Err(EngineError::Refused(format!(
            "the recovery key of generation {} was rotated already; use the newest one, or finish an interrupted rotation",
            old.generation
        )));
    }
    let (new, statement) =
        repository.environment().with_entropy(|draw| old.rotate(draw))?.map_err(EngineError::Limit)?;
    save(&new)?;
    repository.store().put(&statement_key, Bytes::from(statement.encode()))?;
    finish_rotation(repository, &new)
}

/// Seals every chain key that is not yet sealed to `new` to it. The repository was opened with the key before.
pub fn finish_rotation(repository: &Repository, new: &KeyFile) -> Result<RotateReport, EngineError> {
    let old = recovery_key(repository)?;
    if new.team != old.team || new.repository != old.repository || new.generation != old.generation + 1 {
        return Err(EngineError::Usage(format!(
            "the new key is of team {} and generation {}; it should be of team {} and generation {}",
            new.team,
            new.generation,
            old.team,
            old.generation + 1
        )));
    }
    check_published(repository, new)?;
    let mut report = RotateReport { generation: new.generation, chains: 0 };
    for (plan, chain) in chains(repository, &old.team)? {
        repository.environment().cancel.check()?;
        report.chains += u64::from(reseal(repository, new, &plan, chain)?);
    }
    Ok(report)
}

/// Nothing is sealed to a key whose statement never reached the repository: the next rotation makes another key of its generation,
/// which could then not open those chains.
fn check_published(repository: &Repository, new: &KeyFile) -> Result<(), EngineError> {
    let key = object_key::team(&new.team, new.generation);
    let published = match find_object(repository.store().as_ref(), &key, DOCUMENT_BYTES_MAX)? {
        Some(bytes) => {
            Some(Signed::<TeamStatement>::decode_at(&key, &bytes).map_err(EngineError::object(&key))?.payload)
        }
        None => None,
    };
    if published.is_some_and(|statement| statement.x25519 == new.x25519_public) {
        return Ok(());
    }
    Err(EngineError::Refused(format!(
        "the new key of generation {} is not the one published in {key}, nothing is sealed to it: rotate again, or use the one that is",
        new.generation
    )))
}

fn recovery_key(repository: &Repository) -> Result<&KeyFile, EngineError> {
    match repository.access() {
        Access::Key(key) if key.recovery.is_some() => Ok(key),
        Access::Unencrypted => {
            Err(EngineError::Usage("this repository is not encrypted, there is no key to rotate".into()))
        }
        _ => Err(EngineError::Usage("rotation needs the recovery key: give --key RECOVERY-KEY-FILE".into())),
    }
}

fn chains(repository: &Repository, team: &Label) -> Result<BTreeSet<(PlanId, Id)>, EngineError> {
    let mut chains = BTreeSet::new();
    for_each_object(repository, &object_key::team_data_prefix(team), |object| {
        if let Ok((plan, chain, DataObject::ChainKey(_))) = object_key::parse_data(object.key.as_str()) {
            chains.insert((plan, chain));
        }
    })?;
    Ok(chains)
}

/// Writes the chain's next sealed key, unless one is there for the new generation.
fn reseal(repository: &Repository, new: &KeyFile, plan: &PlanId, chain: Id) -> Result<bool, EngineError> {
    let mut number = 1;
    let first = read_chain_key(repository, plan, chain, 1)?;
    let mut document = Some(first.clone());
    while let Some(found) = document {
        if found.recipients.iter().any(|recipient| recipient.x25519 == new.x25519_public) {
            return Ok(false);
        }
        number += 1;
        document = match read_chain_key(repository, plan, chain, number) {
            Ok(found) => Some(found),
            Err(EngineError::Damaged { .. }) => None,
            Err(error) => return Err(error),
        };
    }
    let private = open_chain_key(repository, plan, chain)?;
    let private = private.ok_or_else(|| EngineError::Bug("an encrypted chain without a key".into()))?;
    let key = object_key::chain_key(plan, &chain, number);
    let context = ObjectContext::new(&first.repository, &key);
    let entropy = repository.environment().entropy32()?;
    let sealed =
        seal_chain_key(&private, &new.x25519_public, &context, entropy).map_err(EngineError::Limit)?;
    let recipients = vec![Recipient { generation: new.generation, x25519: new.x25519_public, sealed }];
    let document = ChainKeyDocument { recipients, ..first };
    let signed = repository.signer(&plan.team)?.sign(&document);
    repository.store().put(&store_key(&key)?, Bytes::from(signed.encode()))?;
    Ok(true)
}
