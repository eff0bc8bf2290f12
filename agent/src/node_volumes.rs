//! The volumes of this node, for operations: found by the inventory, owned by a team, opened by the gate and by nothing else.
//!
//! A listing is a picture of a moment; what is opened is compared with it, and is what the gate judged.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use coffer_blockio::{
    BlockSource, BlockTarget, FileTarget, NewFile, OpenError, PathInfo, SourceOpener, StagedTarget,
    describe_handle,
};
use coffer_engine::{CancelToken, EngineError, RestoreMode};
use coffer_format::Label;
use coffer_proto::checked::VolumeRef;
use coffer_volume::{
    Access, DeviceNumber, Gate, GateError, Images, Inventory, Listing, Opened, OpenedVolume, Volume,
    VolumeId, VolumeKind,
};

use crate::errors::AgentError;
use crate::operations::queue::Claim;
use crate::operations::volumes::{
    Behalf, How, PreparedTarget, Sight, TargetRef, TargetUse, VolumeAccess, how,
};
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

/// Which volumes are asked for.
pub struct Wish<'a> {
    /// Only this team's.
    pub only_of: Option<&'a Label>,
    /// Only those whose ids come after this text.
    pub after: &'a str,
    /// At most so many.
    pub max: usize,
    /// Whether images can be among them.
    pub with_images: bool,
    /// Whether one is wanted.
    pub fits: &'a dyn Fn(&Volume) -> bool,
}

/// Some of the volumes that were asked for.
#[derive(Debug, Clone)]
pub struct Page {
    /// In order of the texts of their ids.
    pub volumes: Vec<OwnedVolume>,
    /// What the next page comes after, if there is one.
    pub next: Option<String>,
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

    /// The volumes that a caller may see and asks for, in order of the texts of their ids. It reads small files only, and may block.
    ///
    /// # Errors
    /// [`AgentError::Engine`] soon after `cancel` has said to stop.
    pub fn page(&self, wish: &Wish<'_>, cancel: &CancelToken) -> Result<Page, AgentError> {
        let fits = |id: &VolumeId, path: &Path| {
            wish.with_images
                && wish.only_of.is_none_or(|team| self.teams.owner_of_image(id, path) == Some(team))
        };
        let images = Images::Page { after: wish.after, max: wish.max, fits: &fits };
        let listing = self.look_at(images, cancel)?;
        let cut = listing.images_cut_after;
        let mut volumes: Vec<OwnedVolume> =
            listing.volumes.into_iter().map(|found| self.owned(found)).collect();
        volumes.retain(|owned| {
            let id = owned.volume.id.as_str();
            id > wish.after
                && cut.as_ref().is_none_or(|cut| id <= cut.as_str())
                && sees(wish.only_of, owned)
                && (wish.fits)(&owned.volume)
        });
        volumes.sort_by(|left, right| left.volume.id.as_str().cmp(right.volume.id.as_str()));
        let all = volumes.len();
        volumes.truncate(wish.max);
        let last = volumes.last().filter(|_| all > wish.max).map(|owned| owned.volume.id.to_string());
        Ok(Page { volumes, next: last.or_else(|| cut.map(|cut| cut.to_string())) })
    }

    /// The volume with this id or alias, if the caller may see it.
    ///
    /// # Errors
    /// As of [`NodeVolumes::page`].
    pub fn find(
        &self,
        only_of: Option<&Label>,
        id: &str,
        cancel: &CancelToken,
    ) -> Result<Option<OwnedVolume>, AgentError> {
        let path = VolumeId::path_in(id);
        let paths: Vec<&Path> = path.iter().map(PathBuf::as_path).collect();
        let listing = self.look_at(Images::At(&paths), cancel)?;
        let found = listing.find(id).cloned().map(|found| self.owned(found));
        Ok(found.filter(|owned| sees(only_of, owned)))
    }

    fn look_at(&self, images: Images<'_>, cancel: &CancelToken) -> Result<Listing, AgentError> {
        let looked = self.inventory.look(images, &|| cancel.is_cancelled());
        // Nothing else stops it.
        looked.map_err(|_stopped| cancel.check().err().unwrap_or(EngineError::Cancelled).into())
    }

