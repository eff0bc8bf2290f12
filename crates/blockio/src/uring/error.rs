//! Why io_uring cannot be used here. Must name the cause, since a person has to decide what to change.

use std::io;

use nix::errno::Errno;
use thiserror::Error;

/// Why io_uring cannot be used in this process.
#[derive(Debug, Error)]
pub enum UringError {
    /// The system calls are forbidden.
    #[error(
        "io_uring is forbidden here, by a seccomp filter (container runtimes have one by default) or by \
         kernel.io_uring_disabled"
    )]
    Forbidden {
        /// The system's answer.
        source: io::Error,
    },
    /// The system calls do not exist.
    #[error("this kernel, or the sandbox around this process, has no io_uring")]
    Missing {
        /// The system's answer.
        source: io::Error,
    },
    /// The kernel's io_uring lacks something.
    #[error("the io_uring of this kernel is too old: it lacks {feature}")]
    TooOld {
        /// The name of the feature, as in `linux/io_uring.h`.
        feature: &'static str,
    },
    /// A step of setting up or trying out failed.
    #[error("io_uring does not work here: cannot {step}")]
    Failed {
        /// What was attempted, as a verb with its object.
        step: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

impl UringError {
    pub(super) fn from_setup(source: io::Error) -> Self {
        match source.raw_os_error().map(Errno::from_raw) {
            Some(Errno::EPERM | Errno::EACCES) => Self::Forbidden { source },
            Some(Errno::ENOSYS) => Self::Missing { source },
            _ => Self::Failed { step: "set up a ring", source },
        }
    }

    pub(super) fn failed(step: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Failed { step, source }
    }
}
