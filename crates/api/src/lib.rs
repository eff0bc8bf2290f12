//! The custom resources of Coffer, group `coffer.dev`, version `v1alpha1`.
//!
//! What the types say is what the API server enforces: schemas and validation rules are generated from them into `deploy/crds`, and a test holds
//! the files against the types. Field docs are what `kubectl explain` shows. Nothing here talks to an API server.
#![allow(unreachable_pub, reason = "kube's derive makes items of its own")]
#![allow(clippy::duplicated_attributes, reason = "each printer column has the same keys")]

mod backup;
mod condition;
mod definitions;
mod location;
mod names;
mod plan;
mod restore;
mod secret_name;
mod selector;
mod team;

pub use self::backup::{
    Backup, BackupPhase, BackupSpec, BackupStatus, BackupType, BackupVolume, Origin, PointIdentity,
};
pub use self::condition::{Condition, ConditionStatus, set_condition};
pub use self::definitions::definitions;
pub use self::location::{AccessMode, BackupLocation, BackupLocationSpec, BackupLocationStatus, Prune, S3};
pub use self::names::{annotation, label};
pub use self::plan::{
    Chain, ContinuityPlan, ContinuityPlanSpec, ContinuityPlanStatus, HostPath, LastRun, Objectives,
    Resources, Retention, Schedule, Selection, Unprotected, Workload, WorkloadKind,
};
pub use self::restore::{
    ConflictPolicy, PlanSource, Restore, RestoreFinding, RestorePhase, RestoreSource, RestoreSpec,
    RestoreStage, RestoreStatus, RestoreTarget, RestoredVolumeStatus, ScaledDown, StorageClassMapping,
    TargetMode,
};
pub use self::secret_name::SecretName;
pub use self::selector::{LabelRequirement, LabelSelector, Operator};
pub use self::team::{Team, TeamKeys, TeamSpec, TeamStatus};

/// Group of all kinds.
pub const GROUP: &str = "coffer.dev";
/// Version of all kinds.
pub const VERSION: &str = "v1alpha1";
