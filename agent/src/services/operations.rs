//! `coffer.agent.v1.Operations`: checks requests, applies the team rule, and hands the rest to the registry.
//!
//! Whether a caller may call at all was decided at the edge, which puts its [`Identity`] into the request's extensions. Here a team acts for itself
//! only, and another team's operation is not there.

use std::time::Duration;

use coffer_proto::agent::v1;
use coffer_proto::agent::v1::operations_server::Operations as OperationsRpc;
use coffer_proto::checked::{
    ListOperations, StartBackup, StartRestore, StartVerify, WatchOperation, operation_id,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::message;
use super::waits::Waits;
use crate::edge::identity::Identity;
use crate::errors::AgentError;
use crate::operations::stores::Allows;
use crate::operations::{Caller, Operations, Viewer, Watch, request};

/// Shortest time between two events of one stream.
const EVENT_PAUSE: Duration = Duration::from_millis(200);

/// The service.
#[derive(Clone)]
pub struct OperationsService {
    operations: Operations,
    allows: Allows,
}

impl OperationsService {
    /// Serves `operations` where `allows` does.
    pub fn new(operations: Operations, allows: Allows) -> Self {
        OperationsService { operations, allows }
    }

    async fn start(
        &self,
        identity: Identity,
        wanted: request::Request,
    ) -> Result<Response<v1::Operation>, Status> {
        let caller = caller(&identity, &wanted)?;
        let (operations, allows) = (self.operations.clone(), self.allows.clone());
        let waits = Waits::default();
        let gone = waits.gone();
        let started = blocking(move || {
            allows(&wanted)?;
            operations.start(&caller, wanted, &gone)
        });
        Ok(Response::new(message::operation(started.await?)))
    }
}

#[tonic::async_trait]
impl OperationsRpc for OperationsService {
    type WatchStream = ReceiverStream<Result<v1::OperationEvent, Status>>;

    async fn start_backup(
        &self,
        request: Request<v1::StartBackupRequest>,
    ) -> Result<Response<v1::Operation>, Status> {
        let identity = identity(&request)?;
        let wanted = StartBackup::try_from(request.into_inner()).map_err(AgentError::from)?;
        self.start(identity, request::Request::Backup(wanted)).await
    }

    async fn start_restore(
        &self,
        request: Request<v1::StartRestoreRequest>,
    ) -> Result<Response<v1::Operation>, Status> {
        let identity = identity(&request)?;
        let wanted = StartRestore::try_from(request.into_inner()).map_err(AgentError::from)?;
        self.start(identity, request::Request::Restore(wanted)).await
    }

    async fn start_verify(
        &self,
        request: Request<v1::StartVerifyRequest>,
    ) -> Result<Response<v1::Operation>, Status> {
        let identity = identity(&request)?;
        let wanted = StartVerify::try_from(request.into_inner()).map_err(AgentError::from)?;
        self.start(identity, request::Request::Verify(wanted)).await
    }

    async fn get(
        &self,
        request: Request<v1::GetOperationRequest>,
    ) -> Result<Response<v1::Operation>, Status> {
        let viewer = viewer(&identity(&request)?)?;
        let id = operation_id(&request.get_ref().id).map_err(AgentError::from)?;
        let operations = self.operations.clone();
        let view = blocking(move || operations.get(&viewer, id)).await?;
        Ok(Response::new(message::operation(view)))
    }

    async fn list(
        &self,
        request: Request<v1::ListOperationsRequest>,
    ) -> Result<Response<v1::ListOperationsResponse>, Status> {
        let viewer = viewer(&identity(&request)?)?;
        let wanted = ListOperations::try_from(request.into_inner()).map_err(AgentError::from)?;
        let operations = self.operations.clone();
        let page = blocking(move || Ok(operations.list(&viewer, &wanted))).await?;
        Ok(Response::new(v1::ListOperationsResponse {
            operations: page.views.into_iter().map(message::operation).collect(),
            next_page_token: page.next.map(|id| id.to_string()).unwrap_or_default(),
        }))
    }

    async fn watch(
        &self,
        request: Request<v1::WatchOperationRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let viewer = viewer(&identity(&request)?)?;
        let wanted = WatchOperation::try_from(request.into_inner()).map_err(AgentError::from)?;
        let watch = self.operations.watch(&viewer, wanted.id)?;
        // One event waits in the channel and one beside it: a slow reader holds up this task and nothing else.
        let (events, stream) = mpsc::channel(1);
        tokio::spawn(tell(watch, wanted.after, events));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn cancel(
        &self,
        request: Request<v1::CancelOperationRequest>,
    ) -> Result<Response<v1::Operation>, Status> {
        let viewer = viewer(&identity(&request)?)?;
        let id = operation_id(&request.get_ref().id).map_err(AgentError::from)?;
        let operations = self.operations.clone();
        let view = blocking(move || operations.cancel(&viewer, id)).await?;
        Ok(Response::new(message::operation(view)))
    }
}

/// Sends what changed until the operation ends or nobody reads any more.
async fn tell(mut watch: Watch, mut known: u64, events: mpsc::Sender<Result<v1::OperationEvent, Status>>) {
    loop {
        let looked = blocking(move || {
            let now = watch.now(known);
            Ok((watch, now))
        });
        let Ok((same_watch, now)) = looked.await else { return };
        watch = same_watch;
        let (view, lines) = match now {
            Ok(now) => now,
            Err(error) => {
                // Whoever does not read it has gone.
                let _gone = events.send(Err(error.into())).await;
                return;
            }
        };
        known = lines.last().map_or(known, |line| line.sequence.max(known));
        let ended = view.record.state.has_ended();
        let log = lines.into_iter().map(message::line).collect();
        let event = v1::OperationEvent { operation: Some(message::operation(view)), log };
        if events.send(Ok(event)).await.is_err() || ended {
            return;
        }
        tokio::select! {
            () = events.closed() => return,
            () = pause_and_change(&mut watch) => {}
        }
    }
}

/// Returns after the next change, and not before the pause between two events is over. One that is forgotten tells its end by the next look.
async fn pause_and_change(watch: &mut Watch) {
    tokio::time::sleep(EVENT_PAUSE).await;
    watch.changed().await;
}

/// Runs what may wait for a disk beside the threads that carry connections.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AgentError> + Send + 'static,
) -> Result<T, AgentError> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.unwrap_or_else(|_| Err(AgentError::Bug("a call panicked".into())))
}

fn identity<T>(request: &Request<T>) -> Result<Identity, AgentError> {
    let found = request.extensions().get::<Identity>().cloned();
    found.ok_or_else(|| AgentError::Denied("nobody said who calls".into()))
}

fn viewer(identity: &Identity) -> Result<Viewer, AgentError> {
    match identity {
        Identity::Controller | Identity::Local => Ok(Viewer::All),
        Identity::Team(team) => Ok(Viewer::Team(team.clone())),
        Identity::Scraper => Err(AgentError::Denied("a scraper reads metrics only".into())),
    }
}

fn caller(identity: &Identity, wanted: &request::Request) -> Result<Caller, AgentError> {
    let team = wanted.team();
    match identity {
        Identity::Controller => Ok(Caller { name: "controller".into(), is_team: false }),
        Identity::Local => Ok(Caller { name: "local".into(), is_team: false }),
        Identity::Team(own) if own == team => Ok(Caller { name: format!("team {own}"), is_team: true }),
        Identity::Team(own) => Err(AgentError::Denied(format!(
            "team {own} may start operations of its own only, the request is about team {team}"
        ))),
        Identity::Scraper => Err(AgentError::Denied("a scraper reads metrics only".into())),
    }
}
