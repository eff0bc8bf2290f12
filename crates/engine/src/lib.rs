//! The engine: changed blocks to packs, packs to points, points back to volumes; verify, forget, prune.
//!
//! It sees disks and object stores only through the port traits of `coffer-blockio` and `coffer-store`, reads time and chance
//! only through [`Environment`], and knows no adapter, no Kubernetes and no network. It must never report success for a point that could not be read
//! back, and never delete what a standing manifest names.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod artefacts;
pub mod backup;
pub mod catalog;
mod chain_keys;
mod error;
mod forget;
mod generations;
mod inventory;
mod io_throttle;
mod limiter;
mod node;
mod objects;
mod pages;
mod pick;
mod pins;
mod ports;
mod proof;
mod prune;
mod read;
mod records;
mod repository;
mod request_error;
mod reserve;
mod resources;
mod restore;
mod retention;
mod rotate;
mod set_aside;
mod shrunk;
mod survey;
mod usage;
mod verify;
mod voids;
mod walk;
mod write;

pub use artefacts::{LeftArtefacts, PointFate, all_teams, left_artefacts, point_fate, strike_off};
pub use chain_keys::{check_chain_key, lend_chain_key};
pub use error::{Advice, EngineError, Fact, HalfWritten, one_line};
pub use forget::{ForgetRequest, forget_by_rules, forget_points, hold, release};
pub use generations::NewestKey;
pub use io_throttle::IoThrottle;
pub use limiter::RateLimiter;
pub use node::{NodeResources, shares_for};
pub use pick::{Intent, OfDay, pick};
pub use ports::{CancelReason, CancelToken, Clock, Entropy, Environment};
pub use proof::{find_point, pick_proven};
pub use prune::{PruneReport, PruneRequest, run_prune};
pub use repository::{Access, Repository, SaveKey};
pub use request_error::{IncrementalObstacle, RecoveryUse, RequestError, SignedRequest};
pub use resources::{MEMORY_BYTES_MIN, Resources};
pub use restore::{
    LostRange, MapVolume, RestoreMode, RestoreReport, RestoreRequest, RestoreVolume, RestoredVolume,
    check_restore, map_volume, restore_to_stream, run_restore, run_salvage, salvage_from_map,
};
pub use retention::{KeepRules, Verdict, decide};
pub use rotate::{RotateReport, finish_rotation, rotate};
pub use usage::{UsageBy, UsageLabels, UsageRow, usage};
pub use verify::{Problem, VerifyReport, VerifyRequest, run_verify};
