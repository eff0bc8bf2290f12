//! What a verification notes.

use std::collections::BTreeSet;

use coffer_format::{Digest, Id, Manifest, PlanId, Signed, object_key};

use super::report::VerifyReport;
use crate::EngineError;
use crate::catalog::Filter;

/// What is kept of a manifest while others are read.
pub(crate) struct Note {
    pub(super) plan: PlanId,
    pub(crate) point: Id,
    pub(super) chain: Id,
    pub(super) parent: Option<Id>,
    /// Points whose maps it names, itself not among them.
    pub(super) ancestors: BTreeSet<Id>,
    /// Where its confirmation belongs, and what that must say.
    pub(super) confirmed_key: String,
    pub(super) digest: Digest,
    pub(super) void: bool,
    /// Whether the filter means it.
    pub(super) is_meant: bool,
}

impl Note {
    pub(super) fn new(signed: &Signed<Manifest>, filter: &Filter) -> Note {
        let manifest = &signed.payload;
        let lineages = manifest.volume_records().flat_map(|record| &record.lineage);
        let with_map = lineages.filter(|entry| entry.names_map()).map(|entry| entry.point);
        Note {
            plan: manifest.plan_id(),
            point: manifest.point,
            chain: manifest.chain,
            parent: manifest.parent,
            ancestors: with_map.chain(manifest.parent).filter(|point| *point != manifest.point).collect(),
            confirmed_key: object_key::confirmed(&manifest.plan_id(), &manifest.point, &manifest.summary()),
            digest: signed.seal.digest,
            void: false,
            is_meant: matches_manifest(filter, manifest),
        }
    }

    pub(super) fn counts(&self) -> bool {
        self.is_meant && !self.void
    }
}

/// Turns damage into a problem; other errors end the verification.
pub(crate) fn keep_damage(
    report: &mut VerifyReport,
    kind: &'static str,
    key: String,
    error: EngineError,
    points: &[Id],
) -> Result<(), EngineError> {
    match error {
        EngineError::Object { .. }
        | EngineError::Damaged { .. }
        | EngineError::Usage(_)
        | EngineError::Request(_) => {
            if !report.problems.iter().any(|problem| problem.key == key && problem.kind == kind) {
                report.problem(kind, key, error, points.iter().copied());
            }
            Ok(())
        }
        other => Err(other),
    }
}

pub(super) fn matches_manifest(filter: &Filter, manifest: &Manifest) -> bool {
    filter.point.is_none_or(|point| manifest.point == point)
        && filter.since.is_none_or(|since| manifest.time >= since)
        && filter.until.is_none_or(|until| manifest.time <= until)
        && filter.volume.as_ref().is_none_or(|name| manifest.volumes.iter().any(|v| v.payload.name == *name))
        && filter.tags.iter().all(|(key, value)| manifest.tags.get(key) == Some(value))
}

/// The key of the object that an error is about; otherwise that of the manifest.
pub(super) fn error_key(error: &EngineError, manifest: &Manifest) -> String {
    match error {
        EngineError::Object { key, .. } | EngineError::Damaged { key, .. } => key.clone(),
        _ => manifest.key(),
    }
}
