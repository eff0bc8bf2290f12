//! The sealed keys of a chain. Each `keys/<n>` stands for itself: one that is damaged or forged blocks no other.
//!
//! Readers take the first genuine one, by number, that is sealed to their key. Writers continue a chain only by one that is sealed to the
//! newest key and that a key of the newest generation signed: what replaced keys could have signed decides nothing.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use coffer_format::{
    ChainKeyDocument, ChainPrivateKey, ChainPublicKey, DataObject, FormatError, Id, KeyFile, ObjectContext,
    OpenedChain, PlanId, Signed, Verifier, object_key, open_chain_key as open_sealed,
};

use crate::generations::is_strange;
use crate::inventory::for_each_object;
use crate::repository::{DOCUMENT_BYTES_MAX, ReadingKey, find_object};
use crate::{Access, EngineError, Repository};

/// Most documents of one chain that are looked at: the lowest numbers.
const KEYS_MAX: usize = 1_024;

/// A genuine document of a chain's keys.
pub(crate) struct ChainKey {
    /// Its number, from 1.
    pub(crate) number: u32,
    /// Generation of the recovery key that certified who signed it; 0 where nothing is signed.
    pub(crate) certified_by: u32,
    pub(crate) document: ChainKeyDocument,
}

/// What a writer needs of a chain.
pub(crate) struct WritableChain {
    pub(crate) public: ChainPublicKey,
    /// Generation of its secrets.
    pub(crate) secrets: u32,
}

/// Looks at the documents of a chain by number, until `each` breaks: at genuine ones, and at what is wrong with others. Returns the last number
/// that was taken.
pub(crate) fn walk(
    repository: &Repository,
    verifier: &Verifier,
    (plan, chain): (&PlanId, Id),
    mut each: impl FnMut(Result<ChainKey, (u32, EngineError)>) -> ControlFlow<()>,
) -> Result<u32, EngineError> {
    let mut numbers = BTreeSet::from([1]);
    let (mut seen, mut last) = (BTreeSet::new(), 0);
    let mut was_listed = false;
    while seen.len() < KEYS_MAX {
        let Some(number) = numbers.pop_first() else {
            if was_listed {
                break;
            }
            was_listed = true;
            numbers = listed(repository, plan, chain)?.difference(&seen).copied().collect();
            continue;
        };
        repository.environment().cancel.check()?;
        if !seen.insert(number) {
            continue;
        }
        let found = match read(repository, verifier, (plan, chain), number) {
            Ok(None) => continue,
            Ok(Some(key)) => Ok(key),
            Err(error) if is_strange(&error) => Err((number, error)),
            Err(error) => return Err(error),
        };
        last = last.max(number);
        // A LIST may hide it: the next number is asked for by exact key.
        numbers.extend(number.checked_add(1));
        if each(found).is_break() {
            break;
        }
    }
    Ok(last)
}

/// The first genuine document that `wanted` makes something of; `None` where there are genuine ones and it makes nothing of any.
///
/// # Errors
/// [`EngineError::Damaged`] or [`EngineError::Object`] where the chain has no genuine document: the manifest that led here names one.
pub(crate) fn find<T>(
    repository: &Repository,
    plan: &PlanId,
    chain: Id,
    mut wanted: impl FnMut(&ChainKey) -> Result<Option<T>, FormatError>,
) -> Result<Option<T>, EngineError> {
    let (mut found, mut genuine, mut bad) = (None, false, Vec::new());
    walk(repository, repository.verifier_of(&plan.team), (plan, chain), |key| {
        let number = key.as_ref().map_or_else(|(number, _)| *number, |key| key.number);
        let name = object_key::chain_key(plan, &chain, number);
        match key.map_err(|(_, error)| error).and_then(|key| wanted(&key).map_err(EngineError::object(&name)))
        {
            Ok(None) => genuine = true,
            Ok(Some(value)) => {
                found = Some(value);
                return ControlFlow::Break(());
            }
            Err(error) => bad.push(error),
        }
        ControlFlow::Continue(())
    })?;
    if found.is_some() || genuine {
        for error in &bad {
            tracing::warn!(%error, "a chain key is none of ours or damaged; going on with the others");
        }
        return Ok(found);
    }
    Err(bad.into_iter().next().unwrap_or_else(|| missing(plan, chain)))
}

/// Opens a chain's private key with the recovery key; `None` where nothing is encrypted.
pub(crate) fn open_chain_key(
    repository: &Repository,
    plan: &PlanId,
    chain: Id,
) -> Result<Option<ChainPrivateKey>, EngineError> {
    let recovery = match repository.reading_key(&plan.team)? {
        ReadingKey::Unencrypted => return Ok(None),
        ReadingKey::Recovery(recovery) => recovery,
        ReadingKey::Chain(opened) => return lent(repository, plan, chain, opened).map(Some),
    };
    match find(repository, plan, chain, |key| open(recovery, plan, chain, key))? {
        Some(private) => Ok(Some(private)),
        None => Err(EngineError::Usage(format!(
            "the recovery key is of generation {}, and no key of chain {chain} is sealed to it: use the recovery key of an \
             earlier or later rotation, or finish the rotation",
            recovery.generation
        ))),
    }
}

