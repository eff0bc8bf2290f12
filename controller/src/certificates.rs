//! Certificates between controller and agents: an authority of Coffer's own, kept in Secrets and renewed in time.
//!
//! Whoever has another source of certificates (cert-manager, SPIRE) turns this off and keeps the same Secrets.

mod decide;
mod make;
mod secrets;

pub use self::secrets::{CONTROLLER_SECRET, ensure};
