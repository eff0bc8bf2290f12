//! What can go wrong with resources.

use std::io;
use std::path::PathBuf;

use coffer_plugin_sdk::{PluginError, Reason};

use crate::graph::GraphError;

/// Work on resources failed.
#[derive(Debug, thiserror::Error)]
pub enum ResourceError {
    /// A plugin, or the way to it.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// No plugin has the type.
    #[error(
        "no plugin has resources of type {kind}{silent}; start it, its socket lies in the directory of plugins"
    )]
    NoPlugin {
        /// The type.
        kind: String,
        /// Plugins that do not answer, in brackets.
        silent: String,
    },
    /// Resources that cannot be put in an order.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// Not all resources could be found, so that a point would miss some.
    #[error("resources below {parent} cannot be enumerated: {detail}; a point would miss some")]
    Incomplete {
        /// Where.
        parent: String,
        /// What is missing.
        detail: String,
    },
    /// Every resource of a run failed, and there was nothing else to make a point of.
    #[error("no resource could be protected, so no point was made: {0}")]
    NothingProtected(String),
    /// A guard said no.
    #[error("{0}")]
    Refused(String),
    /// A file of the journal or of data.
    #[error("{step} {}", path.display())]
    File {
        /// What was attempted, a verb.
        step: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl ResourceError {
    /// The plugin's reason, where a plugin told one.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            ResourceError::Plugin(error) => Some(error.failure.reason),
            _ => None,
        }
    }
}
