//! Volume records that came back from those who backed volumes up: held against the point, and put in its order.
//!
//! Records come over a wire from nodes that may be mistaken, late or taken over by somebody. A record counts if a writer of the team signed it
//! for this very point, and if all that it builds on is what the commit will check: the parent, and runs that the manifest names as reused.

use std::collections::{BTreeMap, BTreeSet};

use coffer_format::{
    FormatError, Id, LineageEntry, Manifest, ResourceRecord, Signed, VolumeName, VolumeRecord, VolumeState,
};

use super::point::PointReference;
use super::report::Written;
use super::volumes_done::{VolumesDone, failed_record};
use crate::{EngineError, Repository};

/// Said of a volume that nobody returned a record of.
const MISSING: &str = "no record of it came back from whoever was to back it up";
const WHAT: &str = "volume record";

/// All volumes of a point, in its order.
pub(super) struct Collected {
    pub(super) records: Vec<Signed<VolumeRecord>>,
    pub(super) reused_runs: BTreeSet<Id>,
    pub(super) written: Written,
}

/// What all records are held against.
pub(super) struct Wanted<'a> {
    pub(super) repository: &'a Repository,
    pub(super) reference: &'a PointReference,
    /// In the order of the manifest.
    pub(super) volumes: &'a [VolumeName],
    pub(super) parent: Option<&'a Manifest>,
}

impl Wanted<'_> {
    /// Checks all records; a volume without one gets a failed record.
    pub(super) fn collect_records(
        &self,
        parts: Vec<VolumesDone>,
        resources: &[ResourceRecord],
    ) -> Result<Collected, EngineError> {
        let mut written = Written::default();
        let mut reused_runs: BTreeSet<Id> = self.reference.adopted_chain().into_iter().collect();
        let mut found: BTreeMap<String, Signed<VolumeRecord>> = BTreeMap::new();
        let mut first_error = None;
        for part in parts {
            written.objects = written.objects.saturating_add(part.objects);
            written.bytes = written.bytes.saturating_add(part.bytes);
            written.resumed = written.resumed.saturating_add(part.resumed_bytes);
            first_error = first_error.or(part.error);
            for record in part.records {
                reused_runs.extend(self.check(&record)?);
                let name = record.payload.name.to_string();
                if found.insert(name.clone(), record).is_some() {
                    return Err(self.refused(format!("came with two records of volume {name}")));
                }
            }
        }
        let records = self.in_order(found)?;
        let mut states = records.iter().map(|record| record.payload.state);
        if states.any(|state| state == VolumeState::Available)
            || resources.iter().any(|resource| resource.state == VolumeState::Available)
        {
            return Ok(Collected { records, reused_runs, written });
        }
        match resources.first() {
            Some(resource) if records.is_empty() => Err(EngineError::Refused(format!(
                "no resource is in the point, so none was made; {}: {}",
                resource.reference,
                resource.error.as_deref().unwrap_or_default()
            ))),
            _ => Err(all_failed(first_error, &records)),
        }
    }

    fn in_order(
        &self,
        mut found: BTreeMap<String, Signed<VolumeRecord>>,
    ) -> Result<Vec<Signed<VolumeRecord>>, EngineError> {
        let signer = self.repository.signer(&self.reference.plan.team)?;
        let take = |name: &VolumeName| {
            found.remove(&name.to_string()).unwrap_or_else(|| {
                tracing::error!(point = %self.reference.point, volume = %name, "no record of a volume came back");
                signer.sign(&failed_record(self.repository, self.reference, name, MISSING.into()))
            })
        };
        let records = self.volumes.iter().map(take).collect();
        match found.into_keys().next() {
            None => Ok(records),
            Some(name) => {
                Err(self
                    .refused(format!("came with a record of volume {name}, which is none of its volumes")))
            }
        }
    }

    /// The incomplete runs that a record of this point names packs of, beyond what its parent names.
    fn check(&self, signed: &Signed<VolumeRecord>) -> Result<Vec<Id>, EngineError> {
        let record = &signed.payload;
        let wrong = |source| EngineError::Record { volume: record.name.to_string(), source };
        self.repository.verifier().verify(signed).map_err(wrong)?;
        coffer_format::Document::check(record).map_err(wrong)?;
        let reference = self.reference;
        same("plan", &record.plan_id(), &reference.plan).map_err(wrong)?;
        same("chain", &record.chain, &reference.chain).map_err(wrong)?;
        same("point", &record.point, &reference.point).map_err(wrong)?;
        self.new_lineage(record).map_err(wrong).map(taken_packs)
    }

    /// What a record's lineage holds beside the parent's: incomplete runs, and the point itself.
    fn new_lineage<'r>(&self, record: &'r VolumeRecord) -> Result<&'r [LineageEntry], FormatError> {
        let mut parents = self.parent.into_iter().flat_map(Manifest::volume_records);
        let parent = parents.find(|parent| parent.name == record.name);
        let base = parent.map_or(&[][..], |parent| parent.lineage.as_slice());
        let own = match record.lineage.strip_prefix(base) {
            Some(own) => own,
            // A volume whose map could not be built on begins anew.
            None => record.lineage.as_slice(),
        };
        let runs = own.split_last().map_or(&[][..], |(_, runs)| runs);
        if runs.iter().all(|entry| entry.taken.is_some()) {
            return Ok(own);
        }
        let detail = "it builds on points that the parent does not build on";
        Err(FormatError::Inconsistent { what: WHAT, detail })
    }

    fn refused(&self, detail: String) -> EngineError {
        EngineError::Refused(format!("point {} {detail}; nothing was committed", self.reference.point))
    }
}

fn taken_packs(lineage: &[LineageEntry]) -> Vec<Id> {
    let some = |entry: &&LineageEntry| entry.taken.as_ref().is_some_and(|taken| !taken.is_empty());
    lineage.iter().filter(some).map(|entry| entry.point).collect()
}

fn same<T: PartialEq + std::fmt::Display>(
    field: &'static str,
    found: &T,
    expected: &T,
) -> Result<(), FormatError> {
    if found == expected {
        return Ok(());
    }
    Err(FormatError::Foreign { what: WHAT, field, found: found.to_string(), expected: expected.to_string() })
}

/// What is told where no volume is in the point, so that there is none.
fn all_failed(first: Option<EngineError>, records: &[Signed<VolumeRecord>]) -> EngineError {
    let from_record = || {
        let record = records.first().map(|record| &record.payload);
        EngineError::SourceChanged {
            volume: record.map_or_else(String::new, |record| record.name.to_string()),
            detail: record.and_then(|record| record.error.clone()).unwrap_or_default(),
        }
    };
    EngineError::AllVolumesFailed(Box::new(first.unwrap_or_else(from_record)))
}
