//! The commit of a point: one object, the manifest, makes a backup exist.
//!
//! # Problem
//! The store has no transactions, and a LIST may hide what is there. Backups, forget, prune and a rotation of the key run at the same time, on
//! machines that do not know each other and whose clocks differ. A point that was reported must restore for as long as nobody forgets it.
//!
//! # Order
//! 1. Packs and maps are stored; each upload is complete before the next step (`manifest_last`).
//! 2. The manifest is put under a name that is used once, and read back. A store that returns other bytes is not trusted.
//! 3. Three checks by exact key: no `ending` record of the run itself, its parent, or a run whose packs it reuses; the parent's manifest stands;
//!    no newer generation of the team's key.
//! 4. The `confirmed` record is put (`confirm_after_checks`). From here on the point counts.
//! 5. The run's own `ending` record is looked for once more (`check_own_ending_again`). Only now is success reported (`report_last`).
//!
//! # Races
//! - Prune puts `ending` before it reads the manifests for the last time. Either prune reads this manifest and keeps what it names, or step 3
//!   finds the record: whoever writes first is seen by whoever reads later.
//! - Forget of an unconfirmed point puts `ending` and then looks for `confirmed`; step 5 is the other half of that pair.
//! - A rotation lists the points that stand after its statement does; what it missed finds the statement in step 3.
//!
//! # Failures
//! After an error the point may stand or not. It counts only if it is confirmed. A run that was fenced is repeated as a whole; the next run
//! reuses its packs. The rules carry their names in the model (`coffer-sim`), which drops each of them and shows the loss.

use bytes::Bytes;
use coffer_format::{
    Attributes, Confirmed, Id, Manifest, PointState, PointType, ResourceRecord, Signed, VolumeRecord,
    VolumeState, object_key,
};

use super::open_chain::check_generation;
use super::point::{OpenPoint, PointReference, PointRequest};
use super::records::Collected;
use crate::catalog::decode_manifest;
use crate::records::{self, is_ending};
use crate::repository::{MANIFEST_BYTES_MAX, read_object, store_key};
use crate::{EngineError, Repository};

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
        state: point_state(&records, &request.resources),
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
        resources: request.resources.clone(),
    }
}

fn point_state(volumes: &[Signed<VolumeRecord>], resources: &[ResourceRecord]) -> PointState {
    let volumes = volumes.iter().map(|volume| volume.payload.state);
    let mut states = volumes.chain(resources.iter().map(|resource| resource.state));
    let failed = states.any(|state| state == VolumeState::Failed);
    if failed { PointState::Partial } else { PointState::Available }
}
