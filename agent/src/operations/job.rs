//! Work that waits to be done.

use super::request::Request;
use super::volumes::Behalf;

/// Work, with the secrets that it needs.
pub(super) struct Job {
    pub(super) request: Request,
    pub(super) behalf: Behalf,
}
