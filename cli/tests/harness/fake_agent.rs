//! An agent that does as it is told: it keeps operations by their keys as the real one does, backs volumes up with the real engine, and
//! fails, breaks off or dies where its script says so. It writes down what it was asked.

#![allow(dead_code, reason = "every test program uses a part of this")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking; clippy sees no test here")]

#[path = "fake_work.rs"]
pub(crate) mod work;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};

use coffer_proto::agent::v1;
use coffer_proto::agent::v1::node_server::{Node, NodeServer};
use coffer_proto::agent::v1::operations_server::{Operations, OperationsServer};
use coffer_proto::agent::v1::volumes_server::{Volumes, VolumesServer};
use coffer_proto::agent::v1::{Operation, OperationState, operation};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_stream::{Stream, StreamExt};
use tonic::transport::{Server, ServerTlsConfig};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// What happens to an operation that begins.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// It is done.
    Work,
    /// It runs until it is cancelled or the agent dies.
    Hang,
    /// The agent was restarted in the middle.
    Interrupt,
    /// It fails with kind and advice.
    Fail(&'static str, &'static str),
    /// It is done, but the first streams that watch it break.
    BreakStreams(u32),
}

/// How the agent behaves.
#[derive(Default)]
pub(crate) struct Script {
    /// For operations, in the order in which they begin; then all work.
    pub(crate) acts: VecDeque<Act>,
    /// All calls are answered with this code and kind.
    pub(crate) refuse: Option<(Code, &'static str)>,
    pub(crate) volumes: Vec<v1::Volume>,
    /// Results of restores and verifications.
    pub(crate) restored: v1::RestoreResult,
    pub(crate) verified: v1::VerifyResult,
    /// So many looks for a key find nothing, as if its operation had begun a moment later.
    pub(crate) blind_looks: u32,
}

/// What it was asked.
#[derive(Default)]
pub(crate) struct Asked {
    pub(crate) backups: Vec<v1::StartBackupRequest>,
    pub(crate) restores: Vec<v1::StartRestoreRequest>,
    pub(crate) verifies: Vec<v1::StartVerifyRequest>,
    pub(crate) watches: Vec<v1::WatchOperationRequest>,
    pub(crate) cancels: Vec<String>,
}

#[derive(Default)]
struct State {
    script: Script,
    asked: Asked,
    operations: BTreeMap<String, watch::Sender<Operation>>,
    breaks: u32,
    begun: u32,
}

/// The agent and the thread it lives on.
pub(crate) struct FakeAgent {
    pub(crate) address: SocketAddr,
    /// Kept while the agent restarts, so that nobody else gets the port.
    listener: std::net::TcpListener,
    node: String,
    service: Service,
    watched: Receiver<()>,
    tls: Option<ServerTlsConfig>,
    runtime: Option<tokio::runtime::Runtime>,
}

#[derive(Clone)]
struct Service {
    node: String,
    state: Arc<Mutex<State>>,
    watched: Sender<()>,
}

impl FakeAgent {
    pub(crate) fn start(node: &str, script: Script) -> FakeAgent {
        FakeAgent::start_with(node, script, None)
    }

