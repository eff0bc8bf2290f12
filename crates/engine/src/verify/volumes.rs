//! Volumes of all points of a team: which are checked, and with what.

use std::collections::BTreeMap;

use coffer_format::{Id, Label, Manifest, PlanId, VolumeRecord, VolumeState};

use super::maps::Visited;
use super::note::{error_key, keep_damage};
use super::report::{VerifyReport, VerifyRequest};
use super::volume_check::VolumeCheck;
use crate::inventory::PlanObjects;
use crate::read::musts::refuse_unreadable;
use crate::request_error::{RecoveryUse, RequestError};
use crate::{Access, EngineError, Repository, Resources};

/// Whether maps and data of the team can be checked with the caller's key; what cannot is said.
pub(crate) fn can_check(
    repository: &Repository,
    team: &Label,
    request: &VerifyRequest,
    report: &mut VerifyReport,
) -> Result<bool, EngineError> {
    if matches!(repository.access(), Access::Locked) {
        return match request.read_data_percent {
            Some(_) => Err(RequestError::NoRecoveryKey(RecoveryUse::VerifyData).into()),
            None => Ok(false),
        };
    }
    if request.read_data_percent.is_some() {
        repository.recovery_key(team)?;
    }
    let is_own = repository.team().is_none_or(|own| own == team);
    if !is_own {
        report.notice(format!("the key is not of team {team}: its maps and data were not checked"));
    }
    Ok(is_own)
}

/// What the volumes of a team are checked with, and what was checked already.
pub(crate) struct Volumes<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) resources: &'a Resources,
    pub(crate) listed: &'a BTreeMap<PlanId, PlanObjects>,
    pub(crate) request: &'a VerifyRequest,
    pub(crate) visited: Visited,
}

impl Volumes<'_> {
    /// Checks the volumes of all manifests; what points share is checked once.
    pub(crate) fn check(
        &mut self,
        manifests: &[Manifest],
        report: &mut VerifyReport,
    ) -> Result<(), EngineError> {
        let Volumes { repository, resources, listed, request, visited } = self;
        for manifest in manifests {
            for record in manifest.volumes.iter().map(|volume| &volume.payload) {
                if record.state == VolumeState::Failed
                    || request.filter.volume.as_ref().is_some_and(|name| *name != record.name)
                {
                    continue;
                }
                repository.environment().cancel.check()?;
                // A key that was replaced does not read what came after it; that is no damage.
                if let Err(EngineError::Usage(detail)) =
                    repository.chain_secrets(&manifest.plan_id(), manifest.chain)
                {
                    report.notice_once(detail);
                    continue;
                }
                if let Err(error) = refuse_unreadable(manifest, record) {
                    report.notice_once(format!("{error}; it was not checked"));
                    continue;
                }
                let points = points_that_name(manifests, record);
                let volume = VolumeCheck { repository, resources, manifest, record, listed, request, points };
                if let Err(error) = volume.check(visited, report) {
                    let key = error_key(&error, manifest);
                    keep_damage(report, "map", key, error, &volume.points)?;
                }
            }
        }
        Ok(())
    }
}

fn points_that_name(manifests: &[Manifest], record: &VolumeRecord) -> Vec<Id> {
    let names = |manifest: &&Manifest| {
        manifest.chain == record.chain
            && manifest.volumes.iter().any(|v| {
                v.payload.name == record.name
                    && v.payload.lineage.iter().any(|entry| entry.point == record.point)
            })
    };
    manifests.iter().filter(names).map(|manifest| manifest.point).collect()
}
