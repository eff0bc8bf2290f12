//! An agent on loopback, within the test's own runtime.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use coffer_agent::config::{Config, Limits};
use coffer_agent::health::Health;
use coffer_agent::metrics::Metrics;
use coffer_agent::requests::RequestBudget;
use coffer_agent::server::{Parts, Server};
use coffer_agent::services::node::{Counts, Drained, NodeFacts, NodeOperations};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Operations that do nothing but remember what was asked of them.
#[derive(Default)]
pub(crate) struct FakeOperations {
    pub(crate) draining: AtomicBool,
    pub(crate) grace_seconds: AtomicU64,
}

#[tonic::async_trait]
impl NodeOperations for FakeOperations {
    fn counts(&self) -> Counts {
        Counts { running: 2, queued: 3 }
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    fn set_limits(&self, _limits: Limits) {}

    async fn drain(&self, grace: Duration) -> Drained {
        self.draining.store(true, Ordering::SeqCst);
        self.grace_seconds.store(grace.as_secs(), Ordering::SeqCst);
        Drained { finished: 1, interrupted: 1 }
    }
}

/// An agent that serves until it is stopped or dropped.
pub(crate) struct Running {
    pub(crate) grpc: Option<SocketAddr>,
    pub(crate) scrapes: Option<SocketAddr>,
    pub(crate) metrics: Metrics,
    pub(crate) operations: Arc<FakeOperations>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

/// Settings of an agent in `cluster = "lab"`, with `more`.
pub(crate) fn settings(more: &str) -> Config {
    let told = coffer_agent::config::Told { node: "node-1".into(), cluster: None };
    Config::parse(&format!("cluster = 'lab'\nrepositories = ['s3://']\n{more}"), &told).unwrap()
}

impl Running {
    pub(crate) async fn start(config: &Config) -> Running {
        let (metrics, operations) = (Metrics::new("0.0.0-test"), Arc::new(FakeOperations::default()));
        let facts = NodeFacts {
            cluster: "lab".into(),
            version: "0.0.0-test".into(),
            node: config.node.clone(),
            read_engine: "pread".into(),
            missing: vec!["io_uring: not allowed here".into()],
            memory_bytes: config.memory.0,
            operations_max: config.operations_max,
            queued_max: config.queued_max,
            threads: 2,
            grace_period: config.grace_period(),
        };
        let parts = Parts {
            facts,
            limits: Arc::new(ArcSwap::from_pointee(config.limits)),
            operations: operations.clone(),
            requests: RequestBudget::of(8 << 20),
            metrics: metrics.clone(),
            health: Health::serving().await,
        };
        let server = Server::bind(config, parts, |_| {}).await.unwrap();
        let (grpc, scrapes) = (server.grpc_address(), server.metrics_address());
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(async move {
            let stop = async { drop(stopped.await) };
            server.serve(stop).await.unwrap();
        });
        Running { grpc, scrapes, metrics, operations, stop, served }
    }

    /// Stops it and waits for its end.
    pub(crate) async fn stop(self) {
        drop(self.stop);
        self.served.await.unwrap();
    }
}
