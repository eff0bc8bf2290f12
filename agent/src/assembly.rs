//! Builds the inner half of the agent from its settings: volumes, budget, stores, operations; and ties it to the outer half.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use coffer_blockio::{Arena, EngineWish, SourceOpener};
use coffer_engine::{NodeResources, RateLimiter, one_line};
use coffer_proto::agent::v1::operations_server::OperationsServer;
use coffer_proto::agent::v1::volumes_server::VolumesServer;
use coffer_volume::{Access, DeviceClass, DirectoryRoot, DirectoryUse, Gate, Inventory, Policy, Roots};
use tonic::service::RoutesBuilder;

use crate::admission::{Repositories, check_cluster};
use crate::config::{Config, Limits};
use crate::metrics::labels::{Amount, Ended, Fallback as Reason, OperationKind, StoreRequest};
use crate::metrics::{Levels, Metrics};
use crate::node_volumes::NodeVolumes;
use crate::operations::budget::{self, NodeBudget};
use crate::operations::files::RealFiles;
use crate::operations::meter::{Bytes, Fallback, Meter};
use crate::operations::record::{Kind, Requests, State};
use crate::operations::secrets::Mounted;
use crate::operations::stores::Allows;
use crate::operations::system::system;
use crate::operations::{Operations, Ports, Settings};
use crate::priority::WorkerPriority;
use crate::requests::RequestBudget;
use crate::services::admission::Admission;
use crate::services::node::{Counts, Drained, NodeFacts, NodeOperations, SharedLimits};
use crate::services::operations::OperationsService;
use crate::services::volumes::VolumesService;
use crate::teams::Teams;
use crate::threads::threads;

/// Whether [`Inner::open`] can use these settings. It makes nothing.
///
/// # Errors
/// Which setting cannot be used, and why.
pub fn check(config: &Config) -> anyhow::Result<()> {
    let threads = usize::try_from(threads(config)).unwrap_or(usize::MAX);
    NodeResources::within(config.memory.0, threads).context("share out `memory`")?;
    volumes(config).map(drop)
}
/// The journal's files of ended operations take no more, all teams together.
const JOURNAL_BYTES_MAX: u64 = 512 << 20;
/// An operation in which nothing came to an end for so long is stopped: no block, no part, no range, no request to its store. A part of
/// 17 MiB takes so long at 10 kB/s.
const STALL_TIME: Duration = Duration::from_secs(1_800);

/// The inner half: what does the work.
pub struct Inner {
    operations: Operations,
    volumes: Arc<NodeVolumes>,
    allows: Allows,
    /// The memory that requests and answers count in.
    pub requests: RequestBudget,
    /// What `Node` and signals need of it.
    pub node: Arc<dyn NodeOperations>,
    /// What `Node/Info` tells.
    pub facts: NodeFacts,
    /// The limits in force.
    pub limits: SharedLimits,
}

impl Inner {
    /// Opens the journal and the gate. Nothing is listened to yet.
    ///
    /// # Errors
    /// What cannot be had, and which setting is about it.
    pub fn open(config: &Config, metrics: &Metrics) -> anyhow::Result<Inner> {
        let threads = threads(config);
        let resources =
            NodeResources::within(config.memory.0, usize::try_from(threads).unwrap_or(usize::MAX))
                .context("share out `memory`")?;
        let (requests, history_bytes) = requests(&resources);
        let limiters = Limiters::default();
        limiters.set(config.limits);
        let volumes = Arc::new(volumes(config)?);
        let (clock, entropy) = system();
        let repositories = Repositories::new(&config.repositories);
        let priority = WorkerPriority::new(config, metrics.clone());
        let ports = Ports {
            budget: Arc::new(NodeBudget::new(
                resources.clone(),
                limiters.shared(),
                config.disk_share_percent,
            )),
            volumes: volumes.clone(),
            stores: Arc::new(repositories.clone()),
            mounted: Mounted::new(config.credentials_dir.clone()),
            files: Arc::new(RealFiles),
            requests: requests.clone(),
            meter: Arc::new(Metered(metrics.clone())),
            clock,
            entropy,
            at_thread_start: Arc::new(move || priority.apply()),
        };
        let settings = Settings {
            state_dir: config.state_dir.clone(),
            operations_max: count(config.operations_max),
            queued_max: count(config.queued_max),
            history_max: count(config.history_max),
            history_days: config.history_days,
            history_bytes,
            journal_bytes: JOURNAL_BYTES_MAX,
            stall_after: STALL_TIME,
        };
        let operations = Operations::open(settings, ports).context("open `state_dir`")?;
        let levels = operations.clone();
        metrics.set_levels_source(move || levels_of(&levels, &resources));
        let limits: SharedLimits = Arc::new(ArcSwap::from_pointee(config.limits));
        let node = Arc::new(NodeSide { operations: operations.clone(), limiters });
        let cluster = config.cluster.clone();
        let allows: Allows = Arc::new(move |request| {
            check_cluster(request, &cluster)?;
            repositories.admit(request)
        });
        let facts = facts(config, threads);
        Ok(Inner { operations, volumes, allows, requests, node, facts, limits })
    }

