//! From the points of a bucket to the `Backup` objects that show them. Pure.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use coffer_api::{Backup, BackupSpec, BackupType, Origin, PointIdentity, Team, label};
use coffer_engine::catalog::PointEntry;
use kube::ResourceExt;

/// Letters of a cluster's id in the name of a `Backup`.
const CLUSTER_LETTERS: usize = 8;

/// A `Backup` to make for a point.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct New<'p> {
    pub(super) namespace: String,
    pub(super) backup: Backup,
    pub(super) point: &'p PointEntry,
    pub(super) origin: Origin,
}

/// What has to be made and deleted so that the objects show the points.
#[derive(Debug, Default)]
pub(super) struct Changes<'p> {
    pub(super) make: Vec<New<'p>>,
    /// Namespace and name.
    pub(super) delete: Vec<(String, String)>,
}

/// What decides about where objects go.
pub(super) struct View<'a> {
    /// The location's name.
    pub(super) location: &'a str,
    /// This cluster.
    pub(super) cluster: &'a str,
    /// Teams of this cluster.
    pub(super) teams: &'a [Team],
    /// Namespaces that this cluster has.
    pub(super) namespaces: &'a BTreeSet<String>,
    /// What there is now that the points were listed: runs that made one of them meanwhile show it, or are about to.
    pub(super) now: &'a [Backup],
}

/// Compares what there is, seen *before* the points were listed, with the points.
pub(super) fn compare<'p>(view: &View<'_>, known: &[Backup], points: &'p [PointEntry]) -> Changes<'p> {
    let shown: HashSet<&str> = known.iter().chain(view.now).filter_map(|backup| point_of(backup)).collect();
    let there: HashSet<String> = points.iter().map(|point| point.id.to_string()).collect();
    let new = |point: &'p PointEntry| {
        if shown.contains(point.id.to_string().as_str()) { None } else { new(view, point) }
    };
    let is_gone = |backup: &&Backup| {
        point_of(backup).is_some_and(|point| !there.contains(point)) && is_at(view, backup)
    };
    let delete = known.iter().filter(is_gone);
    Changes {
        make: points.iter().filter_map(new).collect(),
        delete: delete.map(|backup| (backup.namespace().unwrap_or_default(), backup.name_any())).collect(),
    }
}

/// The point that an object shows. A run that has not ended shows none.
fn point_of(backup: &Backup) -> Option<&str> {
    let discovered = backup.spec.discovered.as_ref().map(|identity| identity.point.as_str());
    discovered.or_else(|| backup.status.as_ref()?.point.as_deref())
}

/// Whether the object's point is at this location, as far as the object tells. Those of runs do not: their plan's location decides, which is asked
/// for by the caller through `known`.
fn is_at(view: &View<'_>, backup: &Backup) -> bool {
    backup.spec.discovered.as_ref().is_none_or(|identity| identity.location == view.location)
}

fn new<'p>(view: &View<'_>, point: &'p PointEntry) -> Option<New<'p>> {
    let plan = &point.plan;
    let (team, namespace) = (plan.team.to_string(), plan.namespace.to_string());
    let team_object = view.teams.iter().find(|known| known.name_any() == team)?;
    let home = home(team_object, &namespace, view.namespaces)?;
    let is_local = plan.cluster.to_string() == view.cluster && home == namespace;
    let origin = if is_local { Origin::Local } else { Origin::Discovered };
    // A run that is at work may have made it: it shows it when it has ended.
    if is_local && view.now.iter().any(|backup| is_at_work(backup, &home, plan.plan.as_ref())) {
        return None;
    }
    let identity = PointIdentity {
        location: view.location.to_owned(),
        team,
        cluster: plan.cluster.to_string(),
        namespace,
        plan: plan.plan.to_string(),
        point: point.id.to_string(),
    };
    let spec =
        BackupSpec { plan: None, kind: BackupType::Auto, slot: None, discovered: Some(identity.clone()) };
    let mut backup = Backup::new(&name(&identity), spec);
    *backup.labels_mut() = labels(&identity, origin);
    Some(New { namespace: home, backup, point, origin })
}

fn is_at_work(backup: &Backup, namespace: &str, plan: &str) -> bool {
    let has_ended = backup.status.as_ref().is_some_and(|status| status.phase.has_ended());
    backup.spec.plan.as_deref() == Some(plan)
        && backup.namespace().as_deref() == Some(namespace)
        && !has_ended
}

/// The namespace that shows a point: its own where the team has it on this cluster, else the team's first.
fn home(team: &Team, namespace: &str, there: &BTreeSet<String>) -> Option<String> {
    let mut candidates = team.spec.namespaces.iter().filter(|name| there.contains(*name));
    let own = candidates.clone().find(|name| *name == namespace);
    own.or_else(|| candidates.next()).cloned()
}

fn name(identity: &PointIdentity) -> String {
    let cluster: String = identity.cluster.chars().take(CLUSTER_LETTERS).collect();
    format!("{}-{}-{}", identity.plan, cluster.trim_end_matches('-'), identity.point)
}

fn labels(identity: &PointIdentity, origin: Origin) -> BTreeMap<String, String> {
    let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    [
        label(label::POINT, &identity.point),
        label(label::PLAN, &identity.plan),
        label(label::CLUSTER, &identity.cluster),
        label(label::ORIGIN, if origin == Origin::Local { "Local" } else { "Discovered" }),
    ]
    .into()
}

#[cfg(test)]
mod tests;
