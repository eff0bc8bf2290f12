//! What to do about a request that the engine cannot serve, in the words of this agent's callers: fields of requests.

use coffer_engine::{RecoveryUse, RequestError};

/// The fields that set it right, where a caller can.
pub(crate) fn next_step(error: &RequestError) -> Option<&'static str> {
    Some(match error {
        RequestError::NoKey | RequestError::NoKeyToSign(_) => {
            "send `repository.key` or `repository.key_name`"
        }
        RequestError::NoRecoveryKey(RecoveryUse::VerifyData) => {
            "send a recovery key by `repository.key` or `repository.key_name`, or leave `read_data_percent` out"
        }
        RequestError::NoRecoveryKey(RecoveryUse::Read | RecoveryUse::Rotate) => {
            "send a recovery key by `repository.key` or `repository.key_name`"
        }
        RequestError::MemoryTooSmall { .. } => "raise `memory` in the settings of the agent",
        RequestError::NoVolumes | RequestError::SameName => "correct `volumes`",
        RequestError::NoHoles { .. } => "send `changes` auto",
        RequestError::OtherBlockSize { .. } => "leave `block_bytes` out, or open a full point",
        RequestError::MapTooLong { .. } => "send larger `block_bytes`, and open a full point",
        RequestError::KeyReplaced { .. } => "send that key by `repository.key` or `repository.key_name`",
        RequestError::NoKeepRule
        | RequestError::ChainLength(_)
        | RequestError::NoIncremental(_)
        | RequestError::SnapshotInFuture { .. }
        | RequestError::SampleTooLarge { .. }
        | RequestError::OtherListBase { .. } => return None,
    })
}
