//! Seals the keys of all chains of a team to a new recovery key.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use bytes::Bytes;
use coffer_format::{
    ChainKeyDocument, ChainPrivateKey, DataObject, Id, KeyFile, Label, ObjectContext, PlanId, Recipient,
    Verifier, object_key, seal_chain_key,
};
use coffer_store::StoreError;

use crate::chain_keys::{self, ChainKey};
use crate::inventory::for_each_object;
use crate::repository::store_key;
use crate::{EngineError, Repository};

/// Names that are tried for a sealed key, where somebody takes one at the same moment.
const TRIES: u32 = 16;

/// How many chains.
#[derive(Default)]
pub(super) struct Sealed {
    /// Sealed by this call.
    pub(super) sealed: u64,
    /// Without any key that opens.
    pub(super) unopened: u64,
}

/// Seals every chain key that is not yet sealed to `new` to it. `verifier` knows the generation of `new`.
pub(super) fn seal_all(
    repository: &Repository,
    verifier: &Verifier,
    (old, new): (&KeyFile, &KeyFile),
) -> Result<Sealed, EngineError> {
    let mut counts = Sealed::default();
    for (plan, chain) in chains(repository, &old.team)? {
        repository.environment().cancel.check()?;
        let look = look(repository, verifier, (old, new), (&plan, chain))?;
        match look.opened {
            _ if look.is_sealed => {}
            Some((document, private)) => {
                write(repository, new, (&plan, chain), look.last, document, &private)?;
                counts.sealed += 1;
            }
            // Prune removed them meanwhile, or nothing of them was ever ours.
            None if look.last == 0 => {}
            None => {
                tracing::warn!(%plan, %chain, "no key of the chain opens; the new key does not open it either");
                counts.unopened += 1;
            }
        }
    }
    Ok(counts)
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

/// What lies among the keys of a chain.
struct Look {
    /// Whether one is sealed to the new key and signed by its generation, so that writers continue the chain.
    is_sealed: bool,
    /// The first that the old key opens.
    opened: Option<(ChainKeyDocument, ChainPrivateKey)>,
    /// The last number that is taken.
    last: u32,
}

fn look(
    repository: &Repository,
    verifier: &Verifier,
    (old, new): (&KeyFile, &KeyFile),
    (plan, chain): (&PlanId, Id),
) -> Result<Look, EngineError> {
    let (mut is_sealed, mut opened) = (false, None);
    let last = chain_keys::walk(repository, verifier, (plan, chain), |key| {
        match key {
            Ok(key) => {
                is_sealed |= is_sealed_to(new, &key);
                if opened.is_none() {
                    match chain_keys::open(old, plan, chain, &key) {
                        Ok(private) => opened = private.map(|private| (key.document, private)),
                        Err(error) => warn_of(plan, chain, key.number, &error),
                    }
                }
            }
            Err((number, error)) => warn_of(plan, chain, number, &error),
        }
        ControlFlow::Continue(())
    })?;
    Ok(Look { is_sealed, opened, last })
}

fn warn_of(plan: &PlanId, chain: Id, number: u32, error: &dyn std::fmt::Display) {
    let key = object_key::chain_key(plan, &chain, number);
    tracing::warn!(key, %error, "a chain key is none of ours or damaged; going on with the others");
}

fn is_sealed_to(new: &KeyFile, key: &ChainKey) -> bool {
    let mut recipients = key.document.recipients.iter();
    key.certified_by == new.generation && recipients.any(|recipient| recipient.x25519 == new.x25519_public)
}

/// Writes the chain's next sealed key, signed by the new key's own writer key.
fn write(
    repository: &Repository,
    new: &KeyFile,
    (plan, chain): (&PlanId, Id),
    last: u32,
    document: ChainKeyDocument,
    private: &ChainPrivateKey,
) -> Result<(), EngineError> {
    let first = last.saturating_add(1);
    for number in (first..).take(TRIES as usize) {
        let key = object_key::chain_key(plan, &chain, number);
        let context = ObjectContext::new(&document.repository, &key);
        let entropy = repository.environment().entropy32()?;
        let sealed =
            seal_chain_key(private, &new.x25519_public, &context, entropy).map_err(EngineError::Limit)?;
        let recipients = vec![Recipient { generation: new.generation, x25519: new.x25519_public, sealed }];
        let signed = new.signer().sign(&ChainKeyDocument { recipients, ..document.clone() });
        match repository.store().put(&store_key(&key)?, Bytes::from(signed.encode())) {
            Err(StoreError::Exists { .. }) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(()),
        }
    }
    Err(EngineError::Refused(format!(
        "somebody takes the names of chain keys below {} as fast as they are written; find out who, and finish the rotation",
        object_key::chain_keys_prefix(plan, &chain)
    )))
}
