//! `coffer.agent.v1.Node`: what the agent is, and emptying it. A thin layer over [`NodeOperations`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use coffer_proto::agent::v1::node_server::Node;
use coffer_proto::agent::v1::{self, DrainRequest, DrainResponse, InfoRequest, InfoResponse};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::config::Limits;
use crate::edge::authorize::identity_of;
use crate::health::Health;

/// Longest grace period that a caller may ask for.
const GRACE_MAX: Duration = Duration::from_secs(3_600);

/// Operations that run and that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Run.
    pub running: u32,
    /// Wait.
    pub queued: u32,
}

/// How a drain went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drained {
    /// Operations that ended by themselves.
    pub finished: u32,
    /// Operations that were interrupted; started again with their keys they go on.
    pub interrupted: u32,
}

/// What the node's calls and signals need of the operations.
#[tonic::async_trait]
pub trait NodeOperations: Send + Sync + 'static {
    /// Operations that run and that wait.
    fn counts(&self) -> Counts;

    /// Whether work is still taken.
    fn is_draining(&self) -> bool;

    /// Puts other limits of throughput in force, also for what runs.
    fn set_limits(&self, limits: Limits);

    /// Stops taking work, waits up to `grace` for what runs, and interrupts the rest. Returns when nothing runs any more. A second call, also
    /// one with less grace while the first one waits, is allowed.
    async fn drain(&self, grace: Duration) -> Drained;
}

/// What an agent is from its start to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFacts {
    /// Version of the program.
    pub version: String,
    /// Name of the node.
    pub node: String,
    /// Name of its cluster.
    pub cluster: String,
    /// `uring` or `pread`.
    pub read_engine: String,
    /// What this node cannot do, and why.
    pub missing: Vec<String>,
    /// The process stays below this resident size, bytes.
    pub memory_bytes: u64,
    /// Operations that may run at once.
    pub operations_max: u32,
    /// Operations that may wait.
    pub queued_max: u32,
    /// Threads that compute.
    pub threads: u32,
    /// Grace of a drain whose caller names none.
    pub grace_period: Duration,
}

/// The limits of throughput in force, shared by whoever shows or changes them.
pub type SharedLimits = Arc<arc_swap::ArcSwap<Limits>>;

/// The service.
pub struct NodeService {
    facts: NodeFacts,
    limits: SharedLimits,
    operations: Arc<dyn NodeOperations>,
    health: Health,
}

impl NodeService {
    /// Answers with `facts`, and with what `operations` say.
    pub fn new(
        facts: NodeFacts,
        limits: SharedLimits,
        operations: Arc<dyn NodeOperations>,
        health: Health,
    ) -> NodeService {
        NodeService { facts, limits, operations, health }
    }

    fn limits(&self) -> v1::Limits {
        let limits = **self.limits.load();
        v1::Limits {
            memory_bytes: self.facts.memory_bytes,
            operations_max: self.facts.operations_max,
            queued_max: self.facts.queued_max,
            read_bytes_per_second: limits.read_bytes_per_second.0,
            read_requests_per_second: limits.read_requests_per_second,
            upload_bytes_per_second: limits.upload_bytes_per_second.0,
            threads: self.facts.threads,
        }
    }
}

#[tonic::async_trait]
impl Node for NodeService {
    async fn info(&self, request: Request<InfoRequest>) -> Result<Response<InfoResponse>, Status> {
        identity_of(&request)?;
        let Counts { running, queued } = self.operations.counts();
        Ok(Response::new(InfoResponse {
            version: self.facts.version.clone(),
            node: self.facts.node.clone(),
            limits: Some(self.limits()),
            read_engine: self.facts.read_engine.clone(),
            missing: self.facts.missing.clone(),
            draining: self.operations.is_draining(),
            running,
            queued,
            cluster: self.facts.cluster.clone(),
        }))
    }

    async fn drain(&self, request: Request<DrainRequest>) -> Result<Response<DrainResponse>, Status> {
        let caller = identity_of(&request)?.clone();
        let grace = grace(request.get_ref(), self.facts.grace_period)?;
        tracing::info!(%caller, grace_s = grace.as_secs(), "drain asked for");
        self.health.not_serving().await;
        let operations = Arc::clone(&self.operations);
        // A drain goes on when its caller leaves.
        let drained = tokio::spawn(async move { operations.drain(grace).await }).await;
        let Drained { finished, interrupted } = drained
            .map_err(|_| Status::internal("the drain ended in a panic: this is a mistake in the agent"))?;
        Ok(Response::new(DrainResponse { finished, interrupted }))
    }
}

/// How long what runs may go on.
fn grace(request: &DrainRequest, default: Duration) -> Result<Duration, Status> {
    let Some(asked) = request.grace else { return Ok(default) };
    match Duration::try_from(asked) {
        Ok(grace) if grace <= GRACE_MAX => Ok(grace),
        _ => {
            let message = format!("`grace` is {}.{:09} s: write 0 s to 3600 s", asked.seconds, asked.nanos);
            let metadata = HashMap::from([("advice".to_owned(), "configure".to_owned())]);
            let details = ErrorDetails::with_error_info("usage", "coffer.dev", metadata);
            Err(Status::with_error_details(Code::InvalidArgument, message, details))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grace_is_the_configured_one_or_what_is_asked_for_up_to_an_hour() {
        let default = Duration::from_secs(25);
        let ask = |seconds, nanos| {
            grace(&DrainRequest { grace: Some(prost_types::Duration { seconds, nanos }) }, default)
        };
        assert_eq!(grace(&DrainRequest { grace: None }, default).unwrap(), default);
        assert_eq!(ask(0, 0).unwrap(), Duration::ZERO);
        assert_eq!(ask(3_600, 0).unwrap(), GRACE_MAX);
        for (seconds, nanos) in [(3_600, 1), (-1, 0), (0, -1), (i64::MAX, 0)] {
            let status = ask(seconds, nanos).unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument, "{seconds} {nanos}");
            assert!(status.message().contains("3600 s"));
        }
    }
}
