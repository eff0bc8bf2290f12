//! A repository, volumes, a coordinator, and agents that come and go.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coffer_agent::admission::Repositories;
use coffer_agent::config::Team;
use coffer_agent::edge::identity::Identity;
use coffer_agent::node_volumes::NodeVolumes;
use coffer_agent::operations::budget::{Budget, Leased};
use coffer_agent::operations::files::RealFiles;
use coffer_agent::operations::meter::NoMeter;
use coffer_agent::operations::secrets::Mounted;
use coffer_agent::operations::stores::{Allows, RealStores, Stores};
use coffer_agent::operations::system::system;
use coffer_agent::operations::volumes::VolumeAccess;
use coffer_agent::operations::{Operations, Ports, Settings};
use coffer_agent::requests::RequestBudget;
use coffer_agent::services::admission::Admission;
use coffer_agent::services::operations::OperationsService;
use coffer_agent::teams::Teams;
use coffer_engine::backup::{
    BackupReport, OpenOutcome, OpenPoint, PointRequest, TypeWish, VolumesDone, commit_point, open_point,
};
use coffer_engine::{CancelToken, EngineError, Environment, NodeResources, Repository, Resources};
use coffer_format::{KeyFile, Signed};
use coffer_proto::agent::v1;
use coffer_proto::agent::v1::operations_client::OperationsClient;
use coffer_proto::agent::v1::operations_server::OperationsServer;
use coffer_store::{OpenOptions, RepositoryUrl};
use coffer_volume::{Access, Gate, Inventory, Policy, Roots};
use tokio::sync::oneshot;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// Small packs, so that little data makes many.
pub(crate) const PACK_BYTES: u64 = 1 << 20;
/// No single wait of a test is longer; a limit for hangs, not a measure of anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Who the caller says to be; the edge is not part of these tests.
#[derive(Clone)]
pub(crate) struct As(pub(crate) &'static str);

impl tonic::service::Interceptor for As {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("as", self.0.parse().unwrap());
        Ok(request)
    }
}

pub(crate) type Client = OperationsClient<InterceptedService<Channel, As>>;

/// Files of one test.
pub(crate) struct World {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) key: String,
}

/// Shares of a node's memory, with small packs.
pub(crate) struct SmallPacks(pub(crate) NodeResources);

impl Budget for SmallPacks {
    fn places(&self) -> usize {
        self.0.shares()
    }

    fn lease(&self, _others: usize, _places_max: NonZeroUsize) -> Result<Option<Leased>, EngineError> {
        let leased = self.0.lease(NonZeroUsize::MIN)?;
        let small = |leased| Resources { pack_bytes: PACK_BYTES, ..leased };
        Ok(leased.map(|leased| Leased { resources: small(leased), places: 1 }))
    }

    fn tell_returned(&self, told: Box<dyn Fn() + Send + Sync>) {
        self.0.tell_returned(told);
    }
}

/// What an agent of these tests can be given.
pub(crate) struct Agents {
    pub(crate) stores: Arc<dyn Stores>,
    /// Instead of the images of the world.
    pub(crate) volumes: Option<Arc<dyn VolumeAccess>>,
    pub(crate) memory_bytes: u64,
    pub(crate) queued_max: usize,
    pub(crate) history_max: usize,
    pub(crate) request_bytes: u64,
    pub(crate) stall_after: Duration,
}

impl Default for Agents {
    fn default() -> Self {
        Agents {
            stores: Arc::new(RealStores),
            volumes: None,
            memory_bytes: 256 << 20,
            queued_max: 100,
            history_max: 100,
            request_bytes: 8 << 20,
            stall_after: Duration::from_secs(3_600),
        }
    }
}

/// An agent with its server.
pub(crate) struct Agent {
    pub(crate) operations: Operations,
    pub(crate) address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: tokio::task::JoinHandle<()>,
}

impl World {
    pub(crate) fn new() -> World {
        let directory = tempfile::tempdir().unwrap();
        for name in ["repository", "volumes", "state"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        let mut world = World { directory, key: String::new() };
        let (url, key) = (world.url(), Mutex::new(String::new()));
        let store = coffer_store::open(&RepositoryUrl::parse(&url).unwrap(), OpenOptions::default()).unwrap();
        let mut save = |file: &KeyFile| {
            *key.lock().unwrap() = file.encode().to_string();
            Ok(())
        };
        Repository::init(store.as_ref(), &environment(), true, &mut save).unwrap();
        world.key = key.into_inner().unwrap();
        world
    }

    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.directory.path().join("repository").display())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("volumes").join(name)
    }

    /// Makes or replaces a volume with bytes that do not shrink.
    pub(crate) fn volume(&self, name: &str, len: usize, seed: u64) -> Vec<u8> {
        let bytes = noise(len, seed);
        std::fs::write(self.path(name), &bytes).unwrap();
        bytes
    }

    /// Opens the repository as a coordinator does.
    pub(crate) fn repository(&self) -> Repository {
        let store =
            coffer_store::open(&RepositoryUrl::parse(&self.url()).unwrap(), OpenOptions::default()).unwrap();
        Repository::open(store, environment(), Some(KeyFile::decode(&self.key).unwrap())).unwrap()
    }

    pub(crate) fn message(&self) -> v1::Repository {
        v1::Repository { url: self.url(), key: self.key.clone(), ..v1::Repository::default() }
    }

    pub(crate) async fn agent(&self) -> Agent {
        self.agent_with(Agents::default()).await
    }

    pub(crate) async fn agent_with(&self, agents: Agents) -> Agent {
        start_agent(self.directory.path(), agents).await
    }
}

