//! Volumes that were backed up, or were not, for whoever commits their point.

use std::collections::BTreeSet;

use coffer_format::{
    Attributes, BlockSize, Id, PlanId, PointType, Signed, VolumeName, VolumeRecord, VolumeState,
};

use super::point::PointReference;
use super::volume::VolumeDone;
use crate::{EngineError, Repository};

/// Volumes that were backed up, for whoever commits their point.
///
/// It can be taken apart, sent ([`Signed::encode`] and [`Signed::decode`] make bytes of a record and check them again), and put together: the
/// commit believes nothing of it but what the seals vouch for.
#[derive(Debug, Default)]
pub struct VolumesDone {
    /// A signed record of each volume, of failed ones too.
    pub records: Vec<Signed<VolumeRecord>>,
    /// Unfinished runs of whose packs these volumes use some, for reports: the commit finds them in the records.
    pub reused_runs: BTreeSet<Id>,
    /// Objects that were written.
    pub objects: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Stored bytes of packs reused.
    pub resumed_bytes: u64,
    /// Why the first failed volume failed. It does not travel: the records tell it in words.
    pub error: Option<EngineError>,
}

impl VolumesDone {
    /// Volumes that nobody could back up, each with a failed record that says why; signed by whoever coordinates the point.
    ///
    /// # Errors
    /// Where the repository was opened without a key of the team that may sign.
    pub fn failed(
        repository: &Repository,
        reference: &PointReference,
        volumes: &[VolumeName],
        reason: &str,
    ) -> Result<VolumesDone, EngineError> {
        let signer = repository.signer(&reference.plan.team)?;
        let record = |name| signer.sign(&failed_record(repository, reference, name, reason.to_owned()));
        Ok(VolumesDone { records: volumes.iter().map(record).collect(), ..VolumesDone::default() })
    }

    pub(super) fn add(&mut self, done: &VolumeDone) {
        self.objects += done.objects;
        self.bytes += done.stored;
        for (run, taken) in done.taken.iter().filter(|(_, taken)| !taken.packs.is_empty()) {
            self.reused_runs.insert(*run);
            self.resumed_bytes += taken.bytes;
        }
    }
}

/// The record of a volume that is not in the point, and why.
pub(super) fn failed_record(
    repository: &Repository,
    reference: &PointReference,
    name: &VolumeName,
    error: String,
) -> VolumeRecord {
    let PlanId { team, cluster, namespace, plan } = reference.plan.clone();
    VolumeRecord {
        format: 1,
        repository: repository.id(),
        team,
        cluster,
        namespace,
        plan,
        chain: reference.chain,
        point: reference.point,
        name: name.clone(),
        kind: coffer_format::VolumeKind::Image,
        state: VolumeState::Failed,
        point_type: PointType::Full,
        type_reason: "the volume failed".into(),
        size: 0,
        block_size: BlockSize::default_for(0),
        lineage: Vec::new(),
        root: None,
        read: 0,
        changed: 0,
        blocks_changed: 0,
        stored: 0,
        metadata: 0,
        changes: coffer_format::ChangeSource::hash(),
        sampled_blocks: 0,
        sample_mismatches: 0,
        error: Some(error),
        warnings: Vec::new(),
        attributes: Attributes::default(),
    }
}