    /// Adds the services that do the work.
    pub fn add_to(&self, routes: &mut RoutesBuilder) {
        let looks = Arc::new(Admission::for_volumes());
        let operations =
            OperationsService::new(self.operations.clone(), Arc::clone(&self.allows), Arc::clone(&looks));
        let volumes = VolumesService::new(Arc::clone(&self.volumes), self.requests.clone(), looks);
        routes.add_service(OperationsServer::new(operations)).add_service(VolumesServer::new(volumes));
    }
}

/// What is set aside for callers: three quarters for requests and answers, a quarter for what is remembered of operations.
fn requests(resources: &NodeResources) -> (RequestBudget, u64) {
    let history = resources.request_bytes() / 4;
    (RequestBudget::of(resources.request_bytes() - history), history)
}

fn count(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// Volumes as this process sees them, and the rules for opening them.
fn volumes(config: &Config) -> anyhow::Result<NodeVolumes> {
    let mut roots = Roots::seen_at(&config.host_root);
    let kubelet = config.kubelet_dir.strip_prefix("/").unwrap_or(&config.kubelet_dir);
    roots.kubelet = config.host_root.join(kubelet);
    roots.kubelet_on_node.clone_from(&config.kubelet_dir);
    let images = |path: &PathBuf| DirectoryRoot { path: path.clone(), holds: DirectoryUse::Images };
    // A team's images lie in directories of its own below those of the agent.
    let of_teams = config.teams.iter().flat_map(|team| &team.roots);
    roots.directories = config.roots.iter().chain(of_teams).map(images).collect();
    let named = config.teams.iter().flat_map(|team| &team.volumes).map(PathBuf::from);
    let in_a_root = |path: &PathBuf| config.roots.iter().any(|root| path.starts_with(root));
    let named: Vec<PathBuf> = named.filter(in_a_root).collect();
    let mut policy = Policy::new();
    for root in &config.roots {
        policy = policy.allow_files_below(root, Access::ReadWrite).context("`roots`")?;
    }
    for class in &config.device_classes {
        let class: DeviceClass = class.parse().map_err(anyhow::Error::msg).context("`device_classes`")?;
        policy = policy.allow_class(class, Access::ReadWrite);
    }
    if !config.device_classes.is_empty() {
        for directory in [&roots.dev, &roots.kubelet].into_iter().filter(|directory| directory.is_dir()) {
            policy = policy.allow_devices_below(directory).context("`device_classes`")?;
        }
    }
    let gate = Gate::new(policy, roots.sys.clone()).context("open volumes safely")?;
    Ok(NodeVolumes::new(Inventory::new(roots).with_images(named), gate, Teams::new(&config.teams)))
}

fn facts(config: &Config, threads: u32) -> NodeFacts {
    let (read_engine, missing) = read_engine();
    NodeFacts {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        node: config.node.clone(),
        cluster: config.cluster.to_string(),
        read_engine: read_engine.to_owned(),
        missing: missing.into_iter().chain(no_devices(config)).collect(),
        memory_bytes: config.memory.0,
        operations_max: config.operations_max,
        queued_max: config.queued_max,
        threads,
        grace_period: config.grace_period(),
    }
}

/// Tries what `auto` would use, with a buffer that is given back at once.
fn read_engine() -> (&'static str, Option<String>) {
    let tried = Arena::new(1 << 20).map(|arena| SourceOpener::new(EngineWish::Auto, &arena));
    match tried {
        Ok(Ok(opener)) => match opener.fallback() {
            None => ("uring", None),
            Some(reason) => ("pread", Some(format!("io_uring: {}", one_line(reason)))),
        },
        Ok(Err(error)) => ("pread", Some(format!("io_uring: {}", one_line(&error)))),
        Err(error) => ("pread", Some(format!("io_uring was not tried: {error}"))),
    }
}

fn no_devices(config: &Config) -> Option<String> {
    let dev = config.host_root.join("dev");
    let why = match (config.device_classes.is_empty(), Path::new(&dev).is_dir()) {
        (true, _) => "`device_classes` names none".to_owned(),
        (false, false) => format!("there is no {}", dev.display()),
        (false, true) => return None,
    };
    Some(format!("block devices: {why}"))
}

/// The limiters that all operations share.
#[derive(Clone)]
struct Limiters {
    read: Arc<RateLimiter>,
    read_operations: Arc<RateLimiter>,
    upload: Arc<RateLimiter>,
}

impl Default for Limiters {
    fn default() -> Self {
        let limiter = || Arc::new(RateLimiter::unlimited());
        Limiters { read: limiter(), read_operations: limiter(), upload: limiter() }
    }
}

impl Limiters {
    fn set(&self, limits: Limits) {
        self.read.set_rate(NonZeroU64::new(limits.read_bytes_per_second.0));
        self.read_operations.set_rate(NonZeroU64::new(limits.read_requests_per_second));
        self.upload.set_rate(NonZeroU64::new(limits.upload_bytes_per_second.0));
    }

    fn shared(&self) -> budget::Limits {
        budget::Limits {
            read: Some(self.read.clone()),
            read_operations: Some(self.read_operations.clone()),
            upload: Some(self.upload.clone()),
        }
    }
}

/// Operations, as `Node` and signals see them.
struct NodeSide {
    operations: Operations,
    limiters: Limiters,
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[tonic::async_trait]
impl NodeOperations for NodeSide {
    fn counts(&self) -> Counts {
        let counts = self.operations.counts();
        let running = counts.backups + counts.restores + counts.verifications;
        Counts { running: number(running), queued: number(counts.waiting) }
    }

    fn is_draining(&self) -> bool {
        self.operations.is_draining()
    }

    fn set_limits(&self, limits: Limits) {
        self.limiters.set(limits);
    }

    async fn drain(&self, grace: Duration) -> Drained {
        let operations = self.operations.clone();
        let drained = tokio::task::spawn_blocking(move || operations.drain(grace)).await;
        drained.map_or_else(
            |_| Drained::default(),
            |drained| Drained {
                finished: number(drained.finished),
                interrupted: number(drained.interrupted),
            },
        )
    }
}

fn levels_of(operations: &Operations, resources: &NodeResources) -> Levels {
    let counts = operations.counts();
    let (arena_used_bytes, arena_limit_bytes) = resources.arena_bytes();
    Levels {
        running: [number(counts.backups), number(counts.restores), number(counts.verifications)],
        queued: number(counts.waiting),
        arena_used_bytes,
        arena_limit_bytes,
    }
}

/// What operations count, in the metrics' words.
struct Metered(Metrics);

impl Meter for Metered {
    fn bytes(&self, what: Bytes, count: u64) {
        match what {
            Bytes::Read => self.0.add(Amount::Read, count),
            Bytes::Changed => self.0.add(Amount::Changed, count),
            Bytes::Uploaded => self.0.add(Amount::Uploaded, count),
            Bytes::Restored => self.0.add(Amount::Restored, count),
            Bytes::Resumed => self.0.add(Amount::Resumed, count),
        }
    }

    fn ended(&self, kind: Kind, state: State, seconds: f64) {
        let kind = match kind {
            Kind::Backup => OperationKind::Backup,
            Kind::Restore => OperationKind::Restore,
            Kind::Verify => OperationKind::Verify,
        };
        let ended = match state {
            State::Succeeded => Ended::Succeeded,
            State::Cancelled => Ended::Cancelled,
            State::Interrupted => Ended::Interrupted,
            State::Failed | State::Queued | State::Running => Ended::Failed,
        };
        self.0.operation_ended(kind, ended, Duration::try_from_secs_f64(seconds).unwrap_or_default());
    }

    fn sample_mismatches(&self, count: u64) {
        self.0.sample_mismatches(count);
    }

    fn fell_back(&self, why: Fallback) {
        self.0.fell_back(match why {
            Fallback::ReadEngine => Reason::UringUnavailable,
            Fallback::Samples => Reason::SampleMismatch,
        });
    }

    fn store_requests(&self, requests: Requests) {
        let counts = [
            (StoreRequest::Put, requests.put),
            (StoreRequest::Get, requests.get),
            (StoreRequest::List, requests.list),
            (StoreRequest::Delete, requests.delete),
            (StoreRequest::Multipart, requests.multipart),
        ];
        counts.into_iter().for_each(|(request, count)| self.0.add_store_requests(request, count));
    }
}
