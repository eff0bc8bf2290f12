//! The system's limit on the length of files (`ulimit -f`).
//!
//! By itself the system kills a process that writes past it. A process that ignores the signal is told by the write instead.
#![allow(unsafe_code)]

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::sys::signal::{SigHandler, Signal, signal};

/// From now on a write past the limit fails with `EFBIG` and ends nothing. For the whole process.
pub fn outlive_file_limit() {
    // SAFETY: no handler of ours is installed: the signal is ignored.
    let _before = unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) };
}

/// The longest file that this process may write, in bytes; `None` without a limit.
pub fn file_limit_bytes() -> Option<u64> {
    getrlimit(Resource::RLIMIT_FSIZE).ok().map(|(soft, _)| soft).filter(|limit| *limit != RLIM_INFINITY)
}

/// Whether a write or a change of length failed because the file would be too long.
pub fn is_past_file_limit(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::FileTooLarge
}
