//! Calls that do something: followed to their end, with two limits: the time that the work was given, and silence.

use std::time::Duration;

use coffer_format::ResourceRef;
use coffer_proto::checked::PluginArtefact;
use coffer_proto::plugin::v1::{
    self, CompleteRequest, DeleteRequest, PrepareRequest, ProtectRequest, ReleaseRequest, RestoreRequest,
    RestoreStart, Update, VerifyRequest, restore_request, update,
};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status, Streaming};

use super::{PluginClient, PluginError};
use crate::failure::{Failure, Reason};

/// What the caller adds to the time that the work was given, so that the plugin's own answer comes first.
const GRACE: Duration = Duration::from_secs(10);

/// Work for one resource.
#[derive(Debug, Clone)]
pub struct WorkOrder {
    /// The resource.
    pub reference: ResourceRef,
    /// Names the work.
    pub key: String,
    /// How long each call may take.
    pub timeout: Duration,
    /// Version of the schema of the options; empty for the newest.
    pub schema_version: String,
    /// A JSON object.
    pub options: String,
}

/// How a call ended well.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// What protect made.
    pub artefact: Option<PluginArtefact>,
    /// What restore made.
    pub restored: Option<v1::Resource>,
    /// What was odd.
    pub warnings: Vec<String>,
}

impl WorkOrder {
    fn message(&self) -> v1::Work {
        let timeout = prost_types::Duration::try_from(self.timeout).unwrap_or_default();
        v1::Work {
            r#ref: Some((&self.reference).into()),
            idempotency_key: self.key.clone(),
            timeout: Some(timeout),
            schema_version: self.schema_version.clone(),
            options: self.options.clone(),
        }
    }
}

type Answer = Result<Response<Streaming<Update>>, Status>;

impl PluginClient {
    /// The same plugin, held to speak at least once in `silence_max`.
    #[must_use]
    pub fn with_silence_max(mut self, silence_max: Duration) -> Self {
        self.silence_max = silence_max;
        self
    }

    /// Brings a resource into a state in which it can be protected.
    ///
    /// # Errors
    /// As the plugin tells, or where it dies, hangs or breaks the rules; so with all calls here.
    pub async fn prepare(&self, order: &WorkOrder) -> Result<Outcome, PluginError> {
        let mut client = self.protection();
        let request = PrepareRequest { work: Some(order.message()) };
        self.follow("prepare", order, client.prepare(request), &mut no_data).await
    }

    /// Makes the artefact. `data` takes what the plugin sends, in order.
    pub async fn protect(
        &self,
        order: &WorkOrder,
        base: Option<&PluginArtefact>,
        data: &mut (dyn FnMut(&[u8]) -> Result<(), Failure> + Send),
    ) -> Result<Outcome, PluginError> {
        let mut client = self.protection();
        let request = ProtectRequest { work: Some(order.message()), base: base.map(Into::into) };
        let outcome = self.follow("protect", order, client.protect(request), data).await?;
        if outcome.artefact.is_none() {
            return Err(self.broken(&format!("protect {}", order.reference), "no artefact came".to_owned()));
        }
        Ok(outcome)
    }

    /// After the protect of the resource and of all below it.
    pub async fn complete(&self, order: &WorkOrder) -> Result<Outcome, PluginError> {
        let mut client = self.protection();
        let request = CompleteRequest { work: Some(order.message()) };
        self.follow("complete", order, client.complete(request), &mut no_data).await
    }

    /// Takes back what prepare did.
    pub async fn release(&self, order: &WorkOrder) -> Result<Outcome, PluginError> {
        let mut client = self.protection();
        let request = ReleaseRequest { work: Some(order.message()) };
        self.follow("release", order, client.release(request), &mut no_data).await
    }