/// The key that was lent for a chain, if it is this chain's.
fn lent(
    repository: &Repository,
    plan: &PlanId,
    chain: Id,
    opened: &OpenedChain,
) -> Result<ChainPrivateKey, EngineError> {
    if opened.chain != chain {
        return Err(EngineError::Usage(format!(
            "the chain key opens chain {}, the point is of chain {chain}: give that chain's key, or the recovery key",
            opened.chain
        )));
    }
    let public = opened.private.public();
    let fits = |key: &ChainKey| Ok((key.document.public == public).then(|| opened.private.clone()));
    find(repository, plan, chain, fits)?.ok_or_else(|| {
        EngineError::Usage(format!(
            "the chain key is not that of chain {chain} of this repository: make it anew"
        ))
    })
}

/// A key file that does what a writer key does and opens one chain: what is lent for a restore of its points. `None` where nothing is encrypted; the
/// caller's own where it is such a key already.
///
/// # Errors
/// As of opening the chain with the caller's key, which has to be the team's recovery key.
pub fn lend_chain_key(
    repository: &Repository,
    plan: &PlanId,
    chain: Id,
) -> Result<Option<KeyFile>, EngineError> {
    let Some(private) = open_chain_key(repository, plan, chain)? else { return Ok(None) };
    let Some(recovery) = repository.recovery_key(&plan.team).ok().flatten() else {
        return match repository.access() {
            Access::Key(key) => Ok(Some(key.as_ref().clone())),
            Access::Unencrypted | Access::Locked => Ok(None),
        };
    };
    let environment = repository.environment();
    let serial = environment.new_id()?;
    let made = environment.with_entropy(|entropy| recovery.chain_key(chain, private, serial, entropy))?;
    Ok(Some(made.map_err(EngineError::object(&object_key::chain_key(plan, &chain, 1)))?))
}

/// An error unless the recovery key opens the chain, as a restore will have to.
pub fn check_chain_key(repository: &Repository, plan: &PlanId, chain: Id) -> Result<(), EngineError> {
    open_chain_key(repository, plan, chain).map(drop)
}

/// The chain's private key, if `key` is sealed to `recovery`.
pub(crate) fn open(
    recovery: &KeyFile,
    plan: &PlanId,
    chain: Id,
    key: &ChainKey,
) -> Result<Option<ChainPrivateKey>, FormatError> {
    let secrets = recovery.recovery("opening a chain key")?;
    let document = &key.document;
    let Some(sealed) = document.recipients.iter().find(|sealed| sealed.x25519 == recovery.x25519_public)
    else {
        return Ok(None);
    };
    let context = ObjectContext::new(&document.repository, &object_key::chain_key(plan, &chain, key.number));
    let private = open_sealed(&secrets.x25519, &sealed.sealed, &context)?;
    if private.public() == document.public {
        return Ok(Some(private));
    }
    Err(FormatError::Inconsistent {
        what: "chain key",
        detail: "the sealed private key is not that of its public key",
    })
}

/// What a writer needs to continue a chain; `None` where that is for the newest generation to be sure of, and it is not: a full in a new
/// chain is made instead.
pub(crate) fn writable(
    repository: &Repository,
    plan: &PlanId,
    chain: Id,
) -> Result<Option<WritableChain>, EngineError> {
    let newest = repository.newest_key()?;
    find(repository, plan, chain, |key| {
        let document = &key.document;
        let fits = key.certified_by == newest.generation
            && document.secrets == newest.secrets
            && document.recipients.iter().any(|recipient| recipient.x25519 == newest.x25519);
        Ok(fits.then_some(WritableChain { public: document.public, secrets: document.secrets }))
    })
}

/// Generation of the secrets of a chain: what its first genuine document says.
pub(crate) fn secrets_generation(
    repository: &Repository,
    plan: &PlanId,
    chain: Id,
) -> Result<u32, EngineError> {
    let found = find(repository, plan, chain, |key| Ok(Some(key.document.secrets)))?;
    found.ok_or_else(|| missing(plan, chain))
}

pub(crate) fn missing(plan: &PlanId, chain: Id) -> EngineError {
    EngineError::Damaged {
        volume: "all volumes of the chain".into(),
        key: object_key::chain_key(plan, &chain, 1),
        offset: 0,
        detail: "the chain key is missing".into(),
    }
}

fn read(
    repository: &Repository,
    verifier: &Verifier,
    (plan, chain): (&PlanId, Id),
    number: u32,
) -> Result<Option<ChainKey>, EngineError> {
    let key = object_key::chain_key(plan, &chain, number);
    repository.rereads().reread_damage(|| {
        let bytes = find_object(repository.store().as_ref(), &key, DOCUMENT_BYTES_MAX)?;
        let Some(bytes) = bytes else { return Ok(None) };
        let signed =
            Signed::<ChainKeyDocument>::decode_at(&key, &bytes).map_err(EngineError::object(&key))?;
        verifier.verify(&signed).map_err(EngineError::object(&key))?;
        let certified_by = signed.seal.certificate.map_or(0, |certificate| certificate.generation);
        Ok(Some(ChainKey { number, certified_by, document: signed.payload }))
    })
}

fn listed(repository: &Repository, plan: &PlanId, chain: Id) -> Result<BTreeSet<u32>, EngineError> {
    let mut numbers = BTreeSet::new();
    for_each_object(repository, &object_key::chain_keys_prefix(plan, &chain), |object| {
        if let Ok((_, _, DataObject::ChainKey(number))) = object_key::parse_data(object.key.as_str()) {
            numbers.insert(number);
        }
        if numbers.len() > KEYS_MAX {
            numbers.pop_last();
        }
    })?;
    Ok(numbers)
}
