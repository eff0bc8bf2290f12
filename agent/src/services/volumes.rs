//! `coffer.agent.v1.Volumes`: what can be protected on this node, as far as the caller may see it.

use std::sync::Arc;

use coffer_engine::CancelToken;
use coffer_format::Label;
use coffer_proto::agent::v1 as wire;
use coffer_proto::agent::v1::volumes_server::Volumes;
use coffer_volume::{ChangedBlocks, SnapshotMethod, Use, Volume};
use prost::Message;
use tonic::{Request, Response, Status};

use super::admission::{Admission, Passed};
use crate::edge::identity::Identity;
use crate::errors::AgentError;
use crate::node_volumes::{NodeVolumes, OwnedVolume, Wish};
use crate::requests::RequestBudget;
use crate::services::waits::Waits;
use crate::shares::Holder;

/// Volumes in one answer, and where a request does not say.
const PAGE_MAX: usize = 1_000;
/// A page ends before the volume that would make it longer, bytes.
const PAGE_BYTES_MAX: usize = 512 << 10;

/// The service.
pub struct VolumesService {
    volumes: Arc<NodeVolumes>,
    requests: RequestBudget,
    looks: Arc<Admission>,
}

impl VolumesService {
    /// Tells of `volumes`; answers count in `requests`. A list of all volumes takes memory, so that calls pass `looks` for it.
    pub fn new(volumes: Arc<NodeVolumes>, requests: RequestBudget, looks: Arc<Admission>) -> Self {
        VolumesService { volumes, requests, looks }
    }

    /// Looks on a thread that may block, and stops when the caller does not wait any more. Others can look when what this returns is dropped.
    async fn look<T: Send + 'static>(
        &self,
        who: &Holder,
        look: impl FnOnce(&NodeVolumes, &CancelToken) -> Result<T, AgentError> + Send + 'static,
    ) -> Result<(T, Passed), Status> {
        let passed = self.looks.pass(who).await;
        let volumes = Arc::clone(&self.volumes);
        let waits = Waits::default();
        let gone = waits.gone();
        // The pass is held until the look ends, whether or not the caller waits.
        let looked = tokio::task::spawn_blocking(move || (look(&volumes, &gone), passed));
        let (looked, passed) =
            looked.await.map_err(|error| AgentError::Bug(format!("looking at volumes: {error}")))?;
        Ok((looked?, passed))
    }

    /// An answer that counts on its caller's account until it is sent.
    fn answer<M: Message>(&self, who: &Holder, message: M) -> Result<Response<M>, Status> {
        let permit = self.requests.take(who, message.encoded_len() as u64, "an answer about volumes")?;
        let mut response = Response::new(message);
        response.extensions_mut().insert(Arc::new(permit));
        Ok(response)
    }
}

/// Whose volumes a caller sees; `None`: all.
fn team_of<T>(request: &Request<T>) -> Result<Option<Label>, Status> {
    match request.extensions().get::<Identity>() {
        Some(Identity::Controller | Identity::Local) => Ok(None),
        Some(Identity::Team(team)) => Ok(Some(team.clone())),
        Some(Identity::Scraper) | None => {
            Err(AgentError::Denied("this caller may not see volumes".into()).into())
        }
    }
}

/// On whose account a look and its answer are.
fn holder(team: Option<&Label>) -> Holder {
    team.cloned().map_or(Holder::Controller, Holder::Team)
}

#[tonic::async_trait]
impl Volumes for VolumesService {
    async fn list(
        &self,
        request: Request<wire::ListVolumesRequest>,
    ) -> Result<Response<wire::ListVolumesResponse>, Status> {
        let team = team_of(&request)?;
        let who = holder(team.as_ref());
        let wish = request.into_inner();
        let max = page_size(wish.page_size)?;
        let kind = wire::VolumeKind::try_from(wish.kind)
            .map_err(|_| AgentError::Usage(format!("kind {} is none of VolumeKind", wish.kind)))?;
        let looked = self.look(&who, move |volumes, gone| {
            let wish = Wish {
                only_of: team.as_ref(),
                after: &wish.page_token,
                max,
                with_images: images_fit(&wish, kind),
                fits: &|volume| fits(volume, &wish, kind),
            };
            volumes.page(&wish, gone)
        });
        let (found, _passed) = looked.await?;
        let count = found.volumes.len();
        let volumes = page(found.volumes.into_iter().map(to_wire));
        let last = volumes.last().map(|volume| volume.id.clone());
        let next_page_token = last.filter(|_| count > volumes.len()).or(found.next).unwrap_or_default();
        self.answer(&who, wire::ListVolumesResponse { volumes, next_page_token })
    }

    async fn describe(
        &self,
        request: Request<wire::DescribeVolumeRequest>,
    ) -> Result<Response<wire::DescribeVolumeResponse>, Status> {
        let team = team_of(&request)?;
        let who = holder(team.as_ref());
        let id = request.into_inner().id;
        if id.is_empty() {
            return Err(AgentError::Usage("id is missing: give one that Volumes.List told".into()).into());
        }
        let missing =
            AgentError::NotFound(format!("there is no volume {id}; Volumes.List tells those that are there"));
        let looked = self.look(&who, move |volumes, gone| volumes.find(team.as_ref(), &id, gone));
        let (found, _passed) = looked.await?;
        let volume = Some(to_wire(found.ok_or(missing)?));
        self.answer(&who, wire::DescribeVolumeResponse { volume })
    }
}