/// Images below a directory, which is the team's own.
pub(crate) fn volumes(root: PathBuf) -> NodeVolumes {
    let policy = Policy::new().allow_files_below(&root, Access::ReadWrite).unwrap();
    let team = Team {
        name: "default".parse().unwrap(),
        namespaces: Vec::new(),
        roots: vec![root],
        volumes: Vec::new(),
    };
    NodeVolumes::new(
        Inventory::new(Roots::of_node()),
        Gate::new(policy, "/sys").unwrap(),
        Teams::new(&[team]),
    )
}

/// An agent over the files of a world.
pub(crate) async fn start_agent(directory: &Path, agents: Agents) -> Agent {
    let (clock, entropy) = system();
    let ports = Ports {
        at_thread_start: Arc::new(|| {}),
        budget: Arc::new(SmallPacks(NodeResources::within(agents.memory_bytes, 2).unwrap())),
        volumes: agents.volumes.unwrap_or_else(|| Arc::new(volumes(directory.join("volumes")))),
        stores: agents.stores,
        mounted: Mounted::new(Some(directory.join("credentials"))),
        files: Arc::new(RealFiles),
        requests: RequestBudget::of(agents.request_bytes),
        meter: Arc::new(NoMeter),
        clock,
        entropy,
    };
    let settings = Settings {
        state_dir: directory.join("state"),
        operations_max: 16,
        queued_max: agents.queued_max,
        history_max: agents.history_max,
        history_days: 7,
        history_bytes: 1 << 20,
        journal_bytes: 64 << 20,
        stall_after: agents.stall_after,
    };
    let operations = Operations::open(settings, ports).unwrap();
    let allowed = directory.join("repository");
    let rules = format!("file://{}", allowed.display()).parse().unwrap();
    let repositories = Repositories::new(&[rules]);
    let allows: Allows = Arc::new(move |request| repositories.admit(request));
    let service = OperationsService::new(operations.clone(), allows, Arc::new(Admission::for_volumes()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    let server = tonic::transport::Server::builder()
        .add_service(InterceptedService::new(OperationsServer::new(service), identify));
    let server = tokio::spawn(async move {
        let stopped = async { drop(stopped.await) };
        server.serve_with_incoming_shutdown(incoming, stopped).await.unwrap();
    });
    Agent { operations, address, stop, server }
}

/// Stands for the edge.
fn identify(mut request: Request<()>) -> Result<Request<()>, Status> {
    let who = request.metadata().get("as").and_then(|who| who.to_str().ok()).unwrap_or("local").to_owned();
    let identity = match who.strip_prefix("team ") {
        Some(team) => Identity::Team(team.parse().unwrap()),
        None if who == "controller" => Identity::Controller,
        None if who == "scraper" => Identity::Scraper,
        None => Identity::Local,
    };
    request.extensions_mut().insert(identity);
    Ok(request)
}

impl Agent {
    pub(crate) async fn client(&self) -> Client {
        client(self.address, "controller").await
    }

    pub(crate) async fn client_as(&self, who: &'static str) -> Client {
        client(self.address, who).await
    }

    /// Ends the server and the operations, as a process that ends in good order. Nothing of it is left when this returns.
    pub(crate) async fn end(self) {
        let Agent { operations, stop, server, .. } = self;
        stop.send(()).expect("the server still serves");
        let drain = move || {
            operations.drain(Duration::ZERO);
        };
        tokio::task::spawn_blocking(drain).await.unwrap();
        tokio::time::timeout(PATIENCE, server).await.expect("the server ends").unwrap();
    }
}

pub(crate) async fn client(address: SocketAddr, who: &'static str) -> Client {
    let channel = Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    OperationsClient::with_interceptor(channel, As(who))
}

pub(crate) fn environment() -> Environment {
    let (clock, entropy) = system();
    Environment { clock, entropy, cancel: CancelToken::default() }
}

pub(crate) fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(&mut next).take(len.div_ceil(8)).flatten().collect();
    bytes.truncate(len);
    bytes
}

pub(crate) fn plan(name: &str) -> v1::Plan {
    v1::Plan { team: "default".into(), cluster: "c1".into(), namespace: "n1".into(), plan: name.into() }
}

/// What a coordinator knows of a point that it makes.
pub(crate) struct Coordinated {
    request: PointRequest,
    pub(crate) point: OpenPoint,
}

impl World {
    /// Opens a point of a plan.
    pub(crate) fn open_point(&self, plan_name: &str, volumes: &[&str]) -> Coordinated {
        let plan = format!("default/c1/n1/{plan_name}").parse().unwrap();
        let request = PointRequest {
            resources: Vec::new(),
            resources_only: false,
            plan,
            volumes: volumes.iter().map(|name| name.parse().unwrap()).collect(),
            type_wish: TypeWish::Auto,
            full_every: 24,
            list_base: None,
            snapshot_time: None,
            idempotency_key: None,
            description: String::new(),
            tags: BTreeMap::new(),
            writer: "test".into(),
        };
        match open_point(&self.repository(), &request).unwrap() {
            OpenOutcome::New(point) => Coordinated { request, point },
            OpenOutcome::Repeated(report) => panic!("{} was made before", report.point),
        }
    }

    /// Commits what came back from agents.
    pub(crate) fn commit(&self, coordinated: &Coordinated, results: &[v1::BackupResult]) -> BackupReport {
        let done = results.iter().map(|result| VolumesDone {
            records: result.records.iter().map(|bytes| Signed::decode(bytes).unwrap()).collect(),
            reused_runs: result.reused_runs.iter().map(|id| id.parse().unwrap()).collect(),
            objects: result.objects_written,
            bytes: result.bytes_written,
            resumed_bytes: result.resumed_bytes,
            error: None,
        });
        commit_point(&self.repository(), &coordinated.request, &coordinated.point, done.collect()).unwrap()
    }

    /// A backup of volumes to an open point; the plan's name is the point's.
    pub(crate) fn backup(
        &self,
        key: &str,
        coordinated: &Coordinated,
        volumes: &[&str],
    ) -> v1::StartBackupRequest {
        let reference = &coordinated.point.reference;
        let volume = |name: &&str| v1::BackupVolume {
            name: (*name).to_owned(),
            source: self.path(name).display().to_string(),
            block_bytes: 16 << 10,
            changes: "hash".into(),
        };
        v1::StartBackupRequest {
            idempotency_key: key.into(),
            repository: Some(self.message()),
            point: Some(v1::PointReference {
                plan: Some(plan(reference.plan.plan.as_ref())),
                point: reference.point.to_string(),
                chain: reference.chain.to_string(),
                parent: reference.parent.map(|parent| parent.to_string()).unwrap_or_default(),
                coordinator: b"the coordinator's own".to_vec(),
            }),
            volumes: volumes.iter().map(volume).collect(),
            compression: "none".into(),
            ..v1::StartBackupRequest::default()
        }
    }

    pub(crate) fn restore(
        &self,
        key: &str,
        plan_name: &str,
        point: &str,
        targets: &[(&str, &str, v1::RestoreMode)],
    ) -> v1::StartRestoreRequest {
        let volume = |(name, target, mode): &(&str, &str, v1::RestoreMode)| v1::RestoreVolume {
            name: (*name).to_owned(),
            target: self.path(target).display().to_string(),
            mode: (*mode).into(),
        };
        v1::StartRestoreRequest {
            idempotency_key: key.into(),
            repository: Some(self.message()),
            plan: Some(plan(plan_name)),
            point: point.into(),
            volumes: targets.iter().map(volume).collect(),
            ..v1::StartRestoreRequest::default()
        }
    }
}

/// Watches an operation to its end, and returns it as the last event tells it.
pub(crate) async fn finish(client: &mut Client, id: &str) -> v1::Operation {
    let request = v1::WatchOperationRequest { id: id.into(), after: 0 };
    let mut stream = client.watch(request).await.unwrap().into_inner();
    let mut last = None;
    let watch = async {
        while let Some(event) = stream.message().await.unwrap() {
            last = event.operation;
        }
    };
    tokio::time::timeout(PATIENCE, watch).await.expect("the operation ends");
    last.expect("a stream has an event")
}

pub(crate) fn state(operation: &v1::Operation) -> v1::OperationState {
    v1::OperationState::try_from(operation.state).unwrap()
}

pub(crate) fn backup_result(operation: &v1::Operation) -> v1::BackupResult {
    match &operation.result {
        Some(v1::operation::Result::Backup(result)) => result.clone(),
        other => panic!("{operation:?}: {other:?}"),
    }
}
