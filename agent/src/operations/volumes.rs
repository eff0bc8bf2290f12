//! The port to the volumes of this node: who may use which, and opening them; and what may be done with a target.
//!
//! An implementation must never open what its rules do not allow, and never change a target before [`PreparedTarget::open`].

use coffer_blockio::{BlockSource, BlockTarget, PathInfo, PathKind, SourceOpener};
use coffer_engine::{CancelToken, RestoreMode};
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
    /// Looks at this node once, for all volumes of an operation: what that costs does not grow with their number.
    ///
    /// # Errors
    /// [`AgentError::Engine`] soon after `cancel` has said to stop.
    fn look<'a>(
        &'a self,
        behalf: &'a Behalf,
        volumes: &[&VolumeRef],
        cancel: &CancelToken,
    ) -> Result<Box<dyn Sight + 'a>, AgentError>;
}

/// This node as it was looked at, on somebody's behalf.
pub trait Sight {
    /// What an operation on the volume must have for itself: the same for all names of one device or file. It looks, and opens nothing.
    ///
    /// # Errors
    /// [`AgentError::Denied`], [`AgentError::NotFound`] and what else can be told early.
    fn claims(&self, volume: &VolumeRef) -> Result<Vec<Claim>, AgentError>;

    /// Opens a volume for reading.
    ///
    /// # Errors
    /// [`AgentError::Denied`], [`AgentError::Open`], ….
    fn open_source(
        &self,
        volume: &VolumeRef,
        opener: &SourceOpener,
    ) -> Result<Box<dyn BlockSource>, AgentError>;

    /// Looks at a target and holds it, so that nobody else writes to it. Nothing is changed.
    ///
    /// # Errors
    /// [`AgentError::Refused`] where it exists, is used or is too small; [`AgentError::Denied`], [`AgentError::Open`].
    fn prepare_target(
        &self,
        target: &TargetRef<'_>,
        wish: TargetUse,
    ) -> Result<Box<dyn PreparedTarget>, AgentError>;
}

/// How a target that exists and was checked is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
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
