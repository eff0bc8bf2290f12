//! What must agree within a manifest. Nothing here trusts the writer: a signed mistake is still a mistake.

use std::collections::HashSet;

use super::resource::RESOURCES_MAX;
use super::{
    Document, MANIFEST_LEN_MAX, Manifest, Signed, SignedBy, VolumeRecord, VolumeState, check_format,
};
use crate::error::{check, check_range};
use crate::summary::VOLUMES_MAX;
use crate::{FormatError, Id, Label, PointState, PointType, RepositoryId, VolumeName};

const WHAT: &str = Manifest::KIND;

impl Manifest {
    /// An error unless its values agree with each other and keep the limits.
    pub fn check(&self) -> Result<(), FormatError> {
        check_manifest(self)
    }
}

impl Document for Manifest {
    type Nested = VolumeRecord;

    const KIND: &'static str = "manifest";
    const SIGNED_BY: SignedBy = SignedBy::NewestOrListed;
    const LEN_MAX: usize = MANIFEST_LEN_MAX;

    fn repository(&self) -> &RepositoryId {
        &self.repository
    }

    fn team(&self) -> &Label {
        &self.team
    }

    fn check_key(&self, key: &str) -> Result<(), FormatError> {
        crate::error::check(key == self.key(), Self::KIND, "belongs under another key")
    }

    fn nested(&self) -> &[Signed<VolumeRecord>] {
        &self.volumes
    }

    fn check(&self) -> Result<(), FormatError> {
        check_manifest(self)
    }
}

fn check_manifest(manifest: &Manifest) -> Result<(), FormatError> {
    check_format(WHAT, manifest.format)?;
    check(manifest.point_type == manifest.reason.0.point_type(), WHAT, "type and reason disagree")?;
    check_parent(manifest)?;
    check_taken_over(manifest)?;
    check_range(WHAT, "number of volumes", manifest.volumes.len() as u64, 0, VOLUMES_MAX as u64)?;
    let names: HashSet<&VolumeName> = manifest.volume_records().map(|record| &record.name).collect();
    check(names.len() == manifest.volumes.len(), WHAT, "two volumes have one name")?;
    for record in manifest.volume_records() {
        record.check()?;
        check_record(manifest, record)?;
    }
    check_resources(manifest)?;
    let mut states = manifest
        .volume_records()
        .map(|record| record.state)
        .chain(manifest.resources.iter().map(|resource| resource.state));
    let failed = states.any(|state| state == VolumeState::Failed);
    check(
        failed == (manifest.state == PointState::Partial),
        WHAT,
        "state and states of volumes and resources disagree",
    )
}

fn check_parent(manifest: &Manifest) -> Result<(), FormatError> {
    let Some(parent) = &manifest.parent else {
        return check(manifest.point_type == PointType::Full, WHAT, "an incremental has no parent");
    };
    check(*parent != manifest.point, WHAT, "it is its own parent")
}

fn check_taken_over(manifest: &Manifest) -> Result<(), FormatError> {
    let distinct: HashSet<&Id> = manifest.reused_runs.iter().collect();
    check(distinct.len() == manifest.reused_runs.len(), WHAT, "a run is taken over twice")?;
    check(!distinct.contains(&manifest.point), WHAT, "it takes itself over")
}

fn check_record(manifest: &Manifest, record: &VolumeRecord) -> Result<(), FormatError> {
    let place = (&record.repository, &record.team, &record.cluster, &record.namespace, &record.plan);
    let own = (&manifest.repository, &manifest.team, &manifest.cluster, &manifest.namespace, &manifest.plan);
    check(place == own, WHAT, "a volume record is of another plan")?;
    let point = (record.chain, record.point) == (manifest.chain, manifest.point);
    check(point, WHAT, "a volume record is of another point")
}

/// What must hold of the resources of a manifest, beside each of them.
fn check_resources(manifest: &Manifest) -> Result<(), FormatError> {
    check_range(WHAT, "number of resources", manifest.resources.len() as u64, 0, RESOURCES_MAX as u64)?;
    let mut references = HashSet::new();
    let mut volumes = HashSet::new();
    for resource in &manifest.resources {
        resource.check()?;
        check(references.insert(&resource.reference), WHAT, "a resource stands twice in a point")?;
        let Some(volume) = &resource.volume else { continue };
        let known = manifest.volume_records().any(|record| record.name == *volume);
        check(known, WHAT, "a resource has its data in a volume that is not in the point")?;
        check(volumes.insert(volume), WHAT, "two resources have their data in one volume")?;
    }
    Ok(())
}
