//! What a client gets that is refused, and how an answer is held up.

use std::io;
use std::time::Duration;

/// How long connections are refused, each time.
pub(super) const REFUSED: Duration = Duration::from_millis(60);

/// An error that says when it came.
pub(super) fn during(what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
