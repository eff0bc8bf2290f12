//! From what a namespace has to what a plan protects. Pure.

use std::collections::{BTreeMap, BTreeSet};

use coffer_api::{Selection, Unprotected, Workload, WorkloadKind};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod, PodSpec};
use kube::ResourceExt;

/// What a namespace has.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Its claims.
    pub claims: Vec<PersistentVolumeClaim>,
    /// Volumes of these claims, by their names.
    pub volumes: BTreeMap<String, PersistentVolume>,
    /// Its pods.
    pub pods: Vec<Pod>,
    /// Its workloads.
    pub stateful_sets: Vec<StatefulSet>,
    /// Its workloads.
    pub deployments: Vec<Deployment>,
    /// Its workloads.
    pub daemon_sets: Vec<DaemonSet>,
    /// Names of nodes by their label `kubernetes.io/hostname`.
    pub host_names: BTreeMap<String, String>,
}

/// What an agent is told to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A path of its node.
    Path(String),
    /// The volume of this PersistentVolume, which the agent finds by itself.
    PersistentVolume(String),
}

/// A volume to protect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its name in the point: its claim's, or the host path's.
    pub name: String,
    /// The node that has it.
    pub node: String,
    /// What the agent reads.
    pub source: Source,
}

/// What is protected, and what is selected and cannot be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selected {
    /// Volumes, by name.
    pub volumes: Vec<Volume>,
    /// What cannot be protected, and why.
    pub unprotected: Vec<Unprotected>,
    /// What cannot be protected at this moment: its node's agent is away. No point is made without it.
    pub waiting: Vec<Unprotected>,
}

/// Claims that the selection means, by name; and workloads that it names and that are not there.
pub fn claims(selection: &Selection, observed: &Observed) -> (BTreeSet<String>, Vec<Unprotected>) {
    let mut names = BTreeSet::new();
    let mut missing = Vec::new();
    if let Some(selector) = &selection.claims {
        let selected = observed.claims.iter().filter(|claim| selector.matches(claim.labels()));
        names.extend(selected.map(PersistentVolumeClaim::name_any));
    }
    for workload in &selection.workloads {
        match of_workload(workload, observed) {
            Some(claims) => names.extend(claims),
            None => missing.push(Unprotected {
                kind: format!("{:?}", workload.kind),
                name: workload.name.clone(),
                reason: "there is no such workload in the namespace".into(),
            }),
        }
    }
    (names, missing)
}

/// Claims of a workload's pods; `None` where it is not there.
fn of_workload(workload: &Workload, observed: &Observed) -> Option<BTreeSet<String>> {
    let named = |name: String| name == workload.name;
    match workload.kind {
        WorkloadKind::StatefulSet => observed
            .stateful_sets
            .iter()
            .find(|set| named(set.name_any()))
            .map(|set| of_stateful_set(set, observed)),
        WorkloadKind::Deployment => {
            let found = observed.deployments.iter().find(|deployment| named(deployment.name_any()))?;
            Some(of_pod(found.spec.as_ref().and_then(|spec| spec.template.spec.as_ref())))
        }
        WorkloadKind::DaemonSet => {
            let found = observed.daemon_sets.iter().find(|set| named(set.name_any()))?;
            Some(of_pod(found.spec.as_ref().and_then(|spec| spec.template.spec.as_ref())))
        }
    }
}

/// Claims of a StatefulSet: those that its pods name, and those that were made from its templates, also of replicas that are not running.
pub fn of_stateful_set(set: &StatefulSet, observed: &Observed) -> BTreeSet<String> {
    let Some(spec) = &set.spec else { return BTreeSet::new() };
    let mut names = of_pod(spec.template.spec.as_ref());
    for template in spec.volume_claim_templates.iter().flatten() {
        let prefix = format!("{}-{}-", template.name_any(), set.name_any());
        let is_of = |name: &String| {
            let ordinal = name.strip_prefix(&prefix);
            ordinal.is_some_and(|ordinal| {
                !ordinal.is_empty() && ordinal.bytes().all(|byte| byte.is_ascii_digit())
            })
        };
        names.extend(observed.claims.iter().map(PersistentVolumeClaim::name_any).filter(is_of));
    }
    names
}

/// Claims that a pod names.
pub fn of_pod(pod: Option<&PodSpec>) -> BTreeSet<String> {
    let volumes = pod.into_iter().flat_map(|pod| pod.volumes.iter().flatten());
    volumes.filter_map(|volume| Some(volume.persistent_volume_claim.as_ref()?.claim_name.clone())).collect()
}

