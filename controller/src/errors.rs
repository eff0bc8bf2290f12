//! What keeps a reconciler from its work. It is logged once and tried again.

/// Why a reconciler could not do its work now.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The API did not do what was asked.
    #[error("the Kubernetes API: {0}")]
    Api(#[from] kube::Error),
    /// Anything else, in words.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}
