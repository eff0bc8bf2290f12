//! The port to the volumes of this node: who may use which, and opening them. An adapter over a plain list of roots.
//!
//! An implementation must never open what its rules do not allow, and never change a target before [`PreparedTarget::open`].

use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use coffer_blockio::{
    BlockSource, BlockTarget, FileTarget, OpenError, PathInfo, PathKind, SourceOpener, describe_path,
};
use coffer_engine::{EngineError, RestoreMode};
use coffer_format::{Label, VolumeName};
use coffer_proto::checked::VolumeRef;

use super::queue::Claim;
use crate::errors::AgentError;

/// On whose behalf a volume is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behalf {
    /// The team.
    pub team: Label,
    /// Whether the team itself asked, and not the controller for it: then the volume must be the team's own.
    pub by_team: bool,
}

/// A volume to restore to.
#[derive(Debug, Clone)]
pub struct TargetRef<'a> {
    /// The volume's name in the point.
    pub name: &'a VolumeName,
    /// Where it goes.
    pub target: &'a VolumeRef,
    /// The volume's size, bytes.
    pub size_bytes: u64,
}

/// What may be done with a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetUse {
    /// It must not exist.
    New,
    /// It is replaced.
    Overwrite,
    /// Only what differs is written; a target that is not there is made.
    InPlace,
}

/// A target that nothing speaks against, held and not yet changed.
pub trait PreparedTarget: Send {
    /// Makes, empties or takes the target, and says how it is filled.
    ///
    /// # Errors
    /// [`AgentError::Open`], [`AgentError::Engine`].
    fn open(self: Box<Self>) -> Result<(Box<dyn BlockTarget>, RestoreMode), AgentError>;
}

/// The volumes of this node. Calls may block.
pub trait VolumeAccess: Send + Sync {
    /// What an operation on the volume must have for itself: the same for all names of one device or file. It looks, and opens nothing.
    ///
    /// # Errors
    /// [`AgentError::Denied`], [`AgentError::NotFound`] and what else can be told early.
    fn claims(&self, behalf: &Behalf, volume: &VolumeRef) -> Result<Vec<Claim>, AgentError>;

    /// Opens a volume for reading.
    ///
    /// # Errors
    /// [`AgentError::Denied`], [`AgentError::Open`], ….
    fn open_source(
        &self,
        behalf: &Behalf,
        volume: &VolumeRef,
        opener: &SourceOpener,
    ) -> Result<Box<dyn BlockSource>, AgentError>;

    /// Looks at a target and holds it, so that nobody else writes to it. Nothing is changed.
    ///
    /// # Errors
    /// [`AgentError::Refused`] where it exists, is used or is too small; [`AgentError::Denied`], [`AgentError::Open`].
    fn prepare_target(
        &self,
        behalf: &Behalf,
        target: &TargetRef<'_>,
        wish: TargetUse,
    ) -> Result<Box<dyn PreparedTarget>, AgentError>;
}

/// Devices and files below some directories, for every team alike.
#[derive(Debug, Clone)]
pub struct RootedVolumes {
    roots: Vec<PathBuf>,
}

impl RootedVolumes {
    /// Allows everything below `roots`, wherever links in them lead to.
    pub fn new(roots: impl IntoIterator<Item = PathBuf>) -> Self {
        RootedVolumes { roots: roots.into_iter().map(|root| root.canonicalize().unwrap_or(root)).collect() }
    }

    /// The path without links, if it is allowed. The last component need not exist.
    fn place(&self, volume: &VolumeRef) -> Result<PathBuf, AgentError> {
        let VolumeRef::Path(path) = volume else {
            return Err(AgentError::NotFound(format!(
                "there is no volume {volume}; Volumes.List tells those that are there"
            )));
        };
        let place = path.canonicalize().or_else(|_| {
            let (parent, name) =
                (path.parent().unwrap_or(Path::new("/")), path.file_name().unwrap_or_default());
            parent.canonicalize().map(|parent| parent.join(name))
        });
        let place = place.map_err(|_| {
            AgentError::NotFound(format!("there is no directory for {volume}; check the path"))
        })?;
        if self.roots.iter().any(|root| place.starts_with(root)) {
            return Ok(place);
        }
        Err(AgentError::Denied(format!("{volume} is below none of the roots that this agent may use")))
    }
}

