//! Full or incremental.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whether a point builds on an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PointType {
    /// Opens a chain.
    Full,
    /// Builds on a point of its chain.
    Incremental,
}

impl fmt::Display for PointType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
        })
    }
}
