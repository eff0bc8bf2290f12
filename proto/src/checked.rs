//! Domain types behind the messages: whoever has one need not check it again.
//!
//! Each request becomes its type by `TryFrom`, once, at the edge. An error names the field and says what to write instead; it never repeats
//! what may be a secret. Nothing here acts, and no input panics.

mod backup;
mod field;
mod fingerprint;
mod lookup;
mod plugin;
mod point_reference;
mod repository;
mod restore;
mod secret;
mod verify;
mod volume;

pub use backup::{BackupVolume, Changes, ReadEngine, StartBackup};
pub use field::{IdempotencyKey, KEY_LEN_MAX, RequestError, TIMEOUT_MAX, VOLUMES_MAX};
pub use lookup::{ListOperations, OperationState, WatchOperation, operation_id};
pub use plugin::{
    DATA_LEN_MAX, DETAILS_LEN_MAX, OPTIONS_LEN_MAX, PluginArtefact, PluginWork, SchemaVersion, options,
};
pub use point_reference::{COORDINATOR_BYTES_MAX, PointReference};
pub use repository::{KeySource, RepositoryAccess, S3Keys, S3Source, SecretName};
pub use restore::{RestoreMode, RestoreVolume, StartRestore};
pub use secret::SecretText;
pub use verify::{PlanFilter, StartVerify};
pub use volume::VolumeRef;
