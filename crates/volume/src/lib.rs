//! What can be protected on this node, and opening it safely.
//!
//! Two halves that share only the facts about devices:
//! - [`Inventory`] looks: block devices, kubelet's volumes, directories and images below configured directories, each
//!   with its engine, its abilities, who uses it, and why it cannot be done better. It reads text files of sysfs,
//!   mountinfo and kubelet's directory and opens no device. It never fails as a whole and never trusts what it reads.
//! - [`Gate`] opens: what a caller names, by handle, if the node's [`Policy`] allows it. It trusts no path.
//!
//! What the inventory lists is advice; what the gate opens is what it judged. A name from a listing goes through the
//! gate like any other.
//!
//! This crate knows no other of this project, starts no thread, waits for no network file system, and changes nothing
//! on the node but for the files that [`Gate::create_file`] makes.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod abilities;
mod device;
mod device_class;
mod device_number;
mod directory;
mod engine;
mod gate;
mod id;
mod inventory;
mod kind;
mod kubelet;
mod mounts;
mod pod_names;
mod problem;
mod reader;
mod roots;
mod stable_names;
mod swaps;
mod volume;

pub use abilities::{Abilities, Ability, ChangedBlocks, SnapshotMethod};
pub use device::{Device, Mapper};
pub use device_class::DeviceClass;
pub use device_number::{DeviceNumber, KnownDevice};
pub use engine::Engine;
pub use gate::{Access, CreatedFile, Gate, GateError, Opened, OpenedVolume, Policy};
pub use id::{IdSource, VolumeId};
pub use inventory::{Images, Inventory, Listing, Problem, Stopped};
pub use kubelet::{Claim, ClaimMode, CsiFacts};
pub use mounts::Mount;
pub use pod_names::PodName;
pub use reader::Effort;
pub use roots::{DirectoryRoot, DirectoryUse, MountView, Roots};
pub use volume::{Consistency, FileSystem, Use, Volume, VolumeKind};
