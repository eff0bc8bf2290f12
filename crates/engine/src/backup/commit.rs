//! The commit of a point, and the chain key that opens a chain.
//!
//! Order is everything here: packs and maps are stored before the manifest (`manifest_last`), and success is reported only after
//! the manifest was read back and the three checks passed.

use std::collections::BTreeSet;

use bytes::Bytes;
use coffer_format::{
    Attributes, ChainKeyDocument, ChainPublicKey, Id, Label, Manifest, ObjectContext, PlanId, PointState,
    PointType, Recipient, Signed, VolumeRecord, VolumeState, generate_chain_pair, object_key, seal_chain_key,
};

use super::point::{OpenPoint, PointRequest, PointTicket};
use super::records::Gathered;
use crate::catalog::decode_manifest;
use crate::repository::{DOCUMENT_BYTES_MAX, MANIFEST_BYTES_MAX, find_object, read_object, store_key};
use crate::{EngineError, Repository};

/// A chain that a run writes into.
pub(crate) struct OpenChain {
    pub(crate) id: Id,
    /// Pack keys are sealed to it; `None` where nothing is encrypted.
    pub(crate) public: Option<ChainPublicKey>,
}

/// Opens a chain: makes its key pair, seals the private half to the recovery key, and forgets it.
pub(crate) fn new_chain(repository: &Repository, plan: &PlanId, run: Id) -> Result<OpenChain, EngineError> {
    let Some((generation, recipient)) = repository.recipient() else {
        return Ok(OpenChain { id: run, public: None });
    };
    let environment = repository.environment();
    let (private, public) = generate_chain_pair(environment.entropy32()?);
    let key = object_key::chain_key(plan, &run, 1);
    let context = ObjectContext::new(&repository.id(), &key);
    let sealed = seal_chain_key(&private, &recipient, &context, environment.entropy32()?)
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
        public,
        recipients: vec![Recipient { generation, x25519: recipient, sealed }],
    };
    let signed = repository.signer(&plan.team)?.sign(&document);
    let bytes = signed.encode();
    repository.store().put(&store_key(&key)?, Bytes::from(bytes))?;
    Ok(OpenChain { id: run, public: Some(public) })
}

/// Reads the public key of a chain that a signed manifest names.
pub(crate) fn continue_chain(
    repository: &Repository,
    plan: &PlanId,
    chain: Id,
) -> Result<OpenChain, EngineError> {
    if !repository.is_encrypted() {
        return Ok(OpenChain { id: chain, public: None });
    }
    let document = read_chain_key(repository, plan, chain, 1)?;
    Ok(OpenChain { id: chain, public: Some(document.public) })
}

/// Reads and checks `keys/<n>` of a chain. A missing one is damage: the manifest that led here names it.
pub(crate) fn read_chain_key(
    repository: &Repository,
    plan: &PlanId,
    chain: Id,
    number: u32,
) -> Result<ChainKeyDocument, EngineError> {
    repository.looks().twice(|| read_chain_key_once(repository, plan, chain, number))
}

fn read_chain_key_once(
    repository: &Repository,
    plan: &PlanId,
    chain: Id,
    number: u32,
) -> Result<ChainKeyDocument, EngineError> {
    let key = object_key::chain_key(plan, &chain, number);
    let damaged = |detail: &str| EngineError::Damaged {
        volume: "all volumes of the chain".into(),
        key: key.clone(),
        offset: 0,
        detail: detail.into(),
    };
    let bytes = find_object(repository.store().as_ref(), &key, DOCUMENT_BYTES_MAX)?;
    let bytes = bytes.ok_or_else(|| damaged("the chain key is missing"))?;
    let signed = Signed::<ChainKeyDocument>::decode_at(&key, &bytes).map_err(EngineError::object(&key))?;
    repository.verifier().verify(&signed).map_err(EngineError::object(&key))?;
    let document = signed.payload;
    let belongs = document.repository == repository.id()
        && document.team == plan.team
        && document.cluster == plan.cluster
        && document.namespace == plan.namespace
        && document.plan == plan.plan
        && document.chain == chain;
    if belongs { Ok(document) } else { Err(damaged("the chain key belongs to another chain")) }
}

/// Writes the manifest and makes sure that the point stands.
pub(super) fn commit(
    repository: &Repository,
    request: &PointRequest,
    point: &OpenPoint,
    gathered: Gathered,
) -> Result<Manifest, EngineError> {
    let manifest = build_manifest(repository, request, point, gathered);
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
    let confirmed = object_key::confirmed(&point.plan_id(), &point.point, &point.summary());
    store.put(&store_key(&confirmed)?, Bytes::new())?;
    Ok(signed.payload)
}

/// Whether the end of an id was announced. Such a record is never deleted.
pub(super) fn is_ending(repository: &Repository, team: &Label, id: &Id) -> Result<bool, EngineError> {
    Ok(repository.store().exists(&store_key(&object_key::ending(team, id))?)?)
}

/// Rules `check_own_ending`, `check_parent`, `parent_by_ending`, `check_taken_ending`: a run that prune has ended, or whose base is gone, is no
/// success.
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
    for id in &manifest.taken_over {
        if ending(id)? {
            return Err(fenced(format!(
                "prune ended run {id}, of which it had taken over packs or the chain"
            )));
        }
    }
    Ok(())
}

fn build_manifest(
    repository: &Repository,
    request: &PointRequest,
    point: &OpenPoint,
    gathered: Gathered,
) -> Manifest {
    let Gathered { records, taken_over, .. } = gathered;
    // Figures that others signed must not bring the commit down.
    let sum = |field: fn(&VolumeRecord) -> u64| {
        records.iter().map(|volume| field(&volume.payload)).fold(0, u64::saturating_add)
    };
    let PointTicket { plan, point: id, chain, parent } = point.ticket.clone();
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
        taken_over: taken_over.into_iter().collect(),
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
    let mut damaged = BTreeSet::new();
    let points: BTreeSet<Id> = record.lineage.iter().map(|entry| entry.point).collect();
    for object in coffer_store::list_all(repository.store().as_ref(), &object_key::damaged_prefix(team))? {
        let key = object.key.as_str();
        let (_, point, volume, number, _) =
            object_key::parse_damaged(key).map_err(EngineError::object(key))?;
        if points.contains(&point) && volume == record.name {
            damaged.insert((point, number));
        }
    }
    Ok(damaged)
}
