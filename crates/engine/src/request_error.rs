//! Requests that cannot be served as they are.
//!
//! The words name no option of any program: whoever took the request (a command line, a service) adds what its own settings are called.

use coffer_format::{Id, KeyKind, Label, Timestamp, VolumeName};

/// A request that contradicts itself or the repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// An encrypted repository was opened without a key.
    #[error("this needs a key: a writer key is enough to write, a recovery key to read")]
    NoKey,
    /// What the operation says is signed, and there is no key to sign with.
    #[error("{} in an encrypted repository needs a key, as what it says is signed: a writer key is enough", .0.verb())]
    NoKeyToSign(SignedRequest),
    /// A rotation replaced the key that the repository was opened with.
    #[error(
        "the {} key of team {team} is of generation {generation}, which generation {newest} replaced: what it signs from then on does not count; {} of \
         generation {newest}",
        kind_text(*kind),
        instead(*kind)
    )]
    KeyReplaced {
        /// Which kind of key.
        kind: KeyKind,
        /// Its team.
        team: Label,
        /// Its generation.
        generation: u32,
        /// The newest generation.
        newest: u32,
    },
    /// Only the recovery key can do this.
    #[error("{}", .0.text())]
    NoRecoveryKey(RecoveryUse),
    /// Retention without a rule would give up all but one point.
    #[error("no rule says which points are kept")]
    NoKeepRule,
    /// The memory does not hold the smallest set of buffers.
    #[error(
        "{memory_bytes} bytes of memory are too little: at least {memory_bytes_min} bytes (64MiB) are needed"
    )]
    MemoryTooSmall {
        /// Bytes given.
        memory_bytes: u64,
        /// Bytes needed.
        memory_bytes_min: u64,
    },
    /// A point has at least one volume.
    #[error("no volume was named")]
    NoVolumes,
    /// A point holds each name once.
    #[error("two volumes have the same name")]
    SameName,
    /// A chain cannot have so many points.
    #[error("a chain of {0} points: 1 to 256 are possible")]
    ChainLength(u32),
    /// An incremental point was asked for and cannot be made.
    #[error("no incremental point can be made: {0}")]
    NoIncremental(IncrementalObstacle),
    /// Holes were to be left out, of a source that does not tell them.
    #[error("volume {volume} is on something that does not tell its holes")]
    NoHoles {
        /// The volume.
        volume: VolumeName,
    },
    /// The block size of a volume changes only with a new chain.
    #[error(
        "volume {volume} has blocks of {found_bytes} bytes in this chain, {asked_bytes} were asked for: the block size changes only with a new chain"
    )]
    OtherBlockSize {
        /// The volume.
        volume: VolumeName,
        /// Bytes of a block in the chain.
        found_bytes: u32,
        /// Bytes of a block as asked for.
        asked_bytes: u32,
    },
    /// The map of so many blocks may not fit into an upload.
    #[error(
        "volume {volume} has {blocks} blocks of {block_bytes} bytes: the map of so many can be longer than an upload in parts of {part_bytes} bytes \
         may be"
    )]
    MapTooLong {
        /// The volume.
        volume: VolumeName,
        /// Its blocks.
        blocks: u32,
        /// Bytes of a block.
        block_bytes: u32,
        /// Bytes of a part.
        part_bytes: usize,
    },
    /// The source cannot have been frozen later than now.
    #[error("the snapshot's time {time} is in the future, it is {now}; check the clocks")]
    SnapshotInFuture {
        /// The time given.
        time: Timestamp,
        /// This machine's time.
        now: Timestamp,
    },
    /// More blocks are to be sampled than is allowed.
    #[error("a sample of {sample} blocks is more than {sample_max}")]
    SampleTooLarge {
        /// Blocks asked for.
        sample: u32,
        /// Blocks allowed.
        sample_max: u32,
    },
    /// The lists hold the changes since another point than the one that is built on.
    #[error(
        "the lists of changes begin at point {base}: this run builds on point {parent}, and what changed between the two would be missing; give the \
         changes since {parent}, or leave the lists out"
    )]
    OtherListBase {
        /// The point that the lists begin at.
        base: Id,
        /// The point that is built on.
        parent: Id,
    },
}

/// An operation whose records are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedRequest {
    /// Forget by rules.
    ForgetByRules,
    /// Forget of named points.
    ForgetPoints,
    /// Hold or release.
    Hold,
    /// Prune.
    Prune,
}

impl SignedRequest {
    fn verb(self) -> &'static str {
        match self {
            SignedRequest::ForgetByRules | SignedRequest::ForgetPoints => "forget",
            SignedRequest::Hold => "hold",
            SignedRequest::Prune => "prune",
        }
    }
}

/// What only the recovery key can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecoveryUse {
    /// Reading data.
    Read,
    /// Verifying data.
    VerifyData,
    /// Rotating the key.
    Rotate,
}

impl RecoveryUse {
    fn text(self) -> &'static str {
        match self {
            RecoveryUse::Read => {
                "reading data needs the recovery key; a writer key can write and compare, never read"
            }
            RecoveryUse::VerifyData => "verifying data needs the recovery key",
            RecoveryUse::Rotate => "rotation needs the recovery key",
        }
    }
}

/// Why no incremental point can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IncrementalObstacle {
    /// There is nothing to build on.
    #[error("the plan has no complete point to build on")]
    NoParent,
    /// The newest point is on its way out.
    #[error("the newest point {0} is being ended by forget or prune")]
    ParentEnding(Id),
    /// Who has the newest recovery key only could not read it.
    #[error("the key of chain {0} is not sealed to the newest recovery key, or its secrets were replaced")]
    OtherKey(Id),
}

impl RequestError {
    /// Whether a guard said no, as opposed to a value that is wrong by itself.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            RequestError::NoIncremental(_)
                | RequestError::OtherListBase { .. }
                | RequestError::KeyReplaced { .. }
        )
    }
}

fn kind_text(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Writer => "writer",
        KeyKind::Chain => "chain",
        KeyKind::Recovery => "recovery",
    }
}

fn instead(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Writer => "make a new writer key from the recovery key",
        KeyKind::Chain => "make a new chain key from the recovery key",
        KeyKind::Recovery => "use a writer key made from the recovery key, or that key itself,",
    }
}
