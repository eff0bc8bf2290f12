//! Times and limits of a store, and who it speaks as.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;

use super::retry::Patience;
use crate::reach::Reach;

/// What a store is given besides its address. Tests shorten the times.
#[derive(Clone)]
pub struct Tuning {
    /// Longest time to make a connection.
    pub connect: Duration,
    /// A connection on which no byte moves for so long is given up.
    pub stall: Duration,
    /// How long failures are borne; the address' `patience` where `None`.
    pub patience: Option<Patience>,
    /// Most requests at once.
    pub requests_max: u32,
    /// Credentials; of environment, profile, web identity, container or instance where `None`.
    pub credentials: Option<SharedCredentialsProvider>,
    /// Once this is true, waiting ends within a second.
    pub cancelled: Option<Arc<AtomicBool>>,
    /// Which servers may be connected to. Where credentials come from is not concerned.
    pub reach: Reach,
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning {
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            patience: None,
            requests_max: 64,
            credentials: None,
            cancelled: None,
            reach: Reach::Anywhere,
        }
    }
}
