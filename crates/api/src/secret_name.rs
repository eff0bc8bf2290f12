//! The name of a Secret in the controller's own namespace.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A Secret in the namespace of the controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretName {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}
