//! What was read from Kubernetes, as plain data. Names and paths are as the API gave them; whoever shows them takes control characters out.

/// PersistentVolumes that are paths of nodes, and the pods of the nodes that were asked for.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(super) volumes: Vec<PersistentVolume>,
    pub(super) pods: Vec<Pod>,
}

impl Facts {
    /// Whether Kubernetes runs anything on a node of this name: the agent itself at least, where it is one of Kubernetes' pods.
    pub(crate) fn knows(&self, node: &str) -> bool {
        self.pods.iter().any(|pod| pod.node == node)
    }
}

/// A PersistentVolume that is a path of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PersistentVolume {
    pub(super) name: String,
    pub(super) path: String,
    pub(super) source: Source,
    /// The claim that it is bound to.
    pub(super) claim: Option<Claim>,
}

/// How a PersistentVolume names its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// On whatever node its pod runs.
    HostPath(PathKind),
    /// On these nodes; none where its affinity says more than names.
    Local(Vec<String>),
}

/// What is said to be at a hostPath.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PathKind {
    /// A directory, or nothing is said.
    Directory,
    File,
    BlockDevice,
    /// A socket or a character device: nothing that could be backed up.
    Other,
}

/// A PersistentVolumeClaim.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Claim {
    pub(super) namespace: String,
    pub(super) name: String,
}

/// A pod, as far as volumes go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pod {
    pub(super) uid: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) node: String,
    /// It succeeded or failed: it uses nothing any more.
    pub(super) has_ended: bool,
    /// Names of its claims, those that are made for it included.
    pub(super) claims: Vec<String>,
    /// hostPath volumes of its own.
    pub(super) paths: Vec<String>,
}
