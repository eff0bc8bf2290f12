//! A chain that a run writes into: opened with a key pair of its own, or continued.

use bytes::Bytes;
use coffer_format::{
    ChainKeyDocument, ChainPublicKey, Id, ObjectContext, PlanId, Recipient, TeamSecrets, generate_chain_pair,
    object_key, seal_chain_key,
};

use crate::chain_keys::{self, WritableChain};
use crate::repository::store_key;
use crate::{EngineError, Repository};

/// A chain that a run writes into.
#[derive(Debug)]
pub(crate) struct OpenChain {
    pub(crate) id: Id,
    /// Pack keys are sealed to it; `None` where nothing is encrypted.
    pub(crate) public: Option<ChainPublicKey>,
    /// For its maps, trailers and hashes.
    pub(crate) secrets: TeamSecrets,
}

/// Opens a chain: makes its key pair, seals the private half to the newest recovery key, and forgets it.
pub(crate) fn new_chain(repository: &Repository, plan: &PlanId, run: Id) -> Result<OpenChain, EngineError> {
    let secrets = repository.new_chain_secrets(&plan.team)?;
    if !repository.is_encrypted() {
        return Ok(OpenChain { id: run, public: None, secrets });
    }
    let newest = repository.newest_key()?;
    let environment = repository.environment();
    let (private, public) = generate_chain_pair(environment.entropy32()?);
    let key = object_key::chain_key(plan, &run, 1);
    let context = ObjectContext::new(&repository.id(), &key);
    let sealed = seal_chain_key(&private, &newest.x25519, &context, environment.entropy32()?)
        .map_err(EngineError::Limit)?;
    drop(private);
    let document = ChainKeyDocument {
        format: 1,
        repository: repository.id(),
        team: plan.team.clone(),
        cluster: plan.cluster.clone(),
        namespace: plan.namespace.clone(),
        plan: plan.plan.clone(),
        chain: run,
        secrets: newest.secrets,
        public,
        recipients: vec![Recipient { generation: newest.generation, x25519: newest.x25519, sealed }],
    };
    let signed = repository.signer(&plan.team)?.sign(&document);
    let bytes = signed.encode();
    repository.store().put(&store_key(&key)?, Bytes::from(bytes))?;
    // Rule chain_key_looks_for_newer: a rotation seals anew what it finds after its statement stood; what came later it may not have seen. Such
    // a chain is never used; prune removes its key.
    check_generation(repository, run)?;
    Ok(OpenChain { id: run, public: Some(public), secrets })
}

/// What a signed manifest's chain needs to be continued; `None` where the newest generation cannot be sure to open it, or would not read
/// its metadata with the newest secrets.
pub(crate) fn continue_chain(
    repository: &Repository,
    plan: &PlanId,
    chain: Id,
) -> Result<Option<OpenChain>, EngineError> {
    if !repository.is_encrypted() {
        let secrets = repository.new_chain_secrets(&plan.team)?;
        return Ok(Some(OpenChain { id: chain, public: None, secrets }));
    }
    // Rule continues_sealed_to_newest.
    let Some(WritableChain { public, secrets }) = chain_keys::writable(repository, plan, chain)? else {
        return Ok(None);
    };
    if repository.chain_secrets_generation(plan, chain)? != secrets {
        return Ok(None);
    }
    Ok(Some(OpenChain { id: chain, public: Some(public), secrets: repository.chain_secrets(plan, chain)? }))
}

/// Fenced, if the team's key was rotated since the repository was opened.
pub(super) fn check_generation(repository: &Repository, run: Id) -> Result<(), EngineError> {
    let Some(newer) = repository.newer_generation()? else { return Ok(()) };
    let reason = format!(
        "the team's key was rotated; this key was replaced by generation {newer}: use a writer key made from the new recovery key"
    );
    Err(EngineError::Fenced { run, reason })
}
