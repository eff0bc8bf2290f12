//! Why the gate does not open a path: which rule, which value, and how to allow it.
//!
//! No variant may leave out the path that was asked for.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::device_class::DeviceClass;

/// Why something is not opened, or a rule not taken.
#[derive(Debug, Error)]
pub enum GateError {
    /// The path cannot be judged by its text.
    #[error("`{}` {problem}; write the full path of a device or file, without `.` and `..`", path.display())]
    BadPath {
        /// The path given.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A rule names a directory that cannot be a root.
    #[error("`{}` cannot be an allowed directory: it {problem}", root.display())]
    BadRoot {
        /// The directory given.
        root: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// No rule is about this place.
    #[error(
        "{} lies outside of what is allowed (files: {files}; devices: {devices}); \
         allow the directory above it in the settings of this node", path.display()
    )]
    NotAllowed {
        /// The path given.
        path: PathBuf,
        /// The directories allowed for files, or `none`.
        files: String,
        /// The directories allowed for devices, or `none`.
        devices: String,
    },
    /// A regular file where only devices are allowed.
    #[error(
        "{} is a regular file, and files are not allowed there (allowed: {files}); \
         allow the directory above it for files in the settings of this node", path.display()
    )]
    FileNotAllowed {
        /// The path given.
        path: PathBuf,
        /// The directories allowed for files, or `none`.
        files: String,
    },
    /// A device node where only files are allowed.
    #[error(
        "{} is a block device, and devices are not allowed there (allowed: {devices}); \
         use its name below /dev, or allow the directory above it for devices in the settings of this node",
        path.display()
    )]
    DeviceNotAllowed {
        /// The path given.
        path: PathBuf,
        /// The directories allowed for devices, or `none`.
        devices: String,
    },
    /// A device of a class that no rule names.
    #[error(
        "{} is the device {name} of class `{class}`, which is not allowed (allowed: {allowed}); \
         add `{class}` to the allowed device classes in the settings of this node", path.display()
    )]
    ClassNotAllowed {
        /// The path given.
        path: PathBuf,
        /// The kernel's name of the device.
        name: String,
        /// The class that is missing: the device's, or that of the whole device of a partition.
        class: DeviceClass,
        /// The classes that are allowed, or `none`.
        allowed: String,
    },
    /// It may be read only.
    #[error("{} may be backed up but not written: {rule} is allowed for reading only; \
             allow it for restores in the settings of this node", path.display())]
    ReadOnly {
        /// The path given.
        path: PathBuf,
        /// The rule that allows reading: a directory, or a device class.
        rule: String,
    },
    /// Neither a block device nor a regular file.
    #[error("{} is {kind}; only block devices and regular files are opened", path.display())]
    WrongKind {
        /// The path given.
        path: PathBuf,
        /// What it is instead.
        kind: &'static str,
    },
    /// A file with another name, which may lie outside of what is allowed.
    #[error(
        "{} has {links} names (hard links), and the others may lie outside of what is allowed; \
         copy it, or remove the other names", path.display()
    )]
    OtherNames {
        /// The path given.
        path: PathBuf,
        /// How many names the file has.
        links: u64,
    },
    /// A symbolic link in the path.
    #[error(
        "{} goes through a symbolic link, and none is followed; \
         write the path that it leads to", path.display()
    )]
    SymbolicLink {
        /// The path given.
        path: PathBuf,
    },
    /// A stable name (a link below an allowed device directory) that leads elsewhere.
    #[error(
        "{} is a link to `{}`, which {problem}; write the path of the device itself",
        path.display(), target.display()
    )]
    BadLink {
        /// The path given.
        path: PathBuf,
        /// What the link says.
        target: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The path left its root on the way.
    #[error("{} leads out of the allowed directory {}", path.display(), root.display())]
    Escapes {
        /// The path given.
        path: PathBuf,
        /// The directory.
        root: PathBuf,
    },
    /// Nothing there.
    #[error("{} does not exist", path.display())]
    NotFound {
        /// The path given.
        path: PathBuf,
    },
    /// There is something already.
    #[error("{} exists already; choose another name, or restore into it", path.display())]
    Exists {
        /// The path given.
        path: PathBuf,
    },
    /// A device that sysfs does not know (any more).
    #[error("{} is a block device that {} does not know", path.display(), sys.display())]
    UnknownDevice {
        /// The path given.
        path: PathBuf,
        /// Where sysfs is.
        sys: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// It changed between the look and the opening.
    #[error("{} was replaced while it was being opened; try again", path.display())]
    Replaced {
        /// The path given.
        path: PathBuf,
    },
    /// The kernel has no openat2, or a filter acts as if it had none.
    #[error(
        "this system has no openat2 (Linux 5.6), without which no path is opened safely; \
         use a newer kernel, or a container runtime whose seccomp profile knows it"
    )]
    NoOpenat2 {
        /// The system's answer.
        source: io::Error,
    },
    /// A filter forbids openat2.
    #[error(
        "openat2 is forbidden here, without which no path is opened safely; \
         allow `openat2` in the seccomp profile of this container"
    )]
    Openat2Forbidden {
        /// The system's answer.
        source: io::Error,
    },
    /// Any other refusal of the system.
    #[error("{step} {}", path.display())]
    Io {
        /// What was attempted, as a verb.
        step: &'static str,
        /// The path given.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}
