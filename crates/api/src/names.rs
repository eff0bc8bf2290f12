//! Labels and annotations that Coffer sets or heeds.

/// Labels.
pub mod label {
    /// On a `Backup`: its point's id.
    pub const POINT: &str = "coffer.dev/point";
    /// On a `Backup`: its plan's name.
    pub const PLAN: &str = "coffer.dev/plan";
    /// On a `Backup`: the cluster that made its point.
    pub const CLUSTER: &str = "coffer.dev/cluster";
    /// On a `Backup`: `Local` or `Discovered`.
    pub const ORIGIN: &str = "coffer.dev/origin";
    /// On what a `Restore` makes: the restore's name.
    pub const RESTORE: &str = "coffer.dev/restore";
    /// On Jobs of the controller: the location that they are for.
    pub const LOCATION: &str = "coffer.dev/location";
    /// On Jobs of the controller: the team that they are for.
    pub const TEAM: &str = "coffer.dev/team";
}

/// Annotations.
pub mod annotation {
    /// On an object of an application: it is left out of points.
    pub const EXCLUDE: &str = "coffer.dev/exclude";
    /// On a restored object: the point that it came from.
    pub const RESTORED_FROM: &str = "coffer.dev/restored-from";
}
