//! What an earlier run began and did not come to its end: taken up, taken back, or left to the point that names it.

use std::collections::BTreeMap;
use std::time::Duration;

use coffer_engine::{PointFate, Repository, point_fate};
use coffer_format::{PlanId, ResourceRef};
use coffer_resources::{Begun, BegunResource, Journal, Plan, Registry, release, take_back};
use tokio::runtime::Runtime;

use crate::error::CliError;

/// How long one release or deletion may take.
const TIMEOUT: Duration = Duration::from_secs(120);

/// What is left of earlier runs.
#[derive(Default)]
pub(super) struct Earlier {
    /// Names of work that the new run takes up.
    pub(super) keys: BTreeMap<ResourceRef, String>,
    /// What could not be taken back yet.
    pub(super) left: Vec<BegunResource>,
}

impl Earlier {
    /// Strikes the run off the journal; what could not be taken back stays in it.
    pub(super) fn keep(&self, journal: &Journal) -> Result<(), CliError> {
        journal.settle()?;
        let Some(point) = self.left.first().and_then(|left| left.key.get(..26)?.parse().ok()) else {
            return Ok(());
        };
        Ok(journal.begin(&Begun { point, resources: Vec::new(), left: self.left.clone() })?)
    }
}

/// Looks what an earlier run of the plan left. What the new run wants with the same options is taken up by its name; the rest is taken back, unless
/// the point's manifest stands: then it belongs to that.
pub(super) fn settle(
    repository: &Repository,
    runtime: &Runtime,
    registry: &Registry,
    plan: &PlanId,
    journal: &Journal,
    wanted: &Plan,
) -> Result<Earlier, CliError> {
    let Some(begun) = journal.unsettled()? else { return Ok(Earlier::default()) };
    let mut earlier = Earlier::default();
    let fate = point_fate(repository, plan, &begun.point)?;
    for resource in begun.resources {
        let again = wanted.resources.iter().any(|planned| {
            planned.reference == resource.reference
                && planned.options == resource.options
                && planned.schema == resource.schema
        });
        if fate == PointFate::Stands {
            if let Err(error) = runtime.block_on(release(registry, &resource, TIMEOUT)) {
                tracing::warn!(resource = %resource.reference, %error, "resource of an earlier run was not released");
            }
        // What was given up may be waiting for its deletion: it is not taken up.
        } else if again && fate == PointFate::Unfinished && !earlier.keys.contains_key(&resource.reference) {
            earlier.keys.insert(resource.reference, resource.key);
        } else {
            give_back(runtime, registry, resource, &mut earlier.left);
        }
    }
    for resource in begun.left {
        give_back(runtime, registry, resource, &mut earlier.left);
    }
    Ok(earlier)
}

fn give_back(runtime: &Runtime, registry: &Registry, resource: BegunResource, left: &mut Vec<BegunResource>) {
    if let Err(error) = runtime.block_on(take_back(registry, &resource, TIMEOUT)) {
        tracing::warn!(resource = %resource.reference, %error, "what an earlier run made could not be taken back; the next run tries again");
        left.push(resource);
    }
}
