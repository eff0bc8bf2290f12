//! One controller of several leads: whoever holds the Lease. Who loses it ends, so that nothing of it goes on.
//!
//! Expiry goes by how long a Lease was seen unchanged on our own monotonic clock, as Kubernetes' own controllers do: no two clocks are compared.
//! The Lease protects nobody's data; two leaders for a moment would make points beside each other, which the format allows for.

use std::time::Duration;

use anyhow::{Context, bail};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::time::Instant;

/// Name of the Lease.
const NAME: &str = "coffer-controller";

/// The Lease's times. `renew_max` is less than `hold`: a leader ends before another may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// How long a Lease holds unrenewed, in whole seconds.
    pub hold: Duration,
    /// How often it is renewed, or looked at.
    pub renew_every: Duration,
    /// A leader that could not renew for this long ends.
    pub renew_max: Duration,
}

/// As Kubernetes' own controllers have them.
pub const TIMES: Times = Times {
    hold: Duration::from_secs(15),
    renew_every: Duration::from_secs(3),
    renew_max: Duration::from_secs(10),
};

/// What was seen of the Lease.
#[derive(Debug, Clone, PartialEq)]
struct Observed {
    spec: LeaseSpec,
    since: Instant,
}

/// What may be done with a Lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It is ours: renew it.
    Renew,
    /// It is nobody's, or its holder did not renew it in time: take it.
    Take,
    /// Another one holds it.
    Wait,
}

/// Decides what to do with a Lease that was seen. Pure.
fn evaluate(observed: &Observed, identity: &str, now: Instant) -> Step {
    let holder = observed.spec.holder_identity.as_deref().unwrap_or_default();
    let seconds = observed.spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    let duration = seconds.map_or(TIMES.hold, Duration::from_secs);
    match holder {
        "" => Step::Take,
        holder if holder == identity => Step::Renew,
        _ if now.duration_since(observed.since) >= duration => Step::Take,
        _ => Step::Wait,
    }
}

/// The wish to lead.
pub struct Candidate {
    api: Api<Lease>,
    identity: String,
    times: Times,
    observed: Option<Observed>,
}

impl Candidate {
    /// A candidate of this name.
    pub fn new(client: Client, namespace: &str, identity: &str, times: Times) -> Candidate {
        let api = Api::namespaced(client, namespace);
        Candidate { api, identity: identity.to_owned(), times, observed: None }
    }

    /// Waits until this one leads.
    pub async fn lead(&mut self) {
        loop {
            match self.step().await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => tracing::warn!(error = format!("{error:#}"), "the lease cannot be had yet"),
            }
            tokio::time::sleep(self.times.renew_every).await;
        }
    }

    /// Renews the Lease, at once and then again and again, until that fails.
    ///
    /// # Errors
    /// Another one leads, or the Lease could not be renewed in time: the process has to end.
    pub async fn keep(&mut self) -> anyhow::Result<()> {
        let mut renewed = Instant::now();
        loop {
            let renewal = tokio::time::timeout_at(renewed + self.times.renew_max, self.renew()).await;
            renewed = renewal
                .with_context(|| format!("the lease {NAME} could not be renewed; this controller ends"))??;
            tokio::time::sleep(self.times.renew_every).await;
        }
    }

    /// Tries until the Lease is renewed. When that was asked for: others count from then on, or from later.
    async fn renew(&mut self) -> anyhow::Result<Instant> {
        loop {
            let asked = Instant::now();
            match self.step().await {
                Ok(true) => return Ok(asked),
                Ok(false) => bail!("another controller took the lease {NAME}; this one ends"),
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "the lease was not renewed, trying again")
                }
            }
            tokio::time::sleep(self.times.renew_every).await;
        }
    }

    /// Gives the Lease up, so that the next one need not wait.
    pub async fn give_up(&mut self) {
        if let Ok(Some(mut lease)) = self.api.get_opt(NAME).await {
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() == Some(&self.identity) {
                spec.holder_identity = None;
                let given_up = self.api.replace(NAME, &PostParams::default(), &lease).await;
                tracing::debug!(given_up = given_up.is_ok(), "gave the lease up");
            }
        }
    }

    /// Looks at the Lease, and takes or renews it where that may be done. Whether it is ours now.
    async fn step(&mut self) -> anyhow::Result<bool> {
        let Some(mut lease) = self.api.get_opt(NAME).await.context("read the lease")? else {
            return self.create().await;
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let observed = match self.observed.take().filter(|observed| observed.spec == spec) {
            Some(observed) => observed,
            None => Observed { spec: spec.clone(), since: Instant::now() },
        };
        let step = evaluate(&observed, &self.identity, Instant::now());
        self.observed = Some(observed);
        if step == Step::Wait {
            return Ok(false);
        }
        lease.spec = Some(self.held(&spec, step));
        // Its resourceVersion travels along: whoever was faster makes this fail.
        match self.api.replace(NAME, &PostParams::default(), &lease).await {
            Ok(lease) => {
                self.observed = lease.spec.map(|spec| Observed { spec, since: Instant::now() });
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error).context("write the lease"),
        }
    }

    async fn create(&mut self) -> anyhow::Result<bool> {
        let lease = Lease {
            metadata: ObjectMeta { name: Some(NAME.into()), ..ObjectMeta::default() },
            spec: Some(self.held(&LeaseSpec::default(), Step::Take)),
        };
        match self.api.create(&PostParams::default(), &lease).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error).context("make the lease"),
        }
    }

    fn held(&self, before: &LeaseSpec, step: Step) -> LeaseSpec {
        let now = MicroTime(jiff::Timestamp::now());
        let taken = step == Step::Take;
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(self.times.hold.as_secs()).ok(),
            renew_time: Some(now.clone()),
            acquire_time: if taken { Some(now) } else { before.acquire_time.clone() },
            lease_transitions: Some(before.lease_transitions.unwrap_or(0) + i32::from(taken)),
            ..before.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_taken_when_it_was_seen_unchanged_for_its_duration() {
        let since = Instant::now();
        let observed = |holder: &str| Observed {
            spec: LeaseSpec {
                holder_identity: Some(holder.into()),
                lease_duration_seconds: Some(15),
                ..LeaseSpec::default()
            },
            since,
        };
        let at = |seconds| since + Duration::from_secs(seconds);
        assert_eq!(evaluate(&observed(""), "me", at(0)), Step::Take);
        assert_eq!(evaluate(&observed("me"), "me", at(100)), Step::Renew);
        assert_eq!(evaluate(&observed("you"), "me", at(14)), Step::Wait);
        assert_eq!(evaluate(&observed("you"), "me", at(15)), Step::Take);
    }
}
