//! Artefacts of points that went: what plugins still have to delete. Forget and prune put one before a manifest goes; it goes when all of it is
//! deleted.

use serde::{Deserialize, Serialize};

use super::record::{plan_of_record, record_document};
use super::resource::RESOURCES_MAX;
use super::{Document, ResourceRecord, check_format};
use crate::error::{check, check_range};
use crate::object_key;
use crate::{FormatError, Id, Label, PlanId, RepositoryId};

/// Resources of a point whose manifest is about to go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artefacts {
    /// Version of the format: 1.
    pub format: u32,
    /// Repository.
    pub repository: RepositoryId,
    /// Team.
    pub team: Label,
    /// Cluster.
    pub cluster: Label,
    /// Namespace.
    pub namespace: Label,
    /// Plan.
    pub plan: Label,
    /// The point.
    pub point: Id,
    /// The forget or prune run.
    pub run: Id,
    /// The resources that have artefacts, as the manifest had them; at least one.
    pub resources: Vec<ResourceRecord>,
}

record_document!(Artefacts, "artefacts");
plan_of_record!(Artefacts);

impl Artefacts {
    /// The key it belongs under.
    #[must_use]
    pub fn key(&self) -> String {
        object_key::artefacts(&self.team, &self.point, &self.run)
    }

    fn check_values(&self) -> Result<(), FormatError> {
        let count = self.resources.len() as u64;
        check_range(Self::KIND, "number of resources", count, 1, RESOURCES_MAX as u64)?;
        self.resources.iter().try_for_each(ResourceRecord::check)
    }
}