impl VolumeAccess for RootedVolumes {
    fn claims(&self, _behalf: &Behalf, volume: &VolumeRef) -> Result<Vec<Claim>, AgentError> {
        let place = self.place(volume)?;
        let claim = |name: String| Claim { name, label: volume.to_string() };
        let mut claims = vec![claim(format!("path {}", place.display()))];
        if let Ok(found) = std::fs::metadata(&place) {
            claims.push(claim(match found.file_type().is_block_device() {
                true => format!("device {}", found.rdev()),
                false => format!("file {}:{}", found.dev(), found.ino()),
            }));
        }
        Ok(claims)
    }

    fn open_source(
        &self,
        _behalf: &Behalf,
        volume: &VolumeRef,
        opener: &SourceOpener,
    ) -> Result<Box<dyn BlockSource>, AgentError> {
        let place = self.place(volume)?;
        opener.open(&place).map_err(|source| AgentError::Open { what: format!("volume {volume}"), source })
    }

    fn prepare_target(
        &self,
        _behalf: &Behalf,
        target: &TargetRef<'_>,
        wish: TargetUse,
    ) -> Result<Box<dyn PreparedTarget>, AgentError> {
        let path = self.place(target.target)?;
        let what = format!("the target {} of volume {}", target.target, target.name);
        let info = describe_path(&path).map_err(|source| AgentError::Open { what: what.clone(), source })?;
        let how = how(&what, &info, wish, target.size_bytes)?;
        let held = match how {
            How::Create => None,
            _ => {
                let held = FileTarget::open_existing(&path);
                Some(held.map_err(|source| AgentError::Open { what: what.clone(), source })?)
            }
        };
        let (volume, size_bytes) = (target.name.to_string(), target.size_bytes);
        Ok(Box::new(PreparedFile { path, what, volume, size_bytes, how, held }))
    }
}

/// How a checked target will be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Create,
    Empty,
    WriteDevice,
    Compare,
}

/// What is to be done with what was found; or why it must be left alone. Pure.
pub(crate) fn how(what: &str, info: &PathInfo, wish: TargetUse, size_bytes: u64) -> Result<How, AgentError> {
    if let Some(user) = &info.mounted_or_held {
        return Err(AgentError::Refused(format!("{what} is in use: {user}; unmount or stop what uses it")));
    }
    let how = match (info.kind, wish) {
        (PathKind::Missing, TargetUse::New | TargetUse::Overwrite | TargetUse::InPlace) => {
            return Ok(How::Create);
        }
        (PathKind::Image | PathKind::Device, TargetUse::New) => {
            return Err(AgentError::Refused(format!(
                "{what} exists; give OVERWRITE to replace it, or IN_PLACE to write only what differs"
            )));
        }
        (PathKind::Image, TargetUse::Overwrite) => return Ok(How::Empty),
        // A restore killed in its first moment leaves an empty file, in which there is nothing to compare and nothing to lose.
        (PathKind::Image, TargetUse::InPlace) if info.size_bytes == 0 => return Ok(How::Empty),
        (PathKind::Device, TargetUse::Overwrite) => How::WriteDevice,
        (PathKind::Image | PathKind::Device, TargetUse::InPlace) => How::Compare,
        (kind, _) => {
            return Err(AgentError::Usage(format!("{what} is {kind}; give a file or a block device")));
        }
    };
    if info.size_bytes >= size_bytes {
        return Ok(how);
    }
    let has = info.size_bytes;
    Err(AgentError::Refused(format!(
        "{what} is too small: it has {has} bytes, the volume {size_bytes}; give a larger one"
    )))
}

struct PreparedFile {
    path: PathBuf,
    what: String,
    volume: String,
    size_bytes: u64,
    how: How,
    held: Option<FileTarget>,
}

impl PreparedTarget for PreparedFile {
    fn open(self: Box<Self>) -> Result<(Box<dyn BlockTarget>, RestoreMode), AgentError> {
        let PreparedFile { path, what, volume, size_bytes, how, held } = *self;
        let open = |source: OpenError| AgentError::Open { what, source };
        let mut target = match held {
            Some(held) => held,
            None => FileTarget::create_new(&path, size_bytes).map_err(open)?,
        };
        if how == How::Empty {
            let sized = target.set_image_size(0).and_then(|()| target.set_image_size(size_bytes));
            sized.map_err(|source| EngineError::Target { volume, source })?;
        }
        let mode = if how == How::Compare { RestoreMode::InPlace } else { RestoreMode::Write };
        Ok((Box::new(target), mode))
    }
}
