//! SIGTERM and SIGINT: no work is taken any more, what runs gets the grace period, then the process ends. A second one ends it at once.
//! SIGHUP: limits of throughput are read again; all other settings need a restart.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use crate::config::Config;
use crate::config::Told;
use crate::health::Health;
use crate::services::node::{NodeOperations, SharedLimits};

/// The signals that are listened to.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

/// What signals act on.
pub struct Reactions {
    /// The settings file, for SIGHUP.
    pub config: PathBuf,
    /// Node and cluster where the file does not name them.
    pub told: Told,
    /// How long running operations may go on.
    pub grace: Duration,
    /// The limits in force.
    pub limits: SharedLimits,
    /// What is drained.
    pub operations: Arc<dyn NodeOperations>,
    /// What is told that no work is taken any more.
    pub health: Health,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn listen() -> io::Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Reacts to signals; returns when the agent has been told to end and is drained.
    pub async fn until_drained(mut self, reactions: Reactions) {
        while !self.is_the_end().await {
            reactions.read_limits_again();
        }
        info!(grace_s = reactions.grace.as_secs(), "ending: no work is taken any more");
        reactions.health.not_serving().await;
        let drain = reactions.operations.drain(reactions.grace);
        tokio::pin!(drain);
        loop {
            tokio::select! {
                drained = &mut drain => {
                    info!(finished = drained.finished, interrupted = drained.interrupted, "drained");
                    return;
                }
                end = self.is_the_end() => if end {
                    warn!("told to end a second time: operations that run are left as they are");
                    return;
                },
            }
        }
    }

    /// Waits for a signal; whether it is one to end.
    async fn is_the_end(&mut self) -> bool {
        tokio::select! {
            _ = self.terminate.recv() => true,
            _ = self.interrupt.recv() => true,
            _ = self.hang_up.recv() => false,
        }
    }
}

impl Reactions {
    fn read_limits_again(&self) {
        match Config::read(&self.config, &self.told) {
            Ok(config) => {
                self.operations.set_limits(config.limits);
                self.limits.store(Arc::new(config.limits));
                info!(limits = ?config.limits, "limits read again");
            }
            Err(error) => warn!(%error, "the settings cannot be used, the old limits stay in force"),
        }
    }
}
