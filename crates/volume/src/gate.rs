//! The gate: opens what a caller names, if the node's rules allow it, and nothing else.
//!
//! # How a path is opened
//! 1. Its text must be absolute, without `.` and `..`, and lie below an allowed directory.
//! 2. The allowed directory is opened without following links, and the rest of the path below it with one `openat2`:
//!    `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS` and `O_PATH`. That only takes hold of what is
//!    there, whatever it is: no pipe blocks, no tape rewinds, no driver notices.
//! 3. What is held is judged: a regular file with a single name where files are allowed, or a block device where
//!    devices are allowed and whose class, which sysfs tells by its number, is allowed.
//! 4. What is held is opened for reading through `/proc/self/fd`, which cannot lead to anything else, and compared. A
//!    device is judged once more: its number cannot be given to another one while it is open.
//!
//! The one exception to "no links": the last component of a path below an allowed device directory may be a link (the
//! stable names of udev and LVM). It is held, read once, and what it says must lie below an allowed device directory
//! by its text and is opened by the same rules, as a device only, without following another link.
//!
//! # What is allowed on purpose
//! Mounts below an allowed directory are crossed (no `RESOLVE_NO_XDEV`): kubelet's volumes are mounts, each of them.
//! Who can mount there can do on this node whatever they like anyway.
//!
//! It must never open by a path a second time, and never fall back to anything weaker where `openat2` is missing.

mod error;
mod pin;
mod policy;

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Stat};

pub use self::error::GateError;
pub use self::policy::{Access, Policy};
use self::policy::{Place, straighten};
use crate::device::Device;
use crate::device_class::DeviceClass;
use crate::device_number::{DeviceNumber, KnownDevice};

/// What the gate opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// A regular file.
    Image,
    /// A block device, as sysfs knows it.
    Device(KnownDevice),
}

/// A volume that may be used.
#[derive(Debug)]
pub struct OpenedVolume {
    /// Holds the device or file, open for reading whatever the access: who writes opens it again through this handle,
    /// with the flags that it needs (`coffer-blockio` does that). Keep it open until then.
    pub file: File,
    /// What it is.
    pub what: Opened,
    /// What it was opened for.
    pub access: Access,
    /// The path that was asked for: to be named, not to be opened.
    pub path: PathBuf,
}

/// A new, empty file.
#[derive(Debug)]
pub struct CreatedFile {
    /// The file, open for reading and writing, mode 0600.
    pub file: File,
    /// The directory that it was made in, open for reading.
    pub directory: File,
    /// Its name there.
    pub name: OsString,
    /// The path that was asked for: to be named, not to be opened.
    pub path: PathBuf,
}

/// Opens volumes by the rules of a node.
#[derive(Debug)]
pub struct Gate {
    policy: Policy,
    sys: PathBuf,
}

impl Gate {
    /// A gate with these rules; `sys` is where sysfs is mounted (`/sys`).
    ///
    /// # Errors
    /// [`GateError::NoOpenat2`], [`GateError::Openat2Forbidden`]: without that call there is no gate.
    pub fn new(policy: Policy, sys: impl Into<PathBuf>) -> Result<Self, GateError> {
        pin::check_support()?;
        Ok(Self { policy, sys: sys.into() })
    }

    /// Why a device of a listing would not be opened for its class; `None` where the rules allow it.
    pub fn class_obstacle(&self, device: &Device) -> Option<String> {
        let whole = device.whole.as_deref().map(DeviceClass::of_kernel_name);
        self.policy.missing_class([Some(device.class), whole].into_iter().flatten())
    }

    /// Opens an existing block device or regular file.
    ///
    /// # Errors
    /// [`GateError`], which says the rule and how to allow it.
    pub fn open_volume(&self, path: &Path, access: Access) -> Result<OpenedVolume, GateError> {
        let place = self.policy.place(path)?;
        let held = pin::hold(&place)?;
        let found = pin::stat(&held, path)?;
        if kind(&found) == FileType::Symlink && place.devices.is_some() {
            return self.open_link(&place, &held, access);
        }
        self.open_held(&place, &held, &found, access)
    }

