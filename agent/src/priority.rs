//! Threads that work on volumes step back behind the workload beside them. Each calls [`WorkerPriority::apply`] when it starts; what it
//! starts itself takes the priority over.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use coffer_blockio::{IoClass, lower_this_thread};
use tracing::warn;

use crate::config::Config;
use crate::metrics::Metrics;
use crate::metrics::labels::Fallback;

/// The priority of worker threads. Clones warn together.
#[derive(Debug, Clone)]
pub struct WorkerPriority {
    io_class: IoClass,
    nice: u8,
    metrics: Metrics,
    warned: Arc<AtomicBool>,
}

impl WorkerPriority {
    /// As configured.
    pub fn new(config: &Config, metrics: Metrics) -> WorkerPriority {
        let (io_class, nice) = config.worker_priority();
        WorkerPriority { io_class, nice, metrics, warned: Arc::default() }
    }

    /// Lowers the calling thread. Where a sandbox forbids it, work goes on without; that is counted, and warned of once.
    pub fn apply(&self) {
        if let Err(error) = lower_this_thread(self.io_class, self.nice) {
            self.metrics.fell_back(Fallback::PriorityDenied);
            if !self.warned.swap(true, Ordering::Relaxed) {
                warn!(%error, "threads cannot be given a lower priority, so backups may slow down the workload beside them");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_gets_the_configured_nice_value() {
        let told = crate::config::Told { node: "node".into(), cluster: None };
        let config = Config::parse("cluster = 'lab'\nrepositories = ['s3://']\nnice = 11", &told).unwrap();
        let priority = WorkerPriority::new(&config, Metrics::new("test"));
        let nice = std::thread::spawn(move || {
            priority.apply();
            // Field 19 of stat(5), counted after the command's name, which may hold blanks.
            let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
            stat.rsplit_once(") ").unwrap().1.split(' ').nth(16).unwrap().to_owned()
        });
        assert_eq!(nice.join().unwrap(), "11");
    }
}
