//! Restore targets: everything that can speak against a target is said before a byte is written, then targets are opened.
//!
//! An existing file or device is only touched when the caller said how; what somebody uses is never touched. Opening changes nothing either:
//! new files lie beside their name until they are whole, and what is replaced is emptied when the engine begins to write.

use std::path::{Path, PathBuf};

use coffer_blockio::{
    BlockTarget, FileTarget, OpenError, PathInfo, PathKind, SourceKind, StagedTarget, describe_path,
    leftover_bytes,
};
use coffer_engine::{CancelToken, RestoreMode, RestoreVolume};
use coffer_format::VolumeName;

use crate::dense::DenseTarget;
use crate::error::CliError;
use crate::human;
use crate::paths::directory_of;

/// What may be done with a target that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Existing {
    /// Nothing.
    Refuse,
    /// It is replaced.
    Overwrite,
    /// It is read, and only what differs is written.
    InPlace,
}

/// A volume and the path that it is to go to.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// The volume.
    pub(crate) name: VolumeName,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// The target.
    pub(crate) path: PathBuf,
}

impl Wanted {
    /// The engine's terms for a target that is not looked at, in a dry run.
    pub(crate) fn imagined(&self) -> RestoreVolume {
        RestoreVolume {
            name: self.name.clone(),
            target: None,
            label: self.path.to_string_lossy().into_owned(),
            mode: RestoreMode::Write,
            write_all_zeroes: false,
        }
    }
}

/// How a checked target will be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// A new file.
    Create,
    /// A new file that a killed restore began.
    Resume,
    /// A file that is emptied first.
    Replace,
    /// A device that is written in full.
    WriteDevice,
    /// A file or device that is compared.
    Compare,
}

/// A target that nothing speaks against, as far as can be seen.
#[derive(Debug)]
pub(crate) struct Checked {
    /// The volume and its target.
    pub(crate) wanted: Wanted,
    /// How it will be opened.
    pub(crate) how: How,
    /// What was seen there.
    pub(crate) info: PathInfo,
}

/// Looks at a target and refuses it where it must not be written to.
pub(crate) fn check(wanted: Wanted, existing: Existing) -> Result<Checked, CliError> {
    let path = wanted.path.clone();
    let mut info = match describe_path(&path) {
        Ok(info) => info,
        Err(_) if !directory_of(&path).is_dir() => {
            return Err(CliError::Usage(format!(
                "volume {}: there is no directory {} for its target; make it first",
                wanted.name,
                directory_of(&path).display()
            )));
        }
        Err(source) => return Err(open_failed(&wanted, source)),
    };
    let how = match info.kind {
        PathKind::Missing => {
            let leftover = leftover_bytes(&path);
            // Its room is used again, or is free when it is removed.
            info.allocated_bytes = leftover.unwrap_or(0);
            if leftover.is_some() && existing == Existing::InPlace { How::Resume } else { How::Create }
        }
        PathKind::Image | PathKind::Device => choose(&wanted, &info, existing)?,
        PathKind::Directory => {
            return Err(CliError::Usage(format!(
                "volume {}: its target {} is a directory; write --to {} for all volumes, or name a file in it",
                wanted.name,
                path.display(),
                path.display()
            )));
        }
        kind => {
            return Err(CliError::Usage(format!(
                "volume {}: its target {} is {kind}; give a file, a block device, or NAME=- for standard output",
                wanted.name,
                path.display()
            )));
        }
    };
    Ok(Checked { wanted, how, info })
}

fn choose(wanted: &Wanted, info: &PathInfo, existing: Existing) -> Result<How, CliError> {
    let target = format!("volume {}: its target {}", wanted.name, wanted.path.display());
    if let Some(user) = &info.mounted_or_held {
        return Err(CliError::Refused(format!("{target} is in use: {user}; unmount or stop what uses it")));
    }
    let how = match (existing, info.kind) {
        (Existing::Refuse, _) => {
            return Err(CliError::Refused(format!(
                "{target} exists; give --overwrite to replace it, or --in-place to write only what differs"
            )));
        }
        (Existing::Overwrite, PathKind::Device) => How::WriteDevice,
        (Existing::Overwrite, _) => How::Replace,
        // A restore killed in its first moment leaves an empty file, in which there is nothing to compare and nothing to lose.
        (Existing::InPlace, PathKind::Image) if info.size_bytes == 0 => How::Replace,
        (Existing::InPlace, _) => How::Compare,
    };
    if how == How::Replace || info.size_bytes >= wanted.size {
        return Ok(how);
    }
    let larger = match info.kind {
        PathKind::Device => "give a larger device",
        _ => "give --overwrite to replace it, or another file",
    };
    Err(CliError::Refused(format!(
        "{target} is too small: it has {} ({} bytes), the volume {} ({} bytes); {larger}",
        human::size(info.size_bytes),
        info.size_bytes,
        human::size(wanted.size),
        wanted.size
    )))
}