    /// Makes a resource from an artefact; its data come through `data`, of which an error item breaks the restore off.
    pub async fn restore(
        &self,
        order: &WorkOrder,
        artefact: &PluginArtefact,
        protect_options: &str,
        mut data: mpsc::Receiver<Result<Vec<u8>, Failure>>,
    ) -> Result<Outcome, PluginError> {
        let mut client = self.protection();
        let start = RestoreStart {
            work: Some(order.message()),
            artefact: Some(artefact.into()),
            protect_options: protect_options.to_owned(),
        };
        // What was read must end by itself: a plugin that sees the end of its data believes that it has all.
        let (sender, receiver) = mpsc::channel(2);
        let (broken, mut is_broken) = mpsc::channel::<Failure>(1);
        tokio::spawn(async move {
            let message = |message| RestoreRequest { message: Some(message) };
            let mut next = Some(Ok(message(restore_request::Message::Start(start))));
            while let Some(item) = next {
                match item {
                    Ok(request) => {
                        if sender.send(request).await.is_err() {
                            return;
                        }
                    }
                    Err(failure) => {
                        let _told = broken.send(failure).await;
                        // Held open until the call is given up.
                        sender.closed().await;
                        return;
                    }
                }
                next = data
                    .recv()
                    .await
                    .map(|piece| piece.map(|piece| message(restore_request::Message::Data(piece))));
            }
        });
        let requests = ReceiverStream::new(receiver);
        let mut takes_no_data = no_data;
        let restored = self.follow("restore", order, client.restore(requests), &mut takes_no_data);
        let outcome = tokio::select! {
            outcome = restored => outcome?,
            Some(failure) = is_broken.recv() => {
                return Err(self.failed(&format!("restore {}", order.reference), failure));
            }
        };
        if outcome.restored.is_none() {
            return Err(self.broken(&format!("restore {}", order.reference), "no resource came".to_owned()));
        }
        Ok(outcome)
    }

    /// Whether an artefact could be restored now.
    pub async fn verify(&self, order: &WorkOrder, artefact: &PluginArtefact) -> Result<Outcome, PluginError> {
        let mut client = self.protection();
        let request = VerifyRequest { work: Some(order.message()), artefact: Some(artefact.into()) };
        self.follow("verify", order, client.verify(request), &mut no_data).await
    }

    /// Removes an artefact, or what the key of the order finds.
    pub async fn delete(
        &self,
        order: &WorkOrder,
        artefact: Option<&PluginArtefact>,
    ) -> Result<Outcome, PluginError> {
        let mut client = self.protection();
        let request = DeleteRequest { work: Some(order.message()), artefact: artefact.map(Into::into) };
        self.follow("delete", order, client.delete(request), &mut no_data).await
    }

    async fn follow(
        &self,
        verb: &str,
        order: &WorkOrder,
        answer: impl Future<Output = Answer>,
        data: &mut (dyn FnMut(&[u8]) -> Result<(), Failure> + Send),
    ) -> Result<Outcome, PluginError> {
        let call = format!("{verb} {}", order.reference);
        let late = || Failure::new(Reason::Deadline, format!("not done after {} s", order.timeout.as_secs()));
        let followed = timeout(order.timeout.saturating_add(GRACE), self.updates(answer, data)).await;
        followed.unwrap_or_else(|_| Err(late())).map_err(|failure| self.failed(&call, failure))
    }

    async fn updates(
        &self,
        answer: impl Future<Output = Answer>,
        data: &mut (dyn FnMut(&[u8]) -> Result<(), Failure> + Send),
    ) -> Result<Outcome, Failure> {
        let broken = |status: Status| Failure::from_status(&status);
        let silent = || {
            let text = format!(
                "the plugin says nothing for {} s; it hangs, start it again",
                self.silence_max.as_secs()
            );
            Failure::new(Reason::Deadline, text)
        };
        let answer = timeout(self.silence_max, answer).await.map_err(|_| silent())?;
        let mut updates = answer.map_err(broken)?.into_inner();
        loop {
            let update = timeout(self.silence_max, updates.message()).await.map_err(|_| silent())?;
            match update.map_err(broken)?.map(|update| update.update) {
                Some(Some(update::Update::Finished(finished))) => return outcome(finished),
                Some(Some(update::Update::Data(piece))) => data(&piece)?,
                Some(Some(update::Update::Progress(progress))) => {
                    tracing::debug!(plugin = %self.name, text = %progress.text, "plugin works");
                }
                Some(None) => {}
                None => {
                    return Err(Failure::new(
                        Reason::Unreachable,
                        "the plugin ended the call without a result",
                    ));
                }
            }
        }
    }
}

fn outcome(finished: v1::Finished) -> Result<Outcome, Failure> {
    let warnings =
        finished.warnings.into_iter().filter(|warning| !warning.is_empty() && warning.len() <= 512);
    Ok(Outcome {
        artefact: finished.artefact.map(PluginArtefact::try_from).transpose()?,
        restored: finished.restored,
        warnings: warnings.take(16).collect(),
    })
}

/// For calls that send no data.
fn no_data(_piece: &[u8]) -> Result<(), Failure> {
    Err(Failure::new(Reason::Bug, "the plugin sends data where none belong"))
}
