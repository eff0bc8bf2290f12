//! One volume of one point being checked: what the checks of its map and of its packs share.

use std::collections::BTreeMap;

use coffer_format::{Id, Manifest, PlanId, VolumeRecord};

use super::report::VerifyRequest;
use crate::inventory::PlanObjects;
use crate::{EngineError, Repository, Resources};

/// One volume of one point being checked.
pub(super) struct VolumeCheck<'a> {
    pub(super) repository: &'a Repository,
    pub(super) resources: &'a Resources,
    pub(super) manifest: &'a Manifest,
    pub(super) record: &'a VolumeRecord,
    pub(super) listed: &'a BTreeMap<PlanId, PlanObjects>,
    pub(super) request: &'a VerifyRequest,
    pub(super) points: Vec<Id>,
}

impl VolumeCheck<'_> {
    pub(super) fn damaged(&self, key: &str, offset: u64, detail: &str) -> EngineError {
        let volume = self.record.name.to_string();
        EngineError::Damaged { volume, key: key.to_owned(), offset, detail: detail.to_owned() }
    }
}
