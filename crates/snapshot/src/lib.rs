//! Holds volumes still while they are read, and tells which bytes changed since an earlier point.
//!
//! A changed-block source may name too much and must never name too little. This crate knows no repository and writes no byte of a volume.
//!
//! # Map
//! - Shapes, without any engine: [`Snapshot`], [`SnapshotProvider`], [`ChangedBlockSource`], [`BaseToken`], [`Facts`], [`Disposition`].
//! - Engines (feature `engines`): `ReflinkProvider` for image files on XFS and btrfs, `LiveProvider` for everything else.
//! - `Registry`: the engines in their order of merit.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod changed_blocks;
mod error;
mod facts;
mod provider;
mod token;

#[cfg(feature = "engines")]
mod clone_file;
#[cfg(feature = "engines")]
mod extent_compare;
#[cfg(feature = "engines")]
mod live;
#[cfg(feature = "engines")]
mod reflink;
#[cfg(feature = "engines")]
mod registry;
#[cfg(feature = "engines")]
mod stamp;

pub use changed_blocks::ChangedBlockSource;
pub use error::{ChangesError, Disposition, SnapshotError};
pub use facts::{Consistency, Facts, SnapshotKind};
pub use provider::{Outcome, Probe, Snapshot, SnapshotProvider, SnapshotRequest};
pub use token::BaseToken;

#[cfg(feature = "engines")]
pub use live::LiveProvider;
#[cfg(feature = "engines")]
pub use reflink::ReflinkProvider;
#[cfg(feature = "engines")]
pub use registry::{Assessment, Registry};