    pub(crate) fn start_with(node: &str, script: Script, tls: Option<ServerTlsConfig>) -> FakeAgent {
        // tonic's server takes the process's provider, and two are built in. Another test may have been first.
        let _installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (sender, watched) = channel();
        let state = Arc::new(Mutex::new(State { script, ..State::default() }));
        let service = Service { node: node.into(), state, watched: sender };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let mut agent =
            FakeAgent { address, listener, node: node.into(), service, watched, tls, runtime: None };
        agent.serve();
        agent
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `NODE=http://127.0.0.1:PORT`.
    pub(crate) fn named(&self) -> String {
        format!("{}={}", self.node, self.url())
    }

    /// Waits until somebody watches an operation once more.
    pub(crate) fn wait_for_watch(&self) {
        self.watched.recv().unwrap();
    }

    /// All connections break; what ran is interrupted; it listens again.
    pub(crate) fn restart(&mut self) {
        // Waits for its threads, so that no connection lives on.
        self.runtime.take().unwrap().shutdown_timeout(std::time::Duration::from_secs(60));
        for operation in self.state().operations.values() {
            operation.send_modify(|operation| {
                if operation.state() == OperationState::Running {
                    operation.state = OperationState::Interrupted.into();
                }
            });
        }
        self.serve();
    }

    /// As [`FakeAgent::restart`], with other certificates.
    pub(crate) fn restart_with(&mut self, tls: ServerTlsConfig) {
        self.tls = Some(tls);
        self.restart();
    }

    /// Lets operations that hang come to their end.
    pub(crate) fn finish(&self, key: &str) {
        let request = self
            .state()
            .asked
            .backups
            .iter()
            .rev()
            .find(|request| request.idempotency_key == key)
            .cloned()
            .unwrap();
        let result = work::back_up(&request);
        self.service.set(key, |operation| {
            operation.state = OperationState::Succeeded.into();
            operation.result = Some(operation::Result::Backup(result.clone()));
        });
    }

    pub(crate) fn act(&self, act: Act) {
        self.state().script.acts.push_back(act);
    }

    /// The next looks for a key find nothing.
    pub(crate) fn blind(&self, looks: u32) {
        self.state().script.blind_looks = looks;
    }

    pub(crate) fn asked<T>(&self, look: impl FnOnce(&Asked) -> T) -> T {
        look(&self.state().asked)
    }

    pub(crate) fn operation(&self, key: &str) -> Operation {
        self.state().operations[key].borrow().clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.service.state()
    }

    fn serve(&mut self) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = self.listener.try_clone().unwrap();
        let listener = runtime.block_on(async { TcpListener::from_std(listener) }).unwrap();
        let (service, tls) = (self.service.clone(), self.tls.clone());
        runtime.spawn(async move {
            let mut server = Server::builder();
            if let Some(tls) = tls {
                server = server.tls_config(tls).unwrap();
            }
            let routes = server
                .add_service(OperationsServer::new(service.clone()))
                .add_service(VolumesServer::new(service.clone()))
                .add_service(NodeServer::new(service));
            routes.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        self.runtime = Some(runtime);
    }
}

impl Drop for FakeAgent {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Service {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn set(&self, key: &str, change: impl FnOnce(&mut Operation)) {
        self.state().operations[key].send_modify(change);
    }

    fn admit(&self) -> Result<(), Status> {
        match self.state().script.refuse {
            Some((code, kind)) => {
                let details = ErrorDetails::with_error_info(
                    kind,
                    "coffer.dev",
                    [("advice".into(), "configure".into())],
                );
                Err(Status::with_error_details(code, "team shop may not do this", details))
            }
            None => Ok(()),
        }
    }

    fn by_id(&self, id: &str) -> Result<watch::Sender<Operation>, Status> {
        let state = self.state();
        let found = state.operations.values().find(|operation| operation.borrow().id == id).cloned();
        found.ok_or_else(|| Status::not_found(format!("no operation {id}")))
    }

    /// The operation with this key, begun anew unless it lives.
    fn begin(&self, mut fresh: Operation) -> (Operation, Option<Act>) {
        let mut state = self.state();
        let key = fresh.idempotency_key.clone();
        if let Some(known) = state.operations.get(&key).map(|known| known.borrow().clone()) {
            let is_dead = matches!(
                known.state(),
                OperationState::Failed | OperationState::Cancelled | OperationState::Interrupted
            );
            if !is_dead {
                return (known, None);
            }
            fresh.id = known.id;
            fresh.attempt = known.attempt + 1;
        } else {
            state.begun += 1;
            fresh.id = format!("{}-{}", self.node, state.begun);
            fresh.attempt = 1;
        }
        fresh.state = OperationState::Running.into();
        match state.operations.get(&key) {
            Some(known) => drop(known.send_replace(fresh.clone())),
            None => drop(state.operations.insert(key, watch::Sender::new(fresh.clone()))),
        }
        let act = state.script.acts.pop_front().unwrap_or(Act::Work);
        (fresh, Some(act))
    }

    /// Lets the act happen; `work` makes the result.
    async fn play(
        &self,
        fresh: Operation,
        work: impl FnOnce() -> operation::Result + Send + 'static,
    ) -> Operation {
        let key = fresh.idempotency_key.clone();
        let (_, Some(act)) = self.begin(fresh) else { return self.state().operations[&key].borrow().clone() };
        match act {
            Act::Hang => {}
            Act::Interrupt => {
                self.set(&key, |operation| operation.state = OperationState::Interrupted.into())
            }
            Act::Fail(kind, advice) => self.set(&key, |operation| {
                operation.state = OperationState::Failed.into();
                let message = format!("the disk is \u{1b}[31mgone ({kind})");
                operation.error =
                    Some(v1::OperationError { code: 2, kind: kind.into(), message, advice: advice.into() });
            }),
            Act::Work | Act::BreakStreams(_) => {
                if let Act::BreakStreams(count) = act {
                    self.state().breaks = count;
                }
                let result = tokio::task::spawn_blocking(work).await.unwrap();
                self.set(&key, |operation| {
                    operation.state = OperationState::Succeeded.into();
                    operation.result = Some(result);
                });
            }
        }
        self.state().operations[&key].borrow().clone()
    }
}

type Events = Pin<Box<dyn Stream<Item = Result<v1::OperationEvent, Status>> + Send>>;

fn line(sequence: u64) -> v1::LogLine {
    v1::LogLine { sequence, time: None, level: "warn".into(), text: format!("line number {sequence}.") }
}

#[tonic::async_trait]
impl Operations for Service {
    async fn start_backup(
        &self,
        request: Request<v1::StartBackupRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.admit()?;
        let request = request.into_inner();
        self.state().asked.backups.push(request.clone());
        let fresh = Operation {
            kind: v1::OperationKind::Backup.into(),
            idempotency_key: request.idempotency_key.clone(),
            volumes: request.volumes.iter().map(|volume| volume.name.clone()).collect(),
            point: request.point.clone(),
            ..Operation::default()
        };
        let work = move || operation::Result::Backup(work::back_up(&request));
        Ok(Response::new(self.play(fresh, work).await))
    }

    async fn start_restore(
        &self,
        request: Request<v1::StartRestoreRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.admit()?;
        let request = request.into_inner();
        self.state().asked.restores.push(request.clone());
        let restored = self.state().script.restored.clone();
        let fresh = Operation {
            kind: v1::OperationKind::Restore.into(),
            idempotency_key: request.idempotency_key,
            ..Operation::default()
        };
        Ok(Response::new(self.play(fresh, || operation::Result::Restore(restored)).await))
    }

    async fn start_verify(
        &self,
        request: Request<v1::StartVerifyRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.admit()?;
        let request = request.into_inner();
        self.state().asked.verifies.push(request.clone());
        let verified = self.state().script.verified.clone();
        let fresh = Operation {
            kind: v1::OperationKind::Verify.into(),
            idempotency_key: request.idempotency_key,
            ..Operation::default()
        };
        Ok(Response::new(self.play(fresh, || operation::Result::Verify(verified)).await))
    }

    async fn get(&self, request: Request<v1::GetOperationRequest>) -> Result<Response<Operation>, Status> {
        self.admit()?;
        Ok(Response::new(self.by_id(&request.into_inner().id)?.borrow().clone()))
    }

    async fn list(
        &self,
        request: Request<v1::ListOperationsRequest>,
    ) -> Result<Response<v1::ListOperationsResponse>, Status> {
        self.admit()?;
        let request = request.into_inner();
        let mut state = self.state();
        if !request.idempotency_key.is_empty() && state.script.blind_looks > 0 {
            state.script.blind_looks -= 1;
            return Ok(Response::new(v1::ListOperationsResponse::default()));
        }
        let all = state
            .operations
            .iter()
            .filter(|(key, _)| request.idempotency_key.is_empty() || **key == request.idempotency_key);
        // As the real one: results, and what a coordinator left, are told one at a time.
        let short = |(_, operation): (&String, &watch::Sender<Operation>)| {
            let mut operation = operation.borrow().clone();
            operation.result = None;
            operation.point.iter_mut().for_each(|reference| reference.coordinator.clear());
            operation
        };
        let operations = all.map(short).collect();
        Ok(Response::new(v1::ListOperationsResponse { operations, next_page_token: String::new() }))
    }

    type WatchStream = Events;

    async fn watch(&self, request: Request<v1::WatchOperationRequest>) -> Result<Response<Events>, Status> {
        self.admit()?;
        let request = request.into_inner();
        let operation = self.by_id(&request.id)?;
        let is_broken = {
            let mut state = self.state();
            state.asked.watches.push(request.clone());
            let is_broken = state.breaks > 0;
            state.breaks = state.breaks.saturating_sub(1);
            is_broken
        };
        let _ = self.watched.send(());
        if is_broken {
            let mut seen = operation.borrow().clone();
            seen.state = OperationState::Running.into();
            let event = v1::OperationEvent { operation: Some(seen), log: vec![line(request.after + 1)] };
            let events = [Ok(event), Err(Status::unavailable("the stream broke"))];
            return Ok(Response::new(Box::pin(tokio_stream::iter(events))));
        }
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        tokio::spawn(async move {
            let mut changes = operation.subscribe();
            loop {
                let seen = changes.borrow_and_update().clone();
                let has_ended = seen.state() != OperationState::Running;
                let event = v1::OperationEvent { operation: Some(seen), log: Vec::new() };
                if sender.send(Ok(event)).await.is_err() || has_ended || changes.changed().await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver).map(|event| event))))
    }

    async fn cancel(
        &self,
        request: Request<v1::CancelOperationRequest>,
    ) -> Result<Response<Operation>, Status> {
        self.admit()?;
        let operation = self.by_id(&request.into_inner().id)?;
        operation.send_modify(|operation| {
            if operation.state() == OperationState::Running {
                operation.state = OperationState::Cancelled.into();
                let message = "cancelled by a call of Cancel".into();
                let advice = "retry".into();
                operation.error =
                    Some(v1::OperationError { code: 1, kind: "cancelled".into(), message, advice });
            }
        });
        let operation = operation.borrow().clone();
        self.state().asked.cancels.push(operation.idempotency_key.clone());
        Ok(Response::new(operation))
    }
}

#[tonic::async_trait]
impl Volumes for Service {
    /// One volume per page.
    async fn list(
        &self,
        request: Request<v1::ListVolumesRequest>,
    ) -> Result<Response<v1::ListVolumesResponse>, Status> {
        self.admit()?;
        let request = request.into_inner();
        let state = self.state();
        let fits = |volume: &&v1::Volume| {
            let kubernetes = volume.kubernetes.clone().unwrap_or_default();
            let pods = |pod: &v1::Pod| pod.namespace == request.namespace;
            (request.persistent_volume.is_empty()
                || kubernetes.persistent_volume == request.persistent_volume)
                && (request.namespace.is_empty() || kubernetes.pods.iter().any(pods))
        };
        let volumes: Vec<_> = state.script.volumes.iter().filter(fits).cloned().collect();
        let index: usize = request.page_token.parse().unwrap_or(0);
        let next = if index + 1 < volumes.len() { (index + 1).to_string() } else { String::new() };
        let volumes = volumes.get(index).cloned().into_iter().collect();
        Ok(Response::new(v1::ListVolumesResponse { volumes, next_page_token: next }))
    }

    async fn describe(
        &self,
        _request: Request<v1::DescribeVolumeRequest>,
    ) -> Result<Response<v1::DescribeVolumeResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }
}

#[tonic::async_trait]
impl Node for Service {
    async fn info(&self, _request: Request<v1::InfoRequest>) -> Result<Response<v1::InfoResponse>, Status> {
        self.admit()?;
        let limits =
            v1::Limits { memory_bytes: 256 << 20, operations_max: 2, threads: 2, ..Default::default() };
        Ok(Response::new(v1::InfoResponse {
            version: "0.1.0".into(),
            node: self.node.clone(),
            limits: Some(limits),
            read_engine: "pread".into(),
            missing: vec!["io_uring: not permitted".into()],
            ..Default::default()
        }))
    }

    async fn drain(
        &self,
        _request: Request<v1::DrainRequest>,
    ) -> Result<Response<v1::DrainResponse>, Status> {
        Err(Status::unimplemented("not in this test"))
    }
}
