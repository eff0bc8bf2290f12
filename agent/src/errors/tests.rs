//! One row for everything that a caller can tell apart.

use coffer_blockio::ReadError;
use coffer_format::Id;
use coffer_store::Operation;

use super::*;

fn run() -> Id {
    Id::from_bytes([1; 16])
}

fn store(error: StoreError) -> AgentError {
    error.into()
}

#[test]
fn every_error_has_its_code_kind_and_advice() {
    let key = || "t/x".to_owned();
    let journal =
        |kind: io::ErrorKind| AgentError::Journal { step: "write", path: "/s".into(), source: kind.into() };
    let open = |source| AgentError::Open { what: "volume db".into(), source };
    let path = || "/dev/x".into();
    let table: Vec<(AgentError, Code, &str, &str)> = vec![
        (EngineError::Cancelled.into(), Code::Cancelled, "cancelled", "retry"),
        (EngineError::DeadlinePassed.into(), Code::DeadlineExceeded, "deadline-passed", "retry"),
        (EngineError::ShuttingDown.into(), Code::Unavailable, "shutting-down", "retry"),
        (EngineError::Usage("x".into()).into(), Code::InvalidArgument, "usage", "configure"),
        (EngineError::NotFound("x".into()).into(), Code::NotFound, "not-found", "not-found"),
        (EngineError::Refused("x".into()).into(), Code::FailedPrecondition, "refused", "refused"),
        (EngineError::Fenced { run: run(), reason: "x".into() }.into(), Code::Aborted, "fenced", "fenced"),
        (EngineError::Forgotten(run()).into(), Code::NotFound, "forgotten", "not-found"),
        (EngineError::Bug("x".into()).into(), Code::Internal, "bug", "bug"),
        (EngineError::Entropy("x".into()).into(), Code::Unavailable, "entropy", "retry"),
        (
            EngineError::Damaged { volume: "v".into(), key: key(), offset: 7, detail: "x".into() }.into(),
            Code::DataLoss,
            "damaged",
            "corrupt",
        ),
        (
            EngineError::Source {
                volume: "v".into(),
                source: ReadError::Short { path: path(), offset: 0, len_bytes: 2, read_bytes: 1 },
            }
            .into(),
            Code::Unavailable,
            "source-read",
            "retry",
        ),
        (
            EngineError::AllVolumesFailed(Box::new(EngineError::Usage("x".into()))).into(),
            Code::InvalidArgument,
            "usage",
            "configure",
        ),
        (store(StoreError::NotFound { key: key() }), Code::NotFound, "store", "not-found"),
        (
            store(StoreError::NoSpace { operation: Operation::Put, key: key() }),
            Code::ResourceExhausted,
            "store",
            "configure",
        ),
        (
            store(StoreError::Denied { operation: Operation::Put, key: key(), source: None }),
            Code::PermissionDenied,
            "store",
            "configure",
        ),
        (
            store(StoreError::Unavailable { operation: Operation::Put, key: key(), source: None }),
            Code::Unavailable,
            "store",
            "retry",
        ),
        (open(OpenError::NotFound { path: path() }), Code::NotFound, "not-found", "not-found"),
        (open(OpenError::Exists { path: path() }), Code::FailedPrecondition, "refused", "refused"),
        (
            open(OpenError::Busy { path: path(), reason: "x".into() }),
            Code::FailedPrecondition,
            "refused",
            "refused",
        ),
        (open(OpenError::Replaced { path: path() }), Code::Unavailable, "open", "retry"),
        (AgentError::Usage("x".into()), Code::InvalidArgument, "usage", "configure"),
        (AgentError::NotFound("x".into()), Code::NotFound, "not-found", "not-found"),
        (AgentError::Refused("x".into()), Code::FailedPrecondition, "refused", "refused"),
        (AgentError::Denied("x".into()), Code::PermissionDenied, "permission-denied", "configure"),
        (AgentError::Full("x".into()), Code::ResourceExhausted, "full", "retry"),
        (AgentError::Draining, Code::Unavailable, "draining", "retry"),
        (journal(io::ErrorKind::StorageFull), Code::ResourceExhausted, "journal", "configure"),
        (journal(io::ErrorKind::PermissionDenied), Code::FailedPrecondition, "journal", "configure"),
        (AgentError::Stopped(Stop::Cancelled), Code::Cancelled, "cancelled", "retry"),
        (AgentError::Stopped(Stop::Deadline), Code::DeadlineExceeded, "deadline-passed", "retry"),
        (AgentError::Stopped(Stop::Shutdown), Code::Unavailable, "shutting-down", "retry"),
        (AgentError::Bug("x".into()), Code::Internal, "bug", "bug"),
    ];
    for (error, code, kind, advice) in table {
        let status = Status::from(&error);
        assert_eq!((status.code(), error.kind(), error.advice().as_str()), (code, kind, advice), "{error}");
        let details = status.get_error_details();
        let info = details.error_info().expect("an ErrorInfo");
        assert_eq!((info.reason.as_str(), info.domain.as_str()), (kind, DOMAIN));
        assert_eq!(info.metadata.get("advice").map(String::as_str), Some(advice));
        let failure = error.failure();
        assert_eq!((failure.code, failure.message.as_str()), (code.into(), status.message()));
        assert!(!failure.message.contains('\n'));
    }
}

#[test]
fn a_status_names_what_was_hit() {
    let error =
        EngineError::Damaged { volume: "db".into(), key: "t/x".into(), offset: 7, detail: "tag".into() };
    let status = Status::from(AgentError::from(error));
    let details = status.get_error_details();
    let metadata = &details.error_info().unwrap().metadata;
    assert_eq!(metadata["key"], "t/x");
    assert_eq!(metadata["offset"], "7");
    let request = coffer_proto::checked::operation_id("x").unwrap_err();
    let status = Status::from(AgentError::from(request));
    assert_eq!(status.get_error_details().error_info().unwrap().metadata["field"], "id");
}
