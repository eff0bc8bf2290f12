//! Signed documents as the engine reads and writes them, each at its key.
//!
//! Who can only write must not be able to destroy: a record that is not signed rightly, or lies under another key, is reported and counts for
//! nothing. Without a key nobody's signature can be told; then only digests are held to what they are of.

use coffer_format::{Document, Ending, Id, Label, PlanId, Signed, Signer, object_key};
use coffer_store::StoreError;

use crate::repository::{DOCUMENT_BYTES_MAX, find_object, store_key};
use crate::{Access, EngineError, Repository};

/// The document that `bytes`, read from `key`, hold, if its seal is right as far as the caller's key can tell.
pub(crate) fn decode<T: Document>(
    repository: &Repository,
    key: &str,
    bytes: &[u8],
) -> Result<Signed<T>, EngineError> {
    let wrong = || EngineError::object(key);
    let signed = Signed::<T>::decode_at(key, bytes).map_err(wrong())?;
    repository.verifier_of(signed.payload.team()).verify(&signed).map_err(wrong())?;
    Ok(signed)
}

/// The small record under `key`; an error where something else lies there.
pub(crate) fn read<T: Document>(
    repository: &Repository,
    key: &str,
) -> Result<Option<Signed<T>>, EngineError> {
    repository.rereads().reread_damage(|| {
        let bytes = find_object(repository.store().as_ref(), key, DOCUMENT_BYTES_MAX)?;
        bytes.map(|bytes| decode(repository, key, &bytes)).transpose()
    })
}

/// The small record under `key`, if it is one that counts; anything else there is reported once, and is as if it were not there.
pub(crate) fn find<T: Document>(repository: &Repository, key: &str) -> Result<Option<T>, EngineError> {
    match read(repository, key) {
        Ok(signed) => Ok(signed.map(|signed| signed.payload)),
        Err(error) if is_bad_object(&error) => {
            repository.set_aside().report(key, &error);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Whether the error says that an object is not what belongs there, whoever put it.
pub(crate) fn is_bad_object(error: &EngineError) -> bool {
    matches!(error, EngineError::Object { .. } | EngineError::Store(StoreError::TooLarge { .. }))
}

/// Signs and stores a record.
pub(crate) fn put<T: Document>(repository: &Repository, key: &str, record: &T) -> Result<(), EngineError> {
    let signed = repository.signer(record.team())?.sign(record);
    repository.store().put(&store_key(key)?, signed.encode().into())?;
    Ok(())
}

/// Whether the end of an id was announced. Such a record is never deleted.
pub(crate) fn is_ending(repository: &Repository, team: &Label, id: &Id) -> Result<bool, EngineError> {
    Ok(find::<Ending>(repository, &object_key::ending(team, id))?.is_some())
}

/// What came of an announcement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announced {
    /// It stands.
    Yes,
    /// Something that is not ours lies in its place, so that nobody can be told.
    PlaceTaken,
}

/// Announces the end of an id (rules `forget_announces`, `ending_before_reread`). The record is never deleted.
///
/// Without a key it cannot be signed; then it has a name of its own, which only makes prune read again.
pub(crate) fn announce(
    repository: &Repository,
    plan: &PlanId,
    point: Id,
    run: Id,
) -> Result<Announced, EngineError> {
    let key = object_key::ending(&plan.team, &point);
    if find::<Ending>(repository, &key)?.is_some() {
        return Ok(Announced::Yes);
    }
    let PlanId { team, cluster, namespace, plan } = plan.clone();
    let (format, time) = (1, repository.environment().clock.now());
    let ending =
        Ending { format, repository: repository.id(), team, cluster, namespace, plan, point, run, time };
    if matches!(repository.access(), Access::Locked) {
        return announce_unsigned(repository, &ending);
    }
    match put(repository, &key, &ending) {
        Ok(()) => Ok(Announced::Yes),
        // Another run announced the same id, which is as good; or what lies there is not ours.
        Err(EngineError::Store(StoreError::Exists { .. })) => Ok(match find::<Ending>(repository, &key)? {
            Some(_) => Announced::Yes,
            None => Announced::PlaceTaken,
        }),
        Err(error) => Err(error),
    }
}

fn announce_unsigned(repository: &Repository, ending: &Ending) -> Result<Announced, EngineError> {
    let key = store_key(&object_key::unsigned_ending(&ending.team, &ending.point))?;
    match repository.store().put(&key, Signer::None.sign(ending).encode().into()) {
        Ok(_) | Err(StoreError::Exists { .. }) => Ok(Announced::Yes),
        Err(error) => Err(error.into()),
    }
}

/// Whether anything says that the end of an id was announced, signed or not: reason enough to look once more, and for nothing else.
pub(crate) fn may_be_ending(repository: &Repository, team: &Label, id: &Id) -> Result<bool, EngineError> {
    let store = repository.store();
    Ok(store.exists(&store_key(&object_key::ending(team, id))?)?
        || store.exists(&store_key(&object_key::unsigned_ending(team, id))?)?)
}
