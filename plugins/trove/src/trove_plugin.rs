//! What the plugin is made of, and the types that it knows.

use std::time::Duration;

use crate::trove::Trove;

/// Type of a database instance.
pub(crate) const INSTANCE: &str = "OS::Trove::Instance";
/// Type of a project, which holds instances.
pub(crate) const PROJECT: &str = "OS::Keystone::Project";

/// Protects the database instances of one project.
pub(crate) struct TrovePlugin {
    pub(crate) trove: Trove,
    /// Between two looks at work that is being done.
    pub(crate) poll: Duration,
}
