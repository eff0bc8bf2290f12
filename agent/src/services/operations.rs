//! `coffer.agent.v1.Operations`: checks requests, applies the team rule, and hands the rest to the registry.
//!
//! Whether a caller may call at all was decided at the edge, which puts its [`Identity`] into the request's extensions. Here a team acts for itself
//! only, and another team's operation is not there.

use std::sync::Arc;
use std::time::Duration;

use coffer_format::Id;
use coffer_proto::agent::v1;
use coffer_proto::agent::v1::operations_server::Operations as OperationsRpc;
use coffer_proto::checked::{
    ListOperations, StartBackup, StartRestore, StartVerify, WatchOperation, operation_id,
};
use prost::Message;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::admission::Admission;
use super::message;
use super::waits::Waits;
use crate::edge::identity::Identity;
use crate::edge::metered::Account;
use crate::errors::AgentError;
use crate::operations::stores::Allows;
use crate::operations::{Caller, Operations, PAGE_BYTES_MAX, View, Viewer, Watch, request};
use crate::requests::Permit;
use crate::shares::Holder;

/// About how much an operation takes on a page, bytes.
const LISTED_BYTES: u64 = 2 << 10;
/// Shortest time between two events of one stream.
const EVENT_PAUSE: Duration = Duration::from_millis(200);

/// Who calls, and what the call takes.
struct Call {
    identity: Identity,
    account: Option<Account>,
}

impl Call {
    fn of<T>(request: &Request<T>) -> Result<Call, AgentError> {
        Ok(Call { identity: identity(request)?, account: request.extensions().get().cloned() })
    }
}

/// The service.
#[derive(Clone)]
pub struct OperationsService {
    operations: Operations,
    allows: Allows,
    looks: Arc<Admission>,
    threads: Arc<Admission>,
}

impl OperationsService {
    /// Serves `operations` where `allows` does. Starts look at the node's volumes, and pass `looks` to do so.
    pub fn new(operations: Operations, allows: Allows, looks: Arc<Admission>) -> Self {
        OperationsService { operations, allows, looks, threads: Arc::new(Admission::for_threads()) }
    }

    async fn start(&self, call: Call, wanted: request::Request) -> Result<Response<v1::Operation>, Status> {
        let Call { identity, account } = call;
        let caller = caller(&identity, &wanted)?;
        let who = Holder::from(&identity);
        let look = match wanted.volume_refs().is_empty() {
            true => None,
            false => Some(self.looks.pass(&who).await),
        };
        let (operations, allows) = (self.operations.clone(), self.allows.clone());
        let waits = Waits::default();
        let gone = waits.gone();
        let started = self.blocking(&who, move || {
            // All of it is held until this ends, whether or not the caller waits.
            let _held = (look, account);
            allows(&wanted)?;
            operations.start(&caller, wanted, &gone)
        });
        Ok(Response::new(message::operation(started.await?)))
    }

    /// Runs what may wait for a disk beside the threads that carry connections.
    async fn blocking<T: Send + 'static>(
        &self,
        who: &Holder,
        work: impl FnOnce() -> Result<T, AgentError> + Send + 'static,
    ) -> Result<T, AgentError> {
        let passed = self.threads.pass(who).await;
        blocking(move || {
            // Also when nobody waits for it any more, the thread is in use until the work is done.
            let _passed = passed;
            work()
        })
        .await
    }

    /// An operation as an answer, which counts on its caller's account until it is sent.
    async fn answer(
        &self,
        who: &Holder,
        id: Id,
        look: impl FnOnce(&Operations) -> Result<View, AgentError> + Send + 'static,
    ) -> Result<Response<v1::Operation>, Status> {
        let permit = self.operations.requests().take(who, self.operations.bytes_to_tell(id), "an answer")?;
        let operations = self.operations.clone();
        let looked = self.blocking(who, move || look(&operations).map(|view| (view, permit)));
        let (view, permit) = looked.await?;
        Ok(counted(message::operation(view), permit))
    }
}

#[tonic::async_trait]
impl OperationsRpc for OperationsService {
    type WatchStream = ReceiverStream<Result<v1::OperationEvent, Status>>;

    async fn start_backup(
        &self,
        request: Request<v1::StartBackupRequest>,
    ) -> Result<Response<v1::Operation>, Status> {
        let call = Call::of(&request)?;
        let wanted = StartBackup::try_from(request.into_inner()).map_err(AgentError::from)?;
        self.start(call, request::Request::Backup(wanted)).await
    }

    async fn start_restore(
        &self,
        request: Request<v1::StartRestoreRequest>,
    ) -> Result<Response<v1::Operation>, Status> {
        let call = Call::of(&request)?;
        let wanted = StartRestore::try_from(request.into_inner()).map_err(AgentError::from)?;
        self.start(call, request::Request::Restore(wanted)).await
    }

