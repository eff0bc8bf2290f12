//! The commit of a point, and the chain key that opens a chain.
//!
//! Order is everything here: packs and maps are stored before the manifest (`manifest_last`), and success is reported only after
//! the manifest was read back and the three checks passed.

use std::collections::BTreeSet;

use bytes::Bytes;
use coffer_format::{
    Attributes, ChainKeyDocument, ChainPublicKey, Confirmed, Damaged, Id, Label, Manifest, ObjectContext,
    PlanId, PointState, PointType, Recipient, Signed, TeamSecrets, VolumeName, VolumeRecord, VolumeState,
    generate_chain_pair, object_key, seal_chain_key,
};

use super::point::{OpenPoint, PointReference, PointRequest};
use super::records::Collected;
use crate::catalog::decode_manifest;
use crate::chain_keys::{self, WritableChain};
use crate::records::{self, is_ending};
use crate::repository::{MANIFEST_BYTES_MAX, read_object, store_key};
use crate::walk::walk;
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

/// What a signed manifest's chain needs to be gone on with; `None` where the newest generation cannot be sure to open it, or would not read
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
fn check_generation(repository: &Repository, run: Id) -> Result<(), EngineError> {
    let Some(newer) = repository.newer_generation()? else { return Ok(()) };
    let reason = format!(
        "the team's key was rotated; this key was replaced by generation {newer}: use a writer key made from the new recovery key"
    );
    Err(EngineError::Fenced { run, reason })
}

/// Writes the manifest and makes sure that the point stands.
pub(super) fn commit(
    repository: &Repository,
    request: &PointRequest,
    point: &OpenPoint,
    collected: Collected,
) -> Result<Manifest, EngineError> {
    let manifest = build_manifest(repository, request, point, collected);
    manifest.check().map_err(EngineError::Limit)?;
    let key = manifest.key();
    let signed = repository.signer(&manifest.team)?.sign(&manifest);
    let bytes = Bytes::from(signed.encode());
    repository.environment().cancel.check()?;
    let store = repository.store().as_ref();
    // Rule manifest_last: everything that it names was stored before.
    store.put(&store_key(&key)?, bytes.clone())?;
    let read_back = read_object(store, &key, MANIFEST_BYTES_MAX)?;
    if read_back != bytes {
        return Err(EngineError::Damaged {
            volume: "the whole point".into(),
            key,
            offset: 0,
            detail: "the manifest read back differs from the one written; do not trust this store".into(),
        });
    }
    decode_manifest(repository, &key, &read_back)?;
    checks(repository, &signed.payload)?;
    // Rules confirm_after_checks and report_last: from here on the point counts, and only now is it reported.
    let point = &signed.payload;
    let confirmed = Confirmed {
        format: 1,
        repository: repository.id(),
        team: point.team.clone(),
        cluster: point.cluster.clone(),
        namespace: point.namespace.clone(),
        plan: point.plan.clone(),
        point: point.point,
        summary: point.summary().encode(),
        manifest: signed.seal.digest,
    };
    records::put(repository, &confirmed.key(), &confirmed)?;
    // Rule check_own_ending_again: a forget that took it for unfinished announces first and looks for the record then, so one of both sees
    // the other.
    if is_ending(repository, &point.team, &point.point)? {
        let reason = "it was given up while it was being confirmed".into();
        return Err(EngineError::Fenced { run: point.point, reason });
    }
    Ok(signed.payload)
}

