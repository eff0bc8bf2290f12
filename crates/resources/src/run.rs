//! One run of work on resources: prepare, protect, complete, release. Release comes once for each prepare that was begun, whatever else happens.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use coffer_format::ResourceRef;
use coffer_plugin_sdk::{Failure, PluginArtefact, PluginError, Reason, WorkOrder};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::plan::{Plan, Planned};

/// Resources that are protected at once.
const AT_ONCE: usize = 8;
/// How long prepare, complete and release may take.
const STEP_MAX: Duration = Duration::from_secs(600);
/// How often a release is tried: what it holds hurts until it is let go.
const RELEASES: u32 = 3;
/// How often somebody looks whether the run is to stop.
const LOOK: Duration = Duration::from_millis(100);

/// Takes the data of resources.
pub trait DataSink: Send + Sync + 'static {
    /// A place for the data of the resource with this number in the plan; called when the first of them comes.
    ///
    /// # Errors
    /// Where there is none.
    fn open(&self, number: usize) -> std::io::Result<Box<dyn Write + Send>>;
}

/// How a run is done.
pub struct RunOrder<'a> {
    /// What is done.
    pub plan: &'a Plan,
    /// Names of the work, one for each resource of the plan.
    pub keys: &'a [String],
    /// Artefacts to build on; empty where nothing is built on.
    pub bases: &'a BTreeMap<ResourceRef, PluginArtefact>,
    /// How long one protect may take.
    pub timeout: Duration,
    /// Takes data.
    pub sink: Arc<dyn DataSink>,
    /// Whether the run is to stop.
    pub is_cancelled: &'a (dyn Fn() -> bool + Sync),
}

/// What became of one resource.
#[derive(Debug, Clone)]
pub struct Done {
    /// What was made; there may be one although the resource failed later.
    pub artefact: Option<PluginArtefact>,
    /// Why it failed.
    pub error: Option<String>,
    /// What was odd.
    pub warnings: Vec<String>,
}

/// Does the work of a plan; what became of each resource, in the plan's order.
pub async fn run(order: &RunOrder<'_>) -> Vec<Done> {
    let blank = Done { artefact: None, error: None, warnings: Vec::new() };
    let mut run = Run { order, done: vec![blank; order.plan.resources.len()], held: Vec::new() };
    run.prepare().await;
    run.protect().await;
    run.complete().await;
    run.release().await;
    run.done
}

struct Run<'a> {
    order: &'a RunOrder<'a>,
    done: Vec<Done>,
    /// Resources whose prepare was begun, in that order.
    held: Vec<usize>,
}