    async fn start_verify(
        &self,
        request: Request<v1::StartVerifyRequest>,
    ) -> Result<Response<v1::Operation>, Status> {
        let call = Call::of(&request)?;
        let wanted = StartVerify::try_from(request.into_inner()).map_err(AgentError::from)?;
        self.start(call, request::Request::Verify(wanted)).await
    }

    async fn get(
        &self,
        request: Request<v1::GetOperationRequest>,
    ) -> Result<Response<v1::Operation>, Status> {
        let identity = identity(&request)?;
        let viewer = viewer(&identity)?;
        let id = operation_id(&request.get_ref().id).map_err(AgentError::from)?;
        self.answer(&Holder::from(&identity), id, move |operations| operations.get(&viewer, id)).await
    }

    async fn list(
        &self,
        request: Request<v1::ListOperationsRequest>,
    ) -> Result<Response<v1::ListOperationsResponse>, Status> {
        let identity = identity(&request)?;
        let (viewer, who) = (viewer(&identity)?, Holder::from(&identity));
        let wanted = ListOperations::try_from(request.into_inner()).map_err(AgentError::from)?;
        let page_bytes = PAGE_BYTES_MAX.min(LISTED_BYTES * wanted.page_size as u64);
        let permit = self.operations.requests().take(&who, 2 * page_bytes, "a page of operations")?;
        let operations = self.operations.clone();
        let looked = self.blocking(&who, move || Ok((operations.list(&viewer, &wanted), permit)));
        let (page, permit) = looked.await?;
        let page = v1::ListOperationsResponse {
            operations: page.views.into_iter().map(message::operation).collect(),
            next_page_token: page.next.map(|id| id.to_string()).unwrap_or_default(),
        };
        Ok(counted(page, permit))
    }

    async fn watch(
        &self,
        request: Request<v1::WatchOperationRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let identity = identity(&request)?;
        let viewer = viewer(&identity)?;
        let wanted = WatchOperation::try_from(request.into_inner()).map_err(AgentError::from)?;
        let watch = self.operations.watch(&viewer, wanted.id)?;
        let teller = Teller { service: self.clone(), who: Holder::from(&identity) };
        // One event waits in the channel and one beside it: a slow reader holds up this task and nothing else.
        let (events, stream) = mpsc::channel(1);
        tokio::spawn(teller.tell(watch, wanted.after, events));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn cancel(
        &self,
        request: Request<v1::CancelOperationRequest>,
    ) -> Result<Response<v1::Operation>, Status> {
        let identity = identity(&request)?;
        let viewer = viewer(&identity)?;
        let id = operation_id(&request.get_ref().id).map_err(AgentError::from)?;
        self.answer(&Holder::from(&identity), id, move |operations| operations.cancel(&viewer, id)).await
    }
}

/// A message that counts on its caller's account until it is sent, as what it then is.
fn counted<M: Message>(message: M, mut permit: Permit) -> Response<M> {
    permit.shrink(message.encoded_len() as u64);
    let mut response = Response::new(message);
    response.extensions_mut().insert(Arc::new(permit));
    response
}

type EventResult = Result<v1::OperationEvent, Status>;

/// Tells one watcher of an operation.
struct Teller {
    service: OperationsService,
    who: Holder,
}

impl Teller {
    /// Sends what changed until the operation ends or nobody reads any more. An event is made when the one before has been taken and there is
    /// room for it on the caller's account: who reads slowly waits, and takes no more memory.
    async fn tell(self, mut watch: Watch, mut known: u64, events: mpsc::Sender<EventResult>) {
        let mut _told: Option<Permit> = None;
        loop {
            // Nobody waits for the room to make events any more once it is there.
            let Ok(place) = events.reserve().await else { return };
            _told = None;
            let bytes = watch.bytes_to_tell();
            let mut permit = tokio::select! {
                () = events.closed() => return,
                permit = self.service.operations.requests().take_patiently(&self.who, bytes) => permit,
            };
            let looked = self.service.blocking(&self.who, move || {
                let now = watch.now(known);
                Ok((watch, now))
            });
            let Ok((same_watch, now)) = looked.await else { return };
            watch = same_watch;
            let (view, lines) = match now {
                Ok(now) => now,
                Err(error) => return place.send(Err(error.into())),
            };
            known = lines.last().map_or(known, |line| line.sequence.max(known));
            let ended = view.record.state.has_ended();
            let log = lines.into_iter().map(message::line).collect();
            let event = v1::OperationEvent { operation: Some(message::operation(view)), log };
            permit.shrink(event.encoded_len() as u64);
            _told = Some(permit);
            place.send(Ok(event));
            if ended {
                // The last event counts until it is taken.
                let _taken = events.reserve().await;
                return;
            }
            tokio::select! {
                () = events.closed() => return,
                () = pause_and_change(&mut watch) => {}
            }
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
