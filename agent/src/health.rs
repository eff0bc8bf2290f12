//! `grpc.health.v1`: whether the agent takes work, for the whole process and for each service.

use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

/// The services whose health can be asked for; the first stands for the process.
const SERVICES: [&str; 4] =
    ["", "coffer.agent.v1.Node", "coffer.agent.v1.Operations", "coffer.agent.v1.Volumes"];

/// What the agent's health is told to.
#[derive(Debug, Clone)]
pub struct Health {
    reporter: HealthReporter,
}

impl Health {
    /// An agent that takes work.
    pub async fn serving() -> Health {
        let health = Health { reporter: HealthReporter::new() };
        health.set(ServingStatus::Serving).await;
        health
    }

    /// The agent takes no work any more.
    pub async fn not_serving(&self) {
        self.set(ServingStatus::NotServing).await;
    }

    /// The service that tells it.
    pub fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }

    async fn set(&self, status: ServingStatus) {
        for service in SERVICES {
            self.reporter.set_service_status(service, status).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use coffer_proto::Rpc;

    use super::SERVICES;

    #[test]
    fn every_service_has_a_health() {
        let services: BTreeSet<&str> = Rpc::ALL
            .iter()
            .filter_map(|rpc| rpc.path().trim_start_matches('/').split_once('/'))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(SERVICES[1..].iter().copied().collect::<BTreeSet<_>>(), services);
    }
}