/// Rules `check_own_ending`, `check_parent`, `parent_by_ending`, `check_taken_ending`, `commit_looks_for_newer`: a run that prune has ended,
/// whose base is gone, or whose key was replaced, is no success.
fn checks(repository: &Repository, manifest: &Manifest) -> Result<(), EngineError> {
    let fenced = |reason: String| EngineError::Fenced { run: manifest.point, reason };
    let ending = |id: &Id| is_ending(repository, &manifest.team, id);
    if ending(&manifest.point)? {
        return Err(fenced("prune ended it while it was running".into()));
    }
    if let Some(parent) = &manifest.parent {
        // The manifest alone proves nothing: a late duplicate of its PUT can bring it back. The `ending` record stays.
        let manifest_key = store_key(&object_key::manifest(&manifest.plan_id(), parent))?;
        if ending(parent)? || !repository.store().exists(&manifest_key)? {
            return Err(fenced(format!("its parent {parent} was forgotten while it was running")));
        }
    }
    for id in &manifest.reused_runs {
        if ending(id)? {
            return Err(fenced(format!(
                "prune ended run {id}, of which it had taken over packs or the chain"
            )));
        }
    }
    // Rule commit_looks_for_newer: a rotation lists the points that stand after its statement does; it may have missed this one.
    check_generation(repository, manifest.point)
}

fn build_manifest(
    repository: &Repository,
    request: &PointRequest,
    point: &OpenPoint,
    collected: Collected,
) -> Manifest {
    let Collected { records, reused_runs, .. } = collected;
    // Figures that others signed must not bring the commit down.
    let sum = |field: fn(&VolumeRecord) -> u64| {
        records.iter().map(|volume| field(&volume.payload)).fold(0, u64::saturating_add)
    };
    let PointReference { plan, point: id, chain, parent } = point.reference.clone();
    Manifest {
        format: 1,
        repository: repository.id(),
        team: plan.team,
        cluster: plan.cluster,
        namespace: plan.namespace,
        plan: plan.plan,
        chain,
        point: id,
        sequence: point.sequence,
        parent,
        state: point_state(&records),
        point_type: if parent.is_some() { PointType::Incremental } else { PointType::Full },
        reason: point.reason.into(),
        time: point.time,
        started: point.started,
        completed: repository.environment().clock.now().max(point.started),
        size: sum(|record| record.size),
        changed: sum(|record| record.changed),
        stored: sum(|record| record.stored),
        reused_runs: reused_runs.into_iter().collect(),
        idempotency_key: request.idempotency_key.clone(),
        description: request.description.clone(),
        tags: request.tags.clone(),
        writer: request.writer.clone(),
        attributes: Attributes::default(),
        volumes: records,
    }
}

fn point_state(volumes: &[Signed<VolumeRecord>]) -> PointState {
    let failed = volumes.iter().any(|volume| volume.payload.state == VolumeState::Failed);
    if failed { PointState::Partial } else { PointState::Available }
}

/// Packs of a volume's lineage in which verify found damage: (point that wrote it, number).
pub(crate) fn damaged_packs(
    repository: &Repository,
    team: &Label,
    record: &VolumeRecord,
) -> Result<BTreeSet<(Id, u32)>, EngineError> {
    let points: BTreeSet<Id> = record.lineage.iter().map(|entry| entry.point).collect();
    let prefix = object_key::damaged_prefix(team);
    let is_of = |point: &Id, volume: &VolumeName| points.contains(point) && *volume == record.name;
    read_damaged(repository, &prefix, is_of)
}

/// Packs that records below `prefix` call damaged, of those that are asked for. What is no record of ours calls nothing damaged.
pub(crate) fn read_damaged(
    repository: &Repository,
    prefix: &str,
    is_wanted: impl Fn(&Id, &VolumeName) -> bool,
) -> Result<BTreeSet<(Id, u32)>, EngineError> {
    let mut notes = Vec::new();
    walk(repository, prefix, object_key::parse_damaged, |(_, point, volume, number, _), object| {
        if is_wanted(&point, &volume) {
            notes.push((point, number, object.key.as_str().to_owned()));
        }
    })?;
    let mut damaged = BTreeSet::new();
    for (point, number, key) in notes {
        if !damaged.contains(&(point, number)) && records::find::<Damaged>(repository, &key)?.is_some() {
            damaged.insert((point, number));
        }
    }
    Ok(damaged)
}
