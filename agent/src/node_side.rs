//! Operations, as the service `Node`, signals and metrics see them.

use std::time::Duration;

use coffer_engine::NodeResources;

use crate::config::Limits;
use crate::limiters::Limiters;
use crate::metrics::Levels;
use crate::operations::Operations;
use crate::services::node::{Counts, Drained, NodeOperations};

/// Operations, as `Node` and signals see them.
pub(crate) struct NodeSide {
    pub(crate) operations: Operations,
    pub(crate) limiters: Limiters,
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[tonic::async_trait]
impl NodeOperations for NodeSide {
    fn counts(&self) -> Counts {
        let counts = self.operations.counts();
        let running = counts.backups + counts.restores + counts.verifications;
        Counts { running: number(running), queued: number(counts.waiting) }
    }

    fn is_draining(&self) -> bool {
        self.operations.is_draining()
    }

    fn set_limits(&self, limits: Limits) {
        self.limiters.set(limits);
    }

    async fn drain(&self, grace: Duration) -> Drained {
        let operations = self.operations.clone();
        let drained = tokio::task::spawn_blocking(move || operations.drain(grace)).await;
        drained.map_or_else(
            |_| Drained::default(),
            |drained| Drained {
                finished: number(drained.finished),
                interrupted: number(drained.interrupted),
            },
        )
    }
}

/// What the metrics tell of the present.
pub(crate) fn levels_of(operations: &Operations, resources: &NodeResources) -> Levels {
    let counts = operations.counts();
    let (arena_used_bytes, arena_limit_bytes) = resources.arena_bytes();
    Levels {
        running: [number(counts.backups), number(counts.restores), number(counts.verifications)],
        queued: number(counts.waiting),
        arena_used_bytes,
        arena_limit_bytes,
    }
}
