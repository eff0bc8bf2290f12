//! The volumes of this node, for operations: found by the inventory, owned by a team, opened by the gate and by nothing else.
//!
//! A listing is a picture of a moment; what is opened is compared with it, and is what the gate judged.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use coffer_blockio::{
    BlockSource, BlockTarget, FileTarget, NewFile, OpenError, PathInfo, SourceOpener, StagedTarget,
    describe_handle,
};
use coffer_engine::{EngineError, RestoreMode};
use coffer_format::Label;
use coffer_proto::checked::VolumeRef;
use coffer_volume::{Access, DeviceNumber, Gate, GateError, Inventory, Opened, OpenedVolume, Volume};

use crate::errors::AgentError;
use crate::operations::queue::Claim;
use crate::operations::volumes::{Behalf, How, PreparedTarget, TargetRef, TargetUse, VolumeAccess, how};
use crate::teams::Teams;

/// The volumes of this node.
#[derive(Debug)]
pub struct NodeVolumes {
    inventory: Inventory,
    gate: Arc<Gate>,
    teams: Teams,
}

/// A volume with the team that it belongs to.
#[derive(Debug, Clone)]
pub struct OwnedVolume {
    /// The volume.
    pub volume: Volume,
    /// Its team, if it is exactly one's.
    pub team: Option<Label>,
}

/// Where a volume lies, and what is expected there.
struct Place {
    path: PathBuf,
    device: Option<DeviceNumber>,
}

impl NodeVolumes {
    /// What `inventory` finds, `gate` opens, and `teams` own.
    pub fn new(inventory: Inventory, gate: Gate, teams: Teams) -> Self {
        NodeVolumes { inventory, gate: Arc::new(gate), teams }
    }

    /// Every volume that the caller may see: all, or those of one team, in order of their ids. It reads small files only, and may block.
    pub fn list(&self, only_of: Option<&Label>) -> Vec<OwnedVolume> {
        let owned = |volume: Volume| OwnedVolume { team: self.teams.owner_of(&volume).cloned(), volume };
        let mut volumes: Vec<OwnedVolume> = self.inventory.list().volumes.into_iter().map(owned).collect();
        volumes.retain(|owned| only_of.is_none_or(|team| owned.team.as_ref() == Some(team)));
        volumes.sort_by(|left, right| left.volume.id.as_str().cmp(right.volume.id.as_str()));
        volumes
    }

    /// Finds what a request means, and whether it may. What a team may not see is not there.
    fn place(&self, behalf: &Behalf, volume: &VolumeRef) -> Result<Place, AgentError> {
        let listing = self.inventory.list();
        let found = match volume {
            VolumeRef::Id(id) => listing.find(id),
            VolumeRef::Path(path) => listing.volumes.iter().find(|volume| has_path(volume, path)),
        };
        let owner = match (found, volume) {
            (Some(found), _) => self.teams.owner_of(found),
            (None, VolumeRef::Path(path)) => self.teams.owner_of_path(path),
            (None, VolumeRef::Id(_)) => None,
        };
        let missing = || {
            AgentError::NotFound(format!(
                "there is no volume {volume} for team {}; Volumes.List tells those that are there",
                behalf.team
            ))
        };
        if behalf.by_team && owner != Some(&behalf.team) {
            return Err(missing());
        }
        match (found, volume) {
            (Some(found), _) => Ok(Place { path: found.path.clone(), device: number_of(found) }),
            (None, VolumeRef::Path(path)) => Ok(Place { path: path.clone(), device: None }),
            (None, VolumeRef::Id(_)) => Err(missing()),
        }
    }

    fn open(&self, place: &Place, access: Access) -> Result<OpenedVolume, GateError> {
        self.gate.open_volume(&place.path, access)
    }
}

/// Whether a path means the volume: its own or one of its device's names.
fn has_path(volume: &Volume, path: &Path) -> bool {
    let names = volume.device.iter().filter(|_| volume.kind == coffer_volume::VolumeKind::Device);
    volume.path == path
        || names
            .flat_map(|device| std::iter::once(&device.path).chain(&device.stable_names))
            .any(|name| name == path)
}

fn number_of(volume: &Volume) -> Option<DeviceNumber> {
    let device = volume.device.as_ref().filter(|_| volume.kind == coffer_volume::VolumeKind::Device);
    device.map(|device| device.number)
}

impl Place {
    /// Between the look and the opening a device's name can have become another's.
    fn check(&self, opened: &OpenedVolume) -> Result<(), AgentError> {
        match (&self.device, &opened.what) {
            (None, _) => Ok(()),
            (Some(expected), Opened::Device(found)) if found.number == *expected => Ok(()),
            _ => Err(AgentError::Refused(format!(
                "{} became another device while it was opened; try again",
                self.path.display()
            ))),
        }
    }
}

