//! Reads stored objects and their parts for `cat` and `key check`.

use coffer_engine::{EngineError, Repository};
use coffer_format::{FormatError, Id, Manifest, PlanId, Signed, TeamSecrets};
use coffer_store::Key;

/// No document but a manifest is longer, bytes.
pub(crate) const DOCUMENT_LEN_MAX: u64 = 16 << 20;
/// No manifest is longer, bytes.
const MANIFEST_LEN_MAX: u64 = 64 << 20;

/// A whole small object.
pub(crate) fn read_object(repository: &Repository, key: &str, len_max: u64) -> Result<Vec<u8>, EngineError> {
    Ok(repository.store().get(&Key::new(key)?, len_max)?)
}

/// A range of an object.
pub(super) fn read_range(
    repository: &Repository,
    key: &str,
    offset: u64,
    len: usize,
) -> Result<Vec<u8>, EngineError> {
    let mut bytes = vec![0; len];
    repository.store().get_range(&Key::new(key)?, offset, &mut bytes)?;
    Ok(bytes)
}

/// Length of an object.
pub(super) fn object_len(repository: &Repository, key: &str) -> Result<u64, EngineError> {
    Ok(repository.store().head(&Key::new(key)?)?.len)
}

/// A manifest, and whether its signature was checked and not only its digest.
pub(super) fn read_manifest(
    repository: &Repository,
    key: &str,
) -> Result<(Signed<Manifest>, bool), EngineError> {
    let bytes = read_object(repository, key, MANIFEST_LEN_MAX)?;
    let wrong = |source| damaged(key, source);
    let manifest = Signed::<Manifest>::decode_at(key, &bytes).map_err(wrong)?;
    let own_team = repository.team() == Some(&manifest.payload.team);
    repository.verifier_of(&manifest.payload.team).verify(&manifest).map_err(wrong)?;
    Ok((manifest, own_team))
}

/// The secrets that open maps and trailers of a chain; `None` where no key was given.
pub(super) fn metadata_secrets(
    repository: &Repository,
    plan: &PlanId,
    chain: Id,
) -> Result<Option<TeamSecrets>, EngineError> {
    match repository.access() {
        coffer_engine::Access::Locked => Ok(None),
        _ => repository.chain_secrets(plan, chain).map(Some),
    }
}

/// An object that does not hold what it should.
pub(super) fn damaged(key: &str, source: FormatError) -> EngineError {
    EngineError::Object { key: key.to_owned(), source }
}
