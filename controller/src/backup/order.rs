//! From a plan to what the coordinator is asked for.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use coffer_api::{Backup, BackupType, ContinuityPlan, Unprotected};
use coffer_blockio::DocumentSource;
use coffer_coordinator::{OwnVolumes, Part, PointOrder};
use coffer_engine::backup::{PointRequest, TypeWish, VolumeSource};
use coffer_engine::{MEMORY_BYTES_MIN, Resources};
use coffer_format::{PlanId, VolumeName};
use coffer_proto::agent::v1;
use kube::ResourceExt;

use crate::agents::AgentDirectory;
use crate::application::select::{Selected, Source, Volume, select};
use crate::application::{self, observe};
use crate::context::Context;
use crate::repositories::{Access, KeyUse};
use crate::tenants;

/// Name of the volume with the application's objects.
pub(crate) const RESOURCES: &str = "resources";

/// All that a run needs; it holds secrets.
pub(super) struct Prepared {
    pub(super) access: Access,
    pub(super) directory: AgentDirectory,
    /// Nodes, in the order of the parts.
    pub(super) nodes: Vec<String>,
    pub(super) order: PointOrder,
    pub(super) unprotected: Vec<Unprotected>,
}

impl Prepared {
    /// Which node reads which volume.
    pub(super) fn nodes_by_volume(&self) -> Vec<(String, String)> {
        let of_part = |part: &Part| {
            let node = self.nodes.get(part.agent).cloned().unwrap_or_default();
            part.names.iter().map(move |name| (name.to_string(), node.clone())).collect::<Vec<_>>()
        };
        self.order.parts.iter().flat_map(of_part).collect()
    }
}

/// Looks up what a plan protects and puts the order together.
///
/// # Errors
/// What keeps the run from beginning, in words for the status.
pub(super) async fn prepare(
    context: &Context,
    backup: &Backup,
    plan: &ContinuityPlan,
    namespace: &str,
) -> anyhow::Result<Prepared> {
    let tenant = tenants::tenant(&tenants::teams(&context.client).await?, namespace)?;
    let location = tenants::location(&context.client, &plan.spec.location).await?;
    if location.spec.access_mode == coffer_api::AccessMode::ReadOnly {
        bail!("BackupLocation {} is read-only on this cluster", plan.spec.location);
    }
    let access = Access::read(context, &location, Some(&tenant.team), KeyUse::Writer).await?;
    let directory = AgentDirectory::read(context).await?;
    let observed = observe(&context.client, namespace).await?;
    let selection = &plan.spec.select;
    let may_use = |path: &str| tenants::may_use(&tenant.team, path);
    let Selected { volumes, unprotected, waiting } =
        select(selection, &observed, |node| directory.has(node), may_use);
    if let Some(first) = waiting.first() {
        bail!(
            "{} {}: {}; no point is made without it ({} such in all)",
            first.kind,
            first.name,
            first.reason,
            waiting.len()
        );
    }
    if volumes.is_empty() {
        let reasons: Vec<String> =
            unprotected.iter().map(|one| format!("{} {}: {}", one.kind, one.name, one.reason)).collect();
        bail!("the plan selects no volume that can be protected ({})", reasons.join("; "));
    }
    let document = if selection.resources.none {
        None
    } else {
        Some(application::collect(&context.client, namespace, selection, &observed).await?)
    };
    let (nodes, parts) = parts(&volumes)?;
    let mut names: Vec<VolumeName> = parts.iter().flat_map(|part| part.names.clone()).collect();
    let own = document.map(|document| own(document, &mut names)).transpose()?;
    let id = PlanId {
        team: tenant.label,
        cluster: context.cluster.clone(),
        namespace: namespace.parse().context("the namespace's name is no label")?,
        plan: plan.name_any().parse().context("the plan's name is no label")?,
    };
    let key = backup.uid().context("the backup has no UID")?;
    let order = PointOrder {
        point: PointRequest {
            plan: id,
            volumes: names,
            type_wish: type_wish(backup.spec.kind),
            full_every: plan.spec.chain.full_every,
            list_base: None,
            snapshot_time: None,
            idempotency_key: Some(key.clone()),
            description: String::new(),
            tags: BTreeMap::from([("backup".to_owned(), backup.name_any())]),
            writer: concat!("coffer-controller ", env!("CARGO_PKG_VERSION")).into(),
        },
        key,
        parts,
        repository: access.message(),
        compression: "lz4".into(),
        read_engine: "auto".into(),
        own,
    };
    Ok(Prepared { access, directory, nodes, order, unprotected })
}

/// Volumes by node, in the order of the nodes' names.
fn parts(volumes: &[Volume]) -> anyhow::Result<(Vec<String>, Vec<Part>)> {
    let mut by_node: BTreeMap<&str, Vec<&Volume>> = BTreeMap::new();
    for volume in volumes {
        by_node.entry(&volume.node).or_default().push(volume);
    }
    let mut parts = Vec::new();
    for (agent, volumes) in by_node.values().enumerate() {
        let names = volumes.iter().map(|volume| volume.name.parse::<VolumeName>());
        parts.push(Part {
            agent,
            names: names.collect::<Result<_, _>>().context("a volume's name")?,
            volumes: volumes.iter().map(|volume| wanted(volume)).collect(),
        });
    }
    Ok((by_node.into_keys().map(str::to_owned).collect(), parts))
}

fn wanted(volume: &Volume) -> v1::BackupVolume {
    let source = match &volume.source {
        Source::Path(path) => path.clone(),
        Source::PersistentVolume(name) => format!("pv:{name}"),
    };
    v1::BackupVolume { name: volume.name.clone(), source, block_bytes: 0, changes: "auto".into() }
}

fn own(document: Vec<u8>, names: &mut Vec<VolumeName>) -> anyhow::Result<OwnVolumes> {
    let name: VolumeName = RESOURCES.parse().context("the name of the objects' volume")?;
    if names.contains(&name) {
        bail!(
            "a claim is called `{RESOURCES}`, which is the name of the volume with the application's objects: leave objects out with resources.none"
        );
    }
    names.push(name.clone());
    let source = DocumentSource::new(RESOURCES.into(), document);
    Ok(OwnVolumes {
        volumes: vec![VolumeSource { name, source: Ok(Box::new(source)) }],
        resources: Resources::within(MEMORY_BYTES_MIN, 1)?,
    })
}

fn type_wish(kind: BackupType) -> TypeWish {
    match kind {
        BackupType::Auto => TypeWish::Auto,
        BackupType::Full => TypeWish::Full,
        BackupType::Incremental => TypeWish::Incremental,
    }
}