fn refused(error: GateError) -> AgentError {
    match error {
        GateError::NotFound { .. } => AgentError::NotFound(error.to_string()),
        GateError::Exists { .. } => AgentError::Refused(error.to_string()),
        error => AgentError::Denied(error.to_string()),
    }
}

impl VolumeAccess for NodeVolumes {
    fn claims(&self, behalf: &Behalf, volume: &VolumeRef) -> Result<Vec<Claim>, AgentError> {
        let place = self.place(behalf, volume)?;
        let claim = |name: String| Claim { name, label: volume.to_string() };
        let mut claims = vec![claim(format!("path {}", place.path.display()))];
        match self.open(&place, Access::Read) {
            Ok(opened) => {
                place.check(&opened)?;
                claims.push(claim(match &opened.what {
                    Opened::Device(device) => format!("device {}", device.number),
                    Opened::Image => inode(&opened),
                }));
                Ok(claims)
            }
            // A restore may make it.
            Err(GateError::NotFound { .. }) => Ok(claims),
            Err(error) => Err(refused(error)),
        }
    }

    fn open_source(
        &self,
        behalf: &Behalf,
        volume: &VolumeRef,
        opener: &SourceOpener,
    ) -> Result<Box<dyn BlockSource>, AgentError> {
        let place = self.place(behalf, volume)?;
        let opened = self.open(&place, Access::Read).map_err(refused)?;
        place.check(&opened)?;
        opener
            .open_handle(&opened.file, &place.path)
            .map_err(|source| AgentError::Open { what: format!("volume {volume}"), source })
    }

    fn prepare_target(
        &self,
        behalf: &Behalf,
        target: &TargetRef<'_>,
        wish: TargetUse,
    ) -> Result<Box<dyn PreparedTarget>, AgentError> {
        let place = self.place(behalf, target.target)?;
        let what = format!("the target {} of volume {}", target.target, target.name);
        let failed = |source: OpenError| AgentError::Open { what: what.clone(), source };
        let opened = match self.open(&place, Access::ReadWrite) {
            Ok(opened) => Some(opened),
            Err(GateError::NotFound { .. }) => None,
            Err(error) => return Err(refused(error)),
        };
        let held = match &opened {
            None => None,
            Some(opened) => {
                place.check(opened)?;
                let info: PathInfo = describe_handle(&opened.file, &place.path).map_err(failed)?;
                let how = how(&what, &info, wish, target.size_bytes)?;
                Some((FileTarget::open_existing_handle(&opened.file, &place.path).map_err(failed)?, how))
            }
        };
        let (volume, size_bytes) = (target.name.to_string(), target.size_bytes);
        Ok(Box::new(Prepared {
            gate: Arc::clone(&self.gate),
            path: place.path,
            what,
            volume,
            size_bytes,
            held,
        }))
    }
}

fn inode(opened: &OpenedVolume) -> String {
    use std::os::unix::fs::MetadataExt;
    match opened.file.metadata() {
        Ok(found) => format!("file {}:{}", found.dev(), found.ino()),
        Err(_) => format!("path {}", opened.path.display()),
    }
}

/// A target that is held, or whose name was free.
struct Prepared {
    gate: Arc<Gate>,
    path: PathBuf,
    what: String,
    volume: String,
    size_bytes: u64,
    held: Option<(FileTarget, How)>,
}

impl PreparedTarget for Prepared {
    fn open(self: Box<Self>) -> Result<(Box<dyn BlockTarget>, RestoreMode), AgentError> {
        let Prepared { gate, path, what, volume, size_bytes, held } = *self;
        let Some((target, how)) = held else {
            let made = gate.create_file(&path).map_err(refused)?;
            let new = NewFile { file: made.file, directory: made.directory, name: made.name };
            let target = FileTarget::adopt_new(new, &path, size_bytes)
                .map_err(|source| AgentError::Open { what, source })?;
            return Ok((Box::new(target), RestoreMode::Write));
        };
        if how == How::Empty {
            // At once: a later attempt goes on in it, and needs its size.
            let sized = target.set_image_size(0).and_then(|()| target.set_image_size(size_bytes));
            sized.map_err(|source| EngineError::Target { volume, source })?;
        }
        let target = StagedTarget::keep(target, size_bytes);
        let mode = if how == How::Compare { RestoreMode::InPlace } else { RestoreMode::Write };
        Ok((Box::new(target), mode))
    }
}