/// Selects volumes. `has_agent` tells of a node whether an agent runs there; `may_use` of a path whether the team may name it.
pub fn select(
    selection: &Selection,
    observed: &Observed,
    has_agent: impl Fn(&str) -> bool,
    may_use: impl Fn(&str) -> bool,
) -> Selected {
    let (names, unprotected) = claims(selection, observed);
    let mut selected = Selected { unprotected, ..Selected::default() };
    for name in names {
        let found = locate(&name, observed);
        selected.add("PersistentVolumeClaim", name, found, &has_agent);
    }
    for host_path in &selection.host_paths {
        let volume = Volume {
            name: host_path.name.clone(),
            node: host_path.node.clone(),
            source: Source::Path(host_path.path.clone()),
        };
        let refused =
            || format!("the Team allows no directory that holds {}: see its spec.hostPaths", host_path.path);
        let found = if may_use(&host_path.path) { Ok(volume) } else { Err(refused()) };
        selected.add("HostPath", host_path.name.clone(), found, &has_agent);
    }
    selected.volumes.sort_by(|a, b| a.name.cmp(&b.name));
    selected
}

impl Selected {
    fn add(
        &mut self,
        kind: &str,
        name: String,
        found: Result<Volume, String>,
        has_agent: &impl Fn(&str) -> bool,
    ) {
        let kind = kind.to_owned();
        match found {
            Ok(volume) if has_agent(&volume.node) => self.volumes.push(volume),
            Ok(volume) => {
                let reason = format!("node {} has no agent that runs", volume.node);
                self.waiting.push(Unprotected { kind, name, reason });
            }
            Err(reason) => self.unprotected.push(Unprotected { kind, name, reason }),
        }
    }
}

/// Where a claim's volume is.
///
/// # Errors
/// Why that cannot be told.
pub fn locate(name: &str, observed: &Observed) -> Result<Volume, String> {
    let claim = observed.claims.iter().find(|claim| claim.name_any() == name);
    let claim = claim.ok_or("there is no such claim in the namespace")?;
    let spec = claim.spec.as_ref();
    let volume =
        spec.and_then(|spec| spec.volume_name.as_ref()).ok_or("the claim is not bound to a volume yet")?;
    let found =
        observed.volumes.get(volume).ok_or_else(|| format!("there is no PersistentVolume {volume}"))?;
    let node = node_of(found, name, observed)
        .ok_or("no node can be told: the volume names none, and no pod that runs uses the claim")?;
    let spec = found.spec.as_ref();
    let local = spec.and_then(|spec| spec.local.as_ref()).map(|local| local.path.clone());
    let host_path = spec.and_then(|spec| spec.host_path.as_ref()).map(|host_path| host_path.path.clone());
    let source = local.or(host_path).map_or_else(|| Source::PersistentVolume(volume.clone()), Source::Path);
    Ok(Volume { name: name.to_owned(), node, source })
}

/// The node of a volume: the only one that its affinity names, else the one whose pod uses the claim.
fn node_of(volume: &PersistentVolume, claim: &str, observed: &Observed) -> Option<String> {
    if let [host_name] = affinity(volume).as_slice() {
        return Some(observed.host_names.get(host_name).cloned().unwrap_or_else(|| host_name.clone()));
    }
    let uses = |pod: &&Pod| of_pod(pod.spec.as_ref()).contains(claim);
    let runs = |pod: &&Pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        !matches!(phase, Some("Succeeded" | "Failed"))
    };
    observed.pods.iter().filter(uses).filter(runs).find_map(|pod| pod.spec.as_ref()?.node_name.clone())
}

/// Host names that a volume's affinity allows, where it asks for nothing else.
fn affinity(volume: &PersistentVolume) -> Vec<String> {
    let required = volume.spec.as_ref().and_then(|spec| spec.node_affinity.as_ref()?.required.as_ref());
    let mut names = Vec::new();
    for term in required.into_iter().flat_map(|selector| &selector.node_selector_terms) {
        let expressions =
            term.match_expressions.iter().chain(&term.match_fields).flatten().collect::<Vec<_>>();
        if let [only] = expressions.as_slice() {
            let is_name = matches!(only.key.as_str(), "kubernetes.io/hostname" | "metadata.name");
            if is_name && only.operator == "In" {
                names.extend(only.values.iter().flatten().cloned());
            }
        }
    }
    names
}

#[cfg(test)]
mod tests;