impl Run<'_> {
    fn resource(&self, number: usize) -> (&Planned, WorkOrder) {
        let planned = &self.order.plan.resources[number];
        (planned, work(planned, &self.order.keys[number], STEP_MAX))
    }

    fn fail(&mut self, number: usize, text: impl Into<String>) {
        let text: String = text.into();
        tracing::warn!(resource = %self.order.plan.resources[number].reference, error = %text, "resource failed");
        self.done[number].error.get_or_insert(cut(text, 1000));
    }

    /// Parents first. What is below a resource that failed is not touched.
    async fn prepare(&mut self) {
        let mut lost: BTreeSet<ResourceRef> = BTreeSet::new();
        for number in 0..self.done.len() {
            let (planned, work) = self.resource(number);
            let plugin = planned.plugin.clone();
            let reference = planned.reference.clone();
            let parent =
                self.order.plan.graph.parents_of(&reference).find(|parent| lost.contains(*parent)).cloned();
            let problem = match (parent, &planned.unready) {
                _ if (self.order.is_cancelled)() => Some("the run was stopped".to_owned()),
                (Some(parent), _) => Some(format!("{parent}, to which it belongs, could not be prepared")),
                (None, Some(reason)) => Some(reason.clone()),
                (None, None) => None,
            };
            let problem = match problem {
                Some(problem) => Some(problem),
                None => {
                    let prepared = plugin.prepare(&work).await;
                    // Whoever gave no answer may hold it all the same.
                    if prepared.is_ok() || prepared.as_ref().is_err_and(is_ambiguous) {
                        self.held.push(number);
                    }
                    match prepared {
                        Ok(outcome) => {
                            self.done[number].warnings.extend(outcome.warnings);
                            None
                        }
                        Err(error) => Some(error.to_string()),
                    }
                }
            };
            if let Some(problem) = problem {
                self.fail(number, problem);
                lost.insert(reference);
            }
        }
    }

    /// All at once, within a limit.
    async fn protect(&mut self) {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let mut tasks = JoinSet::new();
        for number in 0..self.done.len() {
            if self.done[number].error.is_some() {
                continue;
            }
            let planned = &self.order.plan.resources[number];
            let order = work(planned, &self.order.keys[number], self.order.timeout);
            let base = self.order.bases.get(&planned.reference).cloned();
            let (plugin, sink, places) = (planned.plugin.clone(), self.order.sink.clone(), places.clone());
            tasks.spawn(async move {
                let _place = places.acquire_owned().await;
                let mut data = Incoming { sink, number, writer: None };
                let outcome = plugin.protect(&order, base.as_ref(), &mut |piece| data.take(piece)).await;
                (number, outcome.and_then(|outcome| data.close(outcome, &plugin.name)))
            });
        }
        loop {
            let ended = tokio::select! {
                ended = tasks.join_next() => ended,
                () = tokio::time::sleep(LOOK) => {
                    if (self.order.is_cancelled)() {
                        tasks.abort_all();
                    }
                    continue;
                }
            };
            match ended {
                None => break,
                Some(Ok((number, Ok(outcome)))) => {
                    self.done[number].artefact = outcome.artefact;
                    self.done[number].warnings.extend(outcome.warnings);
                }
                Some(Ok((number, Err(error)))) => self.fail(number, error.to_string()),
                // Aborted; told below.
                Some(Err(_)) => {}
            }
        }
        for number in 0..self.done.len() {
            if self.done[number].artefact.is_none() && self.done[number].error.is_none() {
                self.fail(number, "the run was stopped");
            }
        }
    }

    /// Children first, of those that were protected.
    async fn complete(&mut self) {
        for number in (0..self.done.len()).rev() {
            if self.done[number].error.is_some() {
                continue;
            }
            let (planned, work) = self.resource(number);
            match planned.plugin.clone().complete(&work).await {
                Ok(outcome) => self.done[number].warnings.extend(outcome.warnings),
                Err(error) => self.fail(number, error.to_string()),
            }
        }
    }

    /// In the reverse order of prepare. What cannot be released is told: it may stay as prepare left it.
    async fn release(&mut self) {
        for number in std::mem::take(&mut self.held).into_iter().rev() {
            let (planned, work) = self.resource(number);
            let plugin = planned.plugin.clone();
            let mut released = plugin.release(&work).await;
            for _ in 1..RELEASES {
                match &released {
                    Err(error) if is_ambiguous(error) => released = plugin.release(&work).await,
                    _ => break,
                }
            }
            if let Err(error) = released {
                tracing::error!(%error, "resource was not released");
                self.done[number].warnings.push(cut(format!("not released: {error}"), 500));
            }
        }
        self.done.iter_mut().for_each(|done| done.warnings.truncate(16));
    }
}

/// Whether a failed call may have done its work all the same.
fn is_ambiguous(error: &PluginError) -> bool {
    matches!(error.failure.reason, Reason::Unreachable | Reason::Deadline | Reason::Bug | Reason::Running)
}

fn work(planned: &Planned, key: &str, timeout: Duration) -> WorkOrder {
    WorkOrder {
        reference: planned.reference.clone(),
        key: key.to_owned(),
        timeout,
        schema_version: planned.schema.clone(),
        options: planned.options.clone(),
    }
}

/// At most `bytes` of a text, cut between characters.
pub(crate) fn cut(mut text: String, bytes: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes));
    text
}

/// Data of one resource on their way to the sink.
struct Incoming {
    sink: Arc<dyn DataSink>,
    number: usize,
    writer: Option<Box<dyn Write + Send>>,
}

impl Incoming {
    fn take(&mut self, piece: &[u8]) -> Result<(), Failure> {
        let failed = |error: std::io::Error| Failure::new(Reason::Failed, format!("keep its data: {error}"));
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => self.writer.insert(self.sink.open(self.number).map_err(failed)?),
        };
        writer.write_all(piece).map_err(failed)
    }

    /// The outcome, if data and artefact agree.
    fn close(
        mut self,
        outcome: coffer_plugin_sdk::Outcome,
        plugin: &str,
    ) -> Result<coffer_plugin_sdk::Outcome, PluginError> {
        let has_data = outcome.artefact.as_ref().is_some_and(|artefact| artefact.has_data);
        let problem = match (has_data, &mut self.writer) {
            (false, Some(_)) => Some("data came, and the artefact says that it has none".to_owned()),
            (true, None) => self.take(&[]).err().map(|failure| failure.message),
            (true, Some(writer)) => writer.flush().err().map(|error| format!("keep its data: {error}")),
            (false, None) => None,
        };
        let failed = |detail| PluginError {
            plugin: plugin.to_owned(),
            call: "protect".to_owned(),
            failure: Failure::new(Reason::Failed, detail),
        };
        problem.map_or(Ok(outcome), |detail| Err(failed(detail)))
    }
}
