//! Coordinates a point of volumes on several nodes: opens it or takes it up, lets agents back their volumes up, commits what came back.
//!
//! Which round follows which is decided in `rounds`; this acts. The point is read from and written to the repository here, never by agents.

use std::sync::Arc;
use std::time::Duration;

use coffer_engine::backup::{
    BackupReport, ChangeSource, OpenOutcome, OpenPoint, VolumesDone, VolumesRequest, back_up_volumes,
    commit_point, find_made, open_point,
};
use coffer_engine::catalog::Filter;
use coffer_engine::find_point;
use coffer_engine::{EngineError, Repository};
use coffer_format::Compression;
use coffer_proto::agent::v1;
use coffer_proto::agent::v1::{Operation, OperationState};
use coffer_store::RequestCounts;

use crate::agent::Agent;
use crate::agent_error::{AgentError, AgentErrorKind};
use crate::answers::{Answer, how, is_fenced, is_stale, result};
use crate::board::Board;
use crate::connect::Agents;
use crate::error::CoordinatorError;
use crate::parts::{counts, total, volumes_done};
use crate::point_order::{OwnVolumes, Part, PointMade, PointOrder};
use crate::point_reference;
use crate::progress::Progress;
use crate::rounds::{self, Begin, Ended, Found, GENERATIONS, Next, ROUNDS_MAX, operation_key};
use crate::watch::{Follower, Start, Stop, has_ended};

/// How often a point that stands is looked at until it is confirmed, and how long between: its three checks take seconds at most.
const CONFIRM_LOOKS: u32 = 50;
const CONFIRM_PAUSE: Duration = Duration::from_millis(200);

/// Makes the point. Blocks; not to be called on a thread of an async runtime.
///
/// # Errors
/// What kept it from being made. Volumes that failed beside others are in the report instead.
pub fn make_point(
    agents: &Agents,
    repository: &Repository,
    wanted: &PointOrder,
    progress: Arc<dyn Progress>,
) -> Result<PointMade, CoordinatorError> {
    let board = Arc::new(Board::new(progress, wanted.parts.len()));
    Coordinator { agents, repository, wanted, board }.run()
}

struct Coordinator<'a> {
    agents: &'a Agents,
    repository: &'a Repository,
    wanted: &'a PointOrder,
    board: Arc<Board>,
}

impl Begin<Box<OpenPoint>> {
    /// The generation, and the point that is taken up.
    fn parts(self) -> (u32, Option<OpenPoint>) {
        match self {
            Begin::Adopt { generation, reference } => (generation, Some(*reference)),
            Begin::Anew { generation } => (generation, None),
        }
    }
}

