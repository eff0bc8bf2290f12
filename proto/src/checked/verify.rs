//! A verification of points.

use std::time::Duration;

use coffer_format::{Digest, Id, Label};

use super::field::{IdempotencyKey, RequestError, parsed, parsed_or_none, required, timeout};
use super::fingerprint::Fields;
use super::repository::RepositoryAccess;
use crate::agent::v1;

/// A verification to start.
#[derive(Debug, Clone)]
pub struct StartVerify {
    /// Names the work.
    pub idempotency_key: IdempotencyKey,
    /// What is verified.
    pub repository: RepositoryAccess,
    /// Which plans.
    pub plans: PlanFilter,
    /// Only this point.
    pub point: Option<Id>,
    /// Share of stored data that is read, percent: 0 to 100.
    pub read_data_percent: u32,
    /// From the start of the operation, waiting included.
    pub timeout: Duration,
}

/// Plans of one team; what is `None` matches any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanFilter {
    /// Team.
    pub team: Label,
    /// Cluster.
    pub cluster: Option<Label>,
    /// Namespace.
    pub namespace: Option<Label>,
    /// Plan.
    pub plan: Option<Label>,
}

impl StartVerify {
    /// Equal for requests that ask for the same work.
    pub fn fingerprint(&self) -> Digest {
        let PlanFilter { team, cluster, namespace, plan } = &self.plans;
        let fields = Fields::of("verify").text(&self.repository.url).text(team);
        let fields = fields.option(cluster.as_ref()).option(namespace.as_ref()).option(plan.as_ref());
        let fields = fields.option(self.point).text(self.read_data_percent);
        fields.text(self.timeout.as_nanos()).digest()
    }
}

impl TryFrom<v1::StartVerifyRequest> for StartVerify {
    type Error = RequestError;

    fn try_from(given: v1::StartVerifyRequest) -> Result<Self, RequestError> {
        let repository = required("repository", given.repository).and_then(RepositoryAccess::try_from)?;
        let plan = required("plan", given.plan)?;
        if given.read_data_percent > 100 {
            let problem = format!("is {}: give 0 to 100", given.read_data_percent);
            return Err(RequestError::new("read_data_percent", problem));
        }
        Ok(StartVerify {
            idempotency_key: given.idempotency_key.parse()?,
            repository,
            plans: PlanFilter {
                team: parsed("plan.team", &plan.team)?,
                cluster: parsed_or_none("plan.cluster", &plan.cluster)?,
                namespace: parsed_or_none("plan.namespace", &plan.namespace)?,
                plan: parsed_or_none("plan.plan", &plan.plan)?,
            },
            point: parsed_or_none("point", &given.point)?,
            read_data_percent: given.read_data_percent,
            timeout: timeout(given.timeout)?,
        })
    }
}
