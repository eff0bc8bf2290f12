//! A restore of volumes of a point.

use std::time::Duration;

use coffer_format::{Digest, Id, PlanId, VolumeName};

use super::field::{IdempotencyKey, RequestError, distinct, parsed, required, timeout, volume_count};
use super::fingerprint::Fields;
use super::point_reference::plan;
use super::repository::RepositoryAccess;
use super::volume::VolumeRef;
use crate::agent::v1;

/// A restore to start.
#[derive(Debug, Clone)]
pub struct StartRestore {
    /// Names the work.
    pub idempotency_key: IdempotencyKey,
    /// Where from.
    pub repository: RepositoryAccess,
    /// The plan that the point belongs to.
    pub plan: PlanId,
    /// The point.
    pub point: Id,
    /// 1 to 256 volumes, each name and each target once.
    pub volumes: Vec<RestoreVolume>,
    /// From the start of the operation, waiting included.
    pub timeout: Duration,
}

/// One volume to restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreVolume {
    /// Its name in the point.
    pub name: VolumeName,
    /// Where it goes.
    pub target: VolumeRef,
    /// What may be done with the target.
    pub mode: RestoreMode,
}

/// What may be done with a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoreMode {
    /// It must not exist.
    New,
    /// It is replaced.
    Overwrite,
    /// Only blocks that differ are written.
    InPlace,
}

impl StartRestore {
    /// Equal for requests that ask for the same work. The point is what is asked for here, so it counts.
    pub fn fingerprint(&self) -> Digest {
        let fields = Fields::of("restore").text(&self.repository.url).text(&self.plan).text(self.point);
        let fields = self.volumes.iter().fold(fields.text(self.volumes.len()), |fields, volume| {
            fields.text(&volume.name).text(&volume.target).text(volume.mode.word())
        });
        fields.text(self.timeout.as_nanos()).digest()
    }
}

impl RestoreMode {
    fn word(self) -> &'static str {
        match self {
            RestoreMode::New => "new",
            RestoreMode::Overwrite => "overwrite",
            RestoreMode::InPlace => "in-place",
        }
    }
}

impl TryFrom<v1::StartRestoreRequest> for StartRestore {
    type Error = RequestError;

    fn try_from(given: v1::StartRestoreRequest) -> Result<Self, RequestError> {
        let repository = required("repository", given.repository).and_then(RepositoryAccess::try_from)?;
        volume_count(given.volumes.len())?;
        let volumes = given.volumes.iter().enumerate().map(|(index, volume)| self::volume(index, volume));
        let volumes: Vec<RestoreVolume> = volumes.collect::<Result<_, _>>()?;
        distinct("name", volumes.iter().map(|volume| volume.name.as_ref()))?;
        let targets: Vec<String> = volumes.iter().map(|volume| volume.target.to_string()).collect();
        distinct("target", targets.iter().map(String::as_str))?;
        Ok(StartRestore {
            idempotency_key: given.idempotency_key.parse()?,
            repository,
            plan: plan("plan", given.plan)?,
            point: parsed("point", &given.point)?,
            volumes,
            timeout: timeout(given.timeout)?,
        })
    }
}

fn volume(index: usize, given: &v1::RestoreVolume) -> Result<RestoreVolume, RequestError> {
    let field = |name: &str| format!("volumes[{index}].{name}");
    Ok(RestoreVolume {
        name: parsed(&field("name"), &given.name)?,
        target: VolumeRef::parse(&field("target"), &given.target)?,
        mode: match v1::RestoreMode::try_from(given.mode) {
            Ok(v1::RestoreMode::New) => RestoreMode::New,
            Ok(v1::RestoreMode::Overwrite) => RestoreMode::Overwrite,
            Ok(v1::RestoreMode::InPlace) => RestoreMode::InPlace,
            Ok(v1::RestoreMode::Unspecified) | Err(_) => {
                let problem = "is missing or unknown: give NEW, OVERWRITE or IN_PLACE";
                return Err(RequestError::new(field("mode"), problem));
            }
        },
    })
}
