//! Exit statuses of commands, and which advice leads to which.

use std::process::ExitCode;

use coffer_engine::Advice;

/// The exit statuses that scripts rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Usage or configuration.
    Usage = 2,
    /// Partly done: some volumes failed.
    Partly = 3,
    /// What was asked for is not there.
    NotFound = 4,
    /// Something stored is damaged or forged.
    Damaged = 5,
    /// A guard said no.
    Refused = 6,
    /// Cancelled by a signal.
    Cancelled = 130,
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> ExitCode {
        ExitCode::from(status as u8)
    }
}

/// The status of a command that fails with this advice.
pub(crate) fn status_of(advice: Advice) -> ExitStatus {
    match advice {
        Advice::Retry | Advice::Fenced | Advice::Bug => ExitStatus::Failed,
        Advice::Configure => ExitStatus::Usage,
        Advice::Corrupt => ExitStatus::Damaged,
        Advice::NotFound => ExitStatus::NotFound,
        Advice::Refused => ExitStatus::Refused,
    }
}