/// As many as fit on a page; one always does.
fn page(volumes: impl Iterator<Item = wire::Volume>) -> Vec<wire::Volume> {
    let mut bytes = 0;
    let fits = |volume: &wire::Volume| {
        let is_first = bytes == 0;
        bytes += volume.encoded_len();
        is_first || bytes <= PAGE_BYTES_MAX
    };
    volumes.take_while(fits).collect()
}

fn page_size(wish: u32) -> Result<usize, AgentError> {
    match usize::try_from(wish) {
        Ok(0) => Ok(PAGE_MAX),
        Ok(size) if size <= PAGE_MAX => Ok(size),
        _ => Err(AgentError::Usage(format!("page_size {wish} is too large: at most {PAGE_MAX}"))),
    }
}

fn fits(volume: &Volume, wish: &wire::ListVolumesRequest, kind: wire::VolumeKind) -> bool {
    let in_namespace = || {
        volume
            .claims
            .iter()
            .any(|claim| claim.pod.as_ref().is_some_and(|pod| pod.namespace == wish.namespace))
    };
    let is_claimed = || {
        volume
            .claims
            .iter()
            .any(|claim| claim.persistent_volume.as_deref() == Some(wish.persistent_volume.as_str()))
    };
    (wish.namespace.is_empty() || in_namespace())
        && (wish.persistent_volume.is_empty() || is_claimed())
        && (kind == wire::VolumeKind::Unspecified || kind == kind_of(volume))
}

/// Whether an image can fit: no pod and no persistent volume claims one.
fn images_fit(wish: &wire::ListVolumesRequest, kind: wire::VolumeKind) -> bool {
    wish.namespace.is_empty()
        && wish.persistent_volume.is_empty()
        && matches!(kind, wire::VolumeKind::Unspecified | wire::VolumeKind::Image)
}

fn kind_of(volume: &Volume) -> wire::VolumeKind {
    match volume.kind {
        coffer_volume::VolumeKind::Device => wire::VolumeKind::Device,
        coffer_volume::VolumeKind::Image => wire::VolumeKind::Image,
        coffer_volume::VolumeKind::Directory => wire::VolumeKind::Directory,
    }
}

fn to_wire(owned: OwnedVolume) -> wire::Volume {
    let OwnedVolume { volume, team } = owned;
    let device = volume.device.as_ref();
    let whole = device.filter(|_| volume.kind == coffer_volume::VolumeKind::Device);
    let changed_blocks = match volume.abilities.changed_blocks.now {
        ChangedBlocks::None => Vec::new(),
        best => vec![best.to_string()],
    };
    let not_better_because = not_better_because(&volume);
    wire::Volume {
        id: volume.id.to_string(),
        kind: kind_of(&volume).into(),
        path: volume.path.display().to_string(),
        names: whole
            .iter()
            .flat_map(|device| &device.stable_names)
            .map(|name| name.display().to_string())
            .collect(),
        size_bytes: volume.size_bytes.unwrap_or_default(),
        logical_block_bytes: whole.and_then(|device| device.logical_block_bytes).unwrap_or_default(),
        physical_block_bytes: whole.and_then(|device| device.physical_block_bytes).unwrap_or_default(),
        read_only: whole.and_then(|device| device.is_read_only).unwrap_or_default(),
        filesystem: volume.file_system.as_ref().map(|found| found.name.clone()).unwrap_or_default(),
        mounts: mounts(&volume),
        holders: whole.map(|device| device.holders.clone()).unwrap_or_default(),
        engine: volume.engine.as_str().to_owned(),
        snapshots: volume.abilities.snapshot.now.to_string(),
        changed_blocks,
        not_better_because,
        kubernetes: kubernetes(&volume),
        team: team.map(|team| team.to_string()).unwrap_or_default(),
        unusable_because: volume.obstacle.unwrap_or_default(),
    }
}

fn mounts(volume: &Volume) -> Vec<String> {
    let point = |usage: &Use| match usage {
        Use::Mounted { point, .. } => Some(point.display().to_string()),
        _ => None,
    };
    volume.uses.iter().filter_map(point).collect()
}

fn not_better_because(volume: &Volume) -> Vec<String> {
    let (snapshot, changed) = (&volume.abilities.snapshot, &volume.abilities.changed_blocks);
    let mut reasons = Vec::new();
    if snapshot.now == SnapshotMethod::None {
        reasons.push(format!("snapshots: {}", snapshot.not_better_because));
    }
    if changed.now != changed.engine_has {
        reasons.push(format!("changed blocks: {}", changed.not_better_because));
    }
    reasons
}

fn kubernetes(volume: &Volume) -> Option<wire::KubernetesVolume> {
    let first = volume.claims.first()?;
    let pod = |claim: &coffer_volume::Claim| wire::Pod {
        uid: claim.pod_uid.clone(),
        namespace: claim.pod.as_ref().map(|pod| pod.namespace.clone()).unwrap_or_default(),
        name: claim.pod.as_ref().map(|pod| pod.name.clone()).unwrap_or_default(),
    };
    let persistent_volume = volume.claims.iter().find_map(|claim| claim.persistent_volume.clone());
    let csi = volume.claims.iter().find_map(|claim| claim.csi.as_ref());
    Some(wire::KubernetesVolume {
        persistent_volume: persistent_volume.unwrap_or_default(),
        pods: volume.claims.iter().map(pod).collect(),
        plugin: csi.map_or_else(|| first.plugin.replace('~', "/"), |csi| csi.driver.clone()),
        volume_handle: csi.map(|csi| csi.handle.clone()).unwrap_or_default(),
    })
}