impl Coordinator<'_> {
    fn run(&self) -> Result<PointMade, CoordinatorError> {
        let mut adopted = None;
        let mut generation = 0;
        // A key that was just made is known to nobody.
        if self.wanted.point.idempotency_key.is_some() {
            if let Some(report) = self.made()? {
                return Ok(PointMade { report, requests: RequestCounts::default() });
            }
            (generation, adopted) = self.look_up()?.parts();
        }
        for left in (0..ROUNDS_MAX).rev() {
            let is_adopted = adopted.is_some();
            let point = match adopted.take() {
                Some(point) => point,
                None => match open_point(self.repository, &self.wanted.point)? {
                    OpenOutcome::New(point) => point,
                    OpenOutcome::Repeated(report) => {
                        return Ok(PointMade { report: *report, requests: RequestCounts::default() });
                    }
                },
            };
            let answers = self.round(&point, generation, left)?;
            let ended: Vec<Ended> = answers.iter().map(|answer| how(answer, &point)).collect();
            match rounds::after(&ended, generation, left) {
                Next::Another { generation: next } => {
                    tracing::warn!(point = %point.reference.point, "a part of the point was cut off, opening another point");
                    generation = next;
                }
                Next::TakeUp => {
                    tracing::info!("another call with the same key has begun a point, taking it up");
                    if let Some(report) = self.made_soon()? {
                        return Ok(PointMade { report, requests: RequestCounts::default() });
                    }
                    (generation, adopted) = self.look_up()?.parts();
                }
                Next::Fail => return Err(self.first_error(answers)),
                Next::Commit => match self.commit(&point, answers) {
                    Err(CoordinatorError::Engine(error)) if is_stale(&error) => {
                        // Another call with the same key may have been first.
                        if let Some(report) = self.made_soon()? {
                            return Ok(PointMade { report, requests: RequestCounts::default() });
                        }
                        let next = rounds::following(generation).filter(|_| is_adopted && left > 0);
                        // What an earlier call left cannot be committed any more; the work is done anew.
                        let Some(next) = next else { return Err(error.into()) };
                        tracing::warn!(%error, "an earlier run's parts cannot be committed, opening another point");
                        generation = next;
                    }
                    done => return done,
                },
            }
        }
        Err(EngineError::Bug("the last round decides".into()).into())
    }

    /// The point that an earlier call with the caller's key made.
    fn made(&self) -> Result<Option<BackupReport>, CoordinatorError> {
        match self.wanted.point.idempotency_key {
            Some(_) => Ok(find_made(self.repository, &self.wanted.point)?),
            None => Ok(None),
        }
    }

    /// As `made`; waits a while where a point of the key stands that is not confirmed: its coordinator may be about to.
    fn made_soon(&self) -> Result<Option<BackupReport>, CoordinatorError> {
        for _ in 0..CONFIRM_LOOKS {
            if let Some(report) = self.made()? {
                return Ok(Some(report));
            }
            if !self.is_being_confirmed()? {
                return Ok(None);
            }
            self.agents.check_stop()?;
            std::thread::sleep(CONFIRM_PAUSE);
        }
        Ok(None)
    }

    /// Whether agents have parts of a point of this key that has a manifest.
    fn is_being_confirmed(&self) -> Result<bool, CoordinatorError> {
        for generation in 0..GENERATIONS {
            let key = operation_key(&self.wanted.key, generation);
            for part in &self.wanted.parts {
                let reference = self.find(part, &key)?.and_then(|operation| operation.point);
                let point = reference
                    .and_then(|reference| point_reference::decode(&reference, &self.wanted.point.plan));
                if point.is_some_and(|point| self.has_manifest(&point).unwrap_or(false)) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// What agents know of the key. What runs and cannot become a part of a point any more is stopped.
    fn look_up(&self) -> Result<Begin<Box<OpenPoint>>, CoordinatorError> {
        let mut all = Vec::new();
        let mut running = Vec::new();
        for generation in 0..GENERATIONS {
            let key = operation_key(&self.wanted.key, generation);
            let mut found = Vec::new();
            for part in &self.wanted.parts {
                let operation = self.find(part, &key)?;
                found.push(operation.as_ref().map(|operation| self.standing(operation)).transpose()?);
                running.extend(
                    operation.filter(|operation| !has_ended(operation)).map(|found| (part.agent, found.id)),
                );
            }
            all.push(found);
        }
        let used_up = || CoordinatorError::KeyUsedUp { key: self.wanted.key.clone(), points: GENERATIONS };
        let begin = rounds::begin(&all).ok_or_else(used_up)?;
        if matches!(begin, Begin::Anew { .. }) {
            running.into_iter().try_for_each(|(agent, id)| self.cancel(agent, id))?;
        }
        Ok(begin)
    }

    fn cancel(&self, agent: usize, id: String) -> Result<(), CoordinatorError> {
        let Some(agent) = self.agents.all.get(agent) else { return Ok(()) };
        let cancelled = self.agents.wait(async {
            let mut client = agent.operations()?;
            agent.answer(client.cancel(v1::CancelOperationRequest { id })).await
        })?;
        if let Err(error) = cancelled {
            tracing::warn!(node = agent.node, %error, "an operation that is of no use any more goes on");
        }
        Ok(())
    }

    fn find(&self, part: &Part, key: &str) -> Result<Option<Operation>, CoordinatorError> {
        let Some(agent) = self.agents.all.get(part.agent) else { return Ok(None) };
        Ok(self.agents.wait(agent.by_key(key))?.unwrap_or_else(|error| {
            // It fails again when its part begins, and then only its part.
            tracing::warn!(node = agent.node, %error, "agent cannot be asked about the key");
            None
        }))
    }

    fn standing(&self, operation: &Operation) -> Result<Found<Box<OpenPoint>>, CoordinatorError> {
        Ok(match operation.state() {
            OperationState::Queued | OperationState::Running | OperationState::Succeeded => {
                let point = operation.point.as_ref();
                match point.and_then(|point| point_reference::decode(point, &self.wanted.point.plan)) {
                    Some(point) if !self.has_manifest(&point)? => Found::Live(Box::new(point)),
                    // Another coordinator put a manifest there and did not get through its checks: no point, and none can be made of it.
                    Some(_) => Found::Lost,
                    None => {
                        return Err(CoordinatorError::KeyOfAnotherPlan {
                            key: self.wanted.key.clone(),
                            plan: Box::new(self.wanted.point.plan.clone()),
                        });
                    }
                }
            }
            OperationState::Failed if !is_fenced(operation) => Found::Failed,
            _ => Found::Lost,
        })
    }

    fn has_manifest(&self, point: &OpenPoint) -> Result<bool, CoordinatorError> {
        match find_point(self.repository, &Filter::plan(&point.reference.plan), point.reference.point) {
            Ok(_) => Ok(true),
            Err(EngineError::NotFound(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Lets all agents work on one point, and waits for all of them.
    fn round(&self, point: &OpenPoint, generation: u32, left: u32) -> Result<Vec<Answer>, CoordinatorError> {
        let stop = Stop::new(self.agents.stop.clone());
        let mut tasks = Vec::new();
        for (number, part) in self.wanted.parts.iter().enumerate() {
            let Some(agent) = self.agents.all.get(part.agent) else { continue };
            let start = Start::Backup(self.request(part, point, generation));
            let follower = self.follower(agent.clone(), number, &stop);
            let (stop, point) = (stop.clone(), point.clone());
            tasks.push(self.agents.runtime.spawn(async move {
                let answer = follower.run(&start).await;
                if rounds::ends_the_round(how(&answer, &point), left) {
                    stop.ask();
                }
                answer
            }));
        }
        let answers = self.agents.runtime.block_on(async {
            let mut answers = Vec::new();
            for task in tasks {
                answers.push(task.await.map_err(|error| EngineError::Bug(error.to_string()))?);
            }
            Ok::<_, CoordinatorError>(answers)
        })?;
        self.agents.check_stop()?;
        Ok(answers)
    }

    fn follower(&self, agent: Agent, part: usize, stop: &Stop) -> Follower {
        let (board, patience) = (self.board.clone(), self.agents.patience);
        Follower { agent, part, board, stop: stop.clone(), patience }
    }

    fn request(&self, part: &Part, point: &OpenPoint, generation: u32) -> v1::StartBackupRequest {
        v1::StartBackupRequest {
            idempotency_key: operation_key(&self.wanted.key, generation),
            repository: Some(self.wanted.repository.clone()),
            point: Some(point_reference::encode(point)),
            volumes: part.volumes.clone(),
            compression: self.wanted.compression.clone(),
            read_engine: self.wanted.read_engine.clone(),
            timeout: None,
        }
    }

    fn node(&self, part: &Part) -> &str {
        self.agents.all.get(part.agent).map_or("", |agent| agent.node.as_str())
    }

    fn first_error(&self, answers: Vec<Answer>) -> CoordinatorError {
        let results =
            self.wanted.parts.iter().zip(answers).map(|(part, answer)| result(self.node(part), answer));
        let mut errors: Vec<AgentError> = results.filter_map(Result::err).collect();
        // What ended by itself tells more than what was stopped for its sake.
        errors.sort_by_key(|error| error.kind == AgentErrorKind::Cancelled);
        match errors.into_iter().next() {
            Some(error) => error.into(),
            None => EngineError::Bug("no part of the point ended".into()).into(),
        }
    }

    fn commit(&self, point: &OpenPoint, answers: Vec<Answer>) -> Result<PointMade, CoordinatorError> {
        let mut done = Vec::new();
        let mut requests = RequestCounts::default();
        for (part, answer) in self.wanted.parts.iter().zip(answers) {
            let node = self.node(part);
            match result(node, answer) {
                Ok(result) => {
                    requests = total(requests, counts(result.requests.as_ref()));
                    done.push(volumes_done(node, &result, &part.names)?);
                }
                Err(error) => {
                    tracing::error!(node, error = error.message, "an agent's volumes failed");
                    done.push(VolumesDone::failed(
                        self.repository,
                        &point.reference,
                        &part.names,
                        &error.to_string(),
                    )?);
                }
            }
        }
        if let Some(own) = &self.wanted.own {
            done.push(self.back_up(own, point)?);
        }
        let report = commit_point(self.repository, &self.wanted.point, point, done)?;
        Ok(PointMade { report, requests })
    }
}

impl Coordinator<'_> {
    fn back_up(&self, own: &OwnVolumes, point: &OpenPoint) -> Result<VolumesDone, CoordinatorError> {
        let request = VolumesRequest {
            reference: &point.reference,
            volumes: &own.volumes,
            changes: ChangeSource::Hash,
            lists: None,
            block_size: None,
            compression: Compression::Lz4,
            progress: &Unheard,
        };
        Ok(back_up_volumes(self.repository, &own.resources, &request)?)
    }
}

/// Nobody hears of what the coordinator reads itself: it is small.
struct Unheard;

impl coffer_engine::backup::Progress for Unheard {
    fn volume(&self, _: &str, _: u64) {}
    fn advance(&self, _: u64, _: u64) {}
}
