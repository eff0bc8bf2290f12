//! What to do about a request that the engine cannot serve, in the words of the command line.

use coffer_engine::{RecoveryUse, RequestError, SignedRequest};
use coffer_format::KeyKind;

/// The options that set it right.
pub(crate) fn next_step(error: &RequestError) -> &'static str {
    match error {
        RequestError::NoKey => "give --key FILE or COFFER_KEY_FILE",
        RequestError::NoKeyToSign(SignedRequest::Prune) => {
            "give --key FILE or COFFER_KEY_FILE; --dry-run needs none"
        }
        RequestError::NoKeyToSign(SignedRequest::ForgetByRules) => {
            "give --key FILE or COFFER_KEY_FILE; or --unverified, to decide by digests, which prove no author"
        }
        RequestError::NoKeyToSign(SignedRequest::ForgetPoints | SignedRequest::Hold) => {
            "give --key FILE or COFFER_KEY_FILE"
        }
        RequestError::NoRecoveryKey(RecoveryUse::VerifyData) => {
            "give --key RECOVERY-KEY-FILE, or leave --read-data out"
        }
        RequestError::NoRecoveryKey(RecoveryUse::Read | RecoveryUse::Rotate) => {
            "give --key RECOVERY-KEY-FILE"
        }
        RequestError::KeyReplaced { kind: KeyKind::Writer, .. } => {
            "run `coffer key writer --key RECOVERY-KEY --writer-key-out FILE`"
        }
        RequestError::KeyReplaced { kind: KeyKind::Recovery | KeyKind::Chain, .. } => "give it by --key",
        RequestError::NoKeepRule => {
            "say what to keep: --keep-days, --keep-last, --keep-hourly, --keep-daily, --keep-weekly or --keep-monthly"
        }
        RequestError::MemoryTooSmall { .. } => "give a larger --memory",
        RequestError::NoVolumes => "name at least one: NAME=PATH or PATH",
        RequestError::SameName => "give them names: NAME=PATH",
        RequestError::ChainLength(_) => "correct --full-every",
        RequestError::NoIncremental(_) => "give --type auto or full instead of --type incremental",
        RequestError::NoHoles { .. } => "give --changes auto instead of --changes fiemap",
        RequestError::OtherBlockSize { .. } => "leave --block-size out, or open a new chain with --type full",
        RequestError::MapTooLong { .. } => "give a larger --block-size, with --type full",
        RequestError::SnapshotInFuture { .. } => "correct --snapshot-time",
        RequestError::SampleTooLarge { .. } => {
            "give a smaller --sample; to read everything give --changes hash"
        }
        RequestError::OtherListBase { .. } => "correct --list-base",
    }
}
