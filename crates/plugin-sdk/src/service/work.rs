//! Runs one piece of work: its deadline, its progress, its end. A caller who goes cancels it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use coffer_proto::checked::PluginWork;
use coffer_proto::plugin::v1::{self, Verb, update};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status};

use super::{Host, Service};
use crate::failure::{Failure, Reason};
use crate::job::Job;
use crate::plugin::Plugin;

/// Updates that wait for the caller; data among them are 1 MiB each.
const UPDATES_WAITING_MAX: usize = 4;
/// How often a plugin shows that it lives.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// What a streaming call answers.
pub(super) type UpdateStream = ReceiverStream<Result<v1::Update, Status>>;
/// What a plugin does for one call.
pub(super) type Doing<'a> = Pin<Box<dyn Future<Output = Result<v1::Finished, Failure>> + Send + 'a>>;

impl<P: Plugin> Service<P> {
    /// Checks the work and its options, then runs `act` on its own task.
    pub(super) fn run<F>(
        &self,
        name: &'static str,
        verb: Verb,
        work: Option<v1::Work>,
        act: F,
    ) -> Result<Response<UpdateStream>, Status>
    where
        F: for<'a> FnOnce(&'a P, &'a Job) -> Doing<'a> + Send + 'static,
    {
        let host = self.0.clone();
        let (sender, receiver) = mpsc::channel(UPDATES_WAITING_MAX);
        let job = job(&host, verb, work, sender.clone())?;
        let running = host.begin(name, &job.key)?;
        tokio::spawn(async move {
            // A panic of the plugin ends its own task, and is told like any failure.
            let doing = tokio::spawn(async move {
                let _running = running;
                finish(&host, &job, act).await
            });
            let abort = doing.abort_handle();
            let end = tokio::select! {
                end = doing => end,
                () = sender.closed() => {
                    abort.abort();
                    return;
                }
            };
            let end = end.unwrap_or_else(|error| {
                Err(Failure::new(Reason::Bug, format!("the plugin ended the work without a result: {error}")))
            });
            let update = end.map(|finished| v1::Update { update: Some(update::Update::Finished(finished)) });
            let _gone = sender.send(update.map_err(Status::from)).await;
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

fn job<P: Plugin>(
    host: &Arc<Host<P>>,
    verb: Verb,
    work: Option<v1::Work>,
    sender: crate::job::Updates,
) -> Result<Job, Failure> {
    let missing = || Failure::new(Reason::Invalid, "field `work` is missing and required");
    let work = PluginWork::try_from(work.ok_or_else(missing)?)?;
    let version = work.schema_version.as_ref().map_or("", |version| version.as_ref());
    let schemas = host.catalogue.schemas(&host.plugin, work.reference.kind.as_ref(), version)?;
    let schema = schemas.of(verb).ok_or_else(|| Failure::new(Reason::Bug, "no schema of this verb"))?;
    let options =
        schema.apply(&work.options).map_err(|error| Failure::new(Reason::Invalid, error.to_string()))?;
    let options =
        serde_json::from_str(&options).map_err(|error| Failure::new(Reason::Bug, error.to_string()))?;
    Ok(Job::new(work, schemas.version.clone(), options, sender))
}

async fn finish<P, F>(host: &Arc<Host<P>>, job: &Job, act: F) -> Result<v1::Finished, Failure>
where
    P: Plugin,
    F: for<'a> FnOnce(&'a P, &'a Job) -> Doing<'a>,
{
    let mut ticks = interval(HEARTBEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut doing = act(&host.plugin, job);
    let doing = async {
        loop {
            tokio::select! {
                end = &mut doing => return end,
                _ = ticks.tick() => job.heartbeat().await,
            }
        }
    };
    let late = || {
        let text =
            format!("{} did not end in the time that it was given; call again to go on", job.reference);
        Failure::new(Reason::Deadline, text)
    };
    let mut finished = timeout_at(job.deadline, doing).await.unwrap_or_else(|_| Err(late()))?;
    finished.warnings = job.take_warnings();
    Ok(finished)
}