    /// What the settings say of a volume is part of what is told of it.
    fn owned(&self, mut volume: Volume) -> OwnedVolume {
        if volume.obstacle.is_none() && volume.kind == VolumeKind::Device {
            volume.obstacle = volume.device.as_ref().and_then(|device| self.gate.class_obstacle(device));
        }
        OwnedVolume { team: self.teams.owner_of(&volume).cloned(), volume }
    }
}

fn sees(only_of: Option<&Label>, owned: &OwnedVolume) -> bool {
    only_of.is_none_or(|team| owned.team.as_ref() == Some(team))
}

/// This node as it was looked at for one operation.
struct Look<'a> {
    node: &'a NodeVolumes,
    behalf: &'a Behalf,
    listing: Listing,
}

impl Look<'_> {
    /// Finds what a request means, and whether it may. What a team may not see is not there.
    fn place(&self, volume: &VolumeRef) -> Result<Place, AgentError> {
        let found = match volume {
            VolumeRef::Id(id) => self.listing.find(id),
            VolumeRef::Path(path) => self.listing.volumes.iter().find(|volume| has_path(volume, path)),
        };
        let owner = match (found, volume) {
            (Some(found), _) => self.node.teams.owner_of(found),
            (None, VolumeRef::Path(path)) => self.node.teams.owner_of_path(path),
            (None, VolumeRef::Id(_)) => None,
        };
        let missing = || {
            AgentError::NotFound(format!(
                "there is no volume {volume} for team {}; Volumes.List tells those that are there",
                self.behalf.team
            ))
        };
        if self.behalf.by_team && owner != Some(&self.behalf.team) {
            return Err(missing());
        }
        match (found, volume) {
            (Some(found), _) => Ok(Place { path: found.path.clone(), device: number_of(found) }),
            (None, VolumeRef::Path(path)) => Ok(Place { path: path.clone(), device: None }),
            (None, VolumeRef::Id(_)) => Err(missing()),
        }
    }

    fn open(&self, place: &Place, access: Access) -> Result<OpenedVolume, GateError> {
        self.node.gate.open_volume(&place.path, access)
    }
}

/// Whether a path means the volume: its own or one of its device's names.
fn has_path(volume: &Volume, path: &Path) -> bool {
    let names = volume.device.iter().filter(|_| volume.kind == VolumeKind::Device);
    volume.path == path
        || names
            .flat_map(|device| std::iter::once(&device.path).chain(&device.stable_names))
            .any(|name| name == path)
}

fn number_of(volume: &Volume) -> Option<DeviceNumber> {
    let device = volume.device.as_ref().filter(|_| volume.kind == VolumeKind::Device);
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
    fn look<'a>(
        &'a self,
        behalf: &'a Behalf,
        volumes: &[&VolumeRef],
        cancel: &CancelToken,
    ) -> Result<Box<dyn Sight + 'a>, AgentError> {
        let in_ids: Vec<PathBuf> = volumes
            .iter()
            .filter_map(|volume| match volume {
                VolumeRef::Id(id) => VolumeId::path_in(id),
                VolumeRef::Path(_) => None,
            })
            .collect();
        let named = volumes.iter().filter_map(|volume| match volume {
            VolumeRef::Path(path) => Some(path.as_path()),
            VolumeRef::Id(_) => None,
        });
        let paths: Vec<&Path> = named.chain(in_ids.iter().map(PathBuf::as_path)).collect();
        let listing = self.look_at(Images::At(&paths), cancel)?;
        Ok(Box::new(Look { node: self, behalf, listing }))
    }
}

impl Sight for Look<'_> {
    fn claims(&self, volume: &VolumeRef) -> Result<Vec<Claim>, AgentError> {
        let place = self.place(volume)?;
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
        volume: &VolumeRef,
        opener: &SourceOpener,
    ) -> Result<Box<dyn BlockSource>, AgentError> {
        let place = self.place(volume)?;
        let opened = self.open(&place, Access::Read).map_err(refused)?;
        place.check(&opened)?;
        opener
            .open_handle(&opened.file, &place.path)
            .map_err(|source| AgentError::Open { what: format!("volume {volume}"), source })
    }

    fn prepare_target(
        &self,
        target: &TargetRef<'_>,
        wish: TargetUse,
    ) -> Result<Box<dyn PreparedTarget>, AgentError> {
        let place = self.place(target.target)?;
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
            gate: Arc::clone(&self.node.gate),
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