    /// Makes a new file for a restore, readable for its owner only. There must be nothing of this name.
    ///
    /// # Errors
    /// [`GateError::Exists`], [`GateError::NotFound`] without the directory, and as of [`Gate::open_volume`].
    pub fn create_file(&self, path: &Path) -> Result<CreatedFile, GateError> {
        let place = self.policy.place(path)?;
        self.policy.judge_file(&place, 1, Access::ReadWrite)?;
        let name =
            place.inner.file_name().ok_or_else(|| GateError::NotFound { path: path.into() })?.to_owned();
        let (file, directory) = pin::create(&place)?;
        Ok(CreatedFile { file, directory, name, path: path.into() })
    }

    /// Opens the device that a stable name stands for.
    fn open_link(
        &self,
        place: &Place<'_>,
        link: &OwnedFd,
        access: Access,
    ) -> Result<OpenedVolume, GateError> {
        let path = place.path;
        let target = pin::read_link(link, path)?;
        let bad = |problem| GateError::BadLink { path: path.into(), target: target.clone(), problem };
        let outside = || bad("lies outside of the directories allowed for devices");
        let link_path = place.root.real.join(&place.inner);
        let directory = link_path.parent().unwrap_or(Path::new("/"));
        let straight = straighten(&directory.join(&target)).ok_or_else(|| bad("leads nowhere"))?;
        let end = self.policy.place(&straight).map_err(|_| outside())?;
        if end.devices.is_none() {
            return Err(outside());
        }
        // What errors show is the name that was asked for.
        let end = Place { path, ..end };
        let held = pin::hold(&end)?;
        let found = pin::stat(&held, path)?;
        match kind(&found) {
            FileType::BlockDevice => self.open_held(&end, &held, &found, access),
            FileType::Symlink => Err(bad("is a link again")),
            _ => Err(bad("is no block device")),
        }
    }

    /// Judges what is held, and opens it.
    fn open_held(
        &self,
        place: &Place<'_>,
        held: &OwnedFd,
        found: &Stat,
        access: Access,
    ) -> Result<OpenedVolume, GateError> {
        let path = place.path;
        let what = match kind(found) {
            FileType::RegularFile => {
                self.policy.judge_file(place, links(found), access)?;
                Opened::Image
            }
            FileType::BlockDevice => {
                self.policy.judge_device_place(place)?;
                Opened::Device(self.judge_device(place, found, access)?)
            }
            other => return Err(wrong_kind(path, other)),
        };
        let file = pin::reopen(held, found, path)?;
        // While it is open, its number belongs to it: what sysfs says now is about this very device.
        if let Opened::Device(before) = &what
            && self.judge_device(place, found, access)? != *before
        {
            return Err(GateError::Replaced { path: path.into() });
        }
        Ok(OpenedVolume { file, what, access, path: path.into() })
    }

    fn judge_device(
        &self,
        place: &Place<'_>,
        found: &Stat,
        access: Access,
    ) -> Result<KnownDevice, GateError> {
        let number = DeviceNumber::of_raw(found.st_rdev);
        let device = KnownDevice::look_up(&self.sys, number).map_err(|source| GateError::UnknownDevice {
            path: place.path.into(),
            sys: self.sys.clone(),
            source,
        })?;
        self.policy.judge_device(place, &device, access)?;
        Ok(device)
    }
}

fn wrong_kind(path: &Path, kind: FileType) -> GateError {
    let kind = match kind {
        FileType::Symlink => return GateError::SymbolicLink { path: path.into() },
        FileType::Directory => "a directory",
        FileType::CharacterDevice => "a character device",
        FileType::Fifo => "a named pipe",
        FileType::Socket => "a socket",
        _ => "of an unknown kind",
    };
    GateError::WrongKind { path: path.into(), kind }
}

fn kind(found: &Stat) -> FileType {
    FileType::from_raw_mode(found.st_mode)
}

#[allow(clippy::useless_conversion, reason = "the width differs between architectures")]
fn links(found: &Stat) -> u64 {
    found.st_nlink.into()
}