/// Refuses targets inside of the repository's own directory.
pub(crate) fn refuse_inside(repository: &Path, wanted: &[Wanted]) -> Result<(), CliError> {
    let Ok(repository) = repository.canonicalize() else { return Ok(()) };
    for volume in wanted {
        let directory = directory_of(&volume.path).canonicalize();
        let target = volume.path.canonicalize();
        let inside = [directory, target].into_iter().flatten().any(|path| path.starts_with(&repository));
        if inside {
            return Err(CliError::Refused(format!(
                "volume {}: its target {} lies in the repository itself; choose another place",
                volume.name,
                volume.path.display()
            )));
        }
    }
    Ok(())
}

/// Opens all targets. Existing ones are opened and locked first; only when all could be, new files are made, beside their names.
///
/// With `dense` files get no holes; writing their zeroes stops when it is cancelled.
pub(crate) fn open(checked: &[Checked], dense: Option<&CancelToken>) -> Result<Vec<RestoreVolume>, CliError> {
    let existing: Vec<Option<StagedTarget>> = checked.iter().map(open_existing).collect::<Result<_, _>>()?;
    let mut volumes = Vec::new();
    for (target, opened) in checked.iter().zip(existing) {
        // Where one cannot be made, those before it are dropped, and removed by that.
        let opened = opened.map_or_else(|| create(target), Ok)?;
        let opened: Box<dyn BlockTarget> = match dense {
            Some(cancel) if opened.kind() == SourceKind::Image => {
                Box::new(DenseTarget::new(opened, cancel.clone()))
            }
            _ => Box::new(opened),
        };
        volumes.push(target.volume(Some(opened), dense.is_some()));
    }
    Ok(volumes)
}

impl Checked {
    /// The engine's terms for it; without an opened target, for a dry run.
    pub(crate) fn volume(
        &self,
        target: Option<Box<dyn BlockTarget>>,
        write_all_zeroes: bool,
    ) -> RestoreVolume {
        let is_dry = target.is_none();
        // What is not new does not read as zeroes by itself. A dry run does not read targets.
        let counts_zeroes = is_dry && self.how != How::Create;
        RestoreVolume {
            name: self.wanted.name.clone(),
            target,
            label: self.wanted.path.to_string_lossy().into_owned(),
            mode: match self.how {
                How::Compare | How::Resume if !is_dry => RestoreMode::InPlace,
                _ => RestoreMode::Write,
            },
            write_all_zeroes: write_all_zeroes || counts_zeroes,
        }
    }
}

fn open_existing(target: &Checked) -> Result<Option<StagedTarget>, CliError> {
    let Wanted { path, size, .. } = &target.wanted;
    let opened = match target.how {
        How::Create => Ok(None),
        How::Resume => StagedTarget::resume(path, *size),
        How::Replace => FileTarget::open_existing(path).map(|file| Some(StagedTarget::replace(file, *size))),
        How::WriteDevice | How::Compare => {
            FileTarget::open_existing(path).map(|file| Some(StagedTarget::keep(file, *size)))
        }
    };
    opened.map_err(|source| open_failed(&target.wanted, source))
}

fn create(target: &Checked) -> Result<StagedTarget, CliError> {
    let created = StagedTarget::create(&target.wanted.path, target.wanted.size);
    created.map_err(|source| open_failed(&target.wanted, source))
}

fn open_failed(wanted: &Wanted, source: OpenError) -> CliError {
    CliError::Open { what: format!("the target of volume {}", wanted.name), source }
}
