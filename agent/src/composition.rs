//! The composition root: everything that the agent is made of is made here, from its settings, and nowhere else.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arc_swap::ArcSwap;
use coffer_blockio::{Arena, EngineWish, SourceOpener};
use coffer_engine::{NodeResources, one_line};
use coffer_proto::agent::v1::operations_server::OperationsServer;
use coffer_proto::agent::v1::volumes_server::VolumesServer;
use coffer_volume::{Access, DeviceClass, DirectoryRoot, DirectoryUse, Gate, Inventory, Policy, Roots};
use tonic::service::RoutesBuilder;
use tracing::info;

use crate::admission::{Repositories, check_cluster};
use crate::config::{Config, Told};
use crate::health::Health;
use crate::limiters::Limiters;
use crate::metered::Metered;
use crate::metrics::Metrics;
use crate::node_side::{NodeSide, levels_of};
use crate::node_volumes::NodeVolumes;
use crate::operations::budget::NodeBudget;
use crate::operations::files::RealFiles;
use crate::operations::secrets::Mounted;
use crate::operations::stores::Allows;
use crate::operations::system::system;
use crate::operations::{Operations, Ports, Settings};
use crate::priority::WorkerPriority;
use crate::requests::RequestBudget;
use crate::server::{Parts, Server};
use crate::services::admission::Admission;
use crate::services::node::{NodeFacts, NodeOperations, SharedLimits};
use crate::services::operations::OperationsService;
use crate::services::volumes::VolumesService;
use crate::signals::{Reactions, Signals};
use crate::teams::Teams;
use crate::threads::threads;

/// Whether `Inner::open` can use these settings. It makes nothing.
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

/// Puts the agent together and serves until it is told to end.
///
/// # Errors
/// What cannot be had, and which setting is about it.
pub async fn serve(config: Config, path: PathBuf) -> anyhow::Result<()> {
    let signals = Signals::listen().context("listen to signals")?;
    let metrics = Metrics::new(env!("CARGO_PKG_VERSION"));
    let inner = Inner::open(&config, &metrics)?;
    let health = Health::serving().await;
    let reactions = Reactions {
        config: path,
        told: Told { node: config.node.clone(), cluster: Some(config.cluster.to_string()) },
        grace: config.grace_period(),
        limits: Arc::clone(&inner.limits),
        operations: Arc::clone(&inner.node),
        health: health.clone(),
    };
    let parts = Parts {
        facts: inner.facts.clone(),
        limits: Arc::clone(&inner.limits),
        operations: Arc::clone(&inner.node),
        requests: inner.requests.clone(),
        metrics,
        health,
    };
    let server = Server::bind(&config, parts, |routes| inner.add_to(routes)).await?;
    server.serve(signals.until_drained(reactions)).await?;
    info!("ended");
    Ok(())
}

/// The inner half: what does the work.
struct Inner {
    operations: Operations,
    volumes: Arc<NodeVolumes>,
    allows: Allows,
    /// The memory that requests and answers count in.
    requests: RequestBudget,
    /// What `Node` and signals need of it.
    node: Arc<dyn NodeOperations>,
    /// What `Node/Info` tells.
    facts: NodeFacts,
    /// The limits in force.
    limits: SharedLimits,
}

impl Inner {
    /// Opens the journal and the gate. Nothing is listened to yet.
    ///
    /// # Errors
    /// What cannot be had, and which setting is about it.
    fn open(config: &Config, metrics: &Metrics) -> anyhow::Result<Inner> {
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
    fn add_to(&self, routes: &mut RoutesBuilder) {
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
