//! Looks after a plan: begins its runs, writes its status.

use std::sync::Arc;
use std::time::Duration;

use coffer_api::{Backup, BackupSpec, BackupType, ContinuityPlan, ContinuityPlanStatus, label};
use jiff::Timestamp;
use kube::api::PostParams;
use kube::runtime::controller::Action;
use kube::runtime::reflector::Store;
use kube::{Api, ResourceExt};

use super::decide::{Begin, Decision, Memory, Seen, decide};
use super::summary;
use crate::FIELD_MANAGER;
use crate::context::{Context, rfc3339};
use crate::errors::ReconcileError;
use crate::schedule::{ScheduleError, Slots};
use crate::status::{State, set, set_state, write};
use crate::tenants;

/// What looking after plans needs.
pub struct PlanContext {
    /// What all reconcilers need.
    pub shared: Arc<Context>,
    /// All backups, as they were seen last.
    pub backups: Store<Backup>,
}

/// Looks after one plan.
///
/// # Errors
/// The API did not do what was asked.
pub async fn reconcile(
    plan: Arc<ContinuityPlan>,
    context: Arc<PlanContext>,
) -> Result<Action, ReconcileError> {
    let shared = &context.shared;
    let namespace = plan.namespace().unwrap_or_default();
    let api: Api<ContinuityPlan> = Api::namespaced(shared.client.clone(), &namespace);
    // What was seen may be older than what this wrote last.
    let Some(plan) = api.get_opt(&plan.name_any()).await? else { return Ok(Action::await_change()) };
    if plan.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let all = context.backups.state();
    let of_plan: Vec<&Backup> = all.iter().map(AsRef::as_ref).filter(|backup| is_of(backup, &plan)).collect();
    let slots = slots(&plan);
    let now = shared.clock.instant();
    let seen = Seen {
        name: &plan.name_any(),
        spec: &plan.spec,
        slots: slots.as_ref().ok().and_then(Option::as_ref),
        is_running: of_plan.iter().any(|backup| is_under_way(backup)),
        now,
    };
    let before = plan.status.clone().unwrap_or_default();
    let ready = readiness(shared, &plan, &namespace, slots.as_ref().err()).await;
    let decision = decide(&seen, &memory(&before));
    if let Some(begin) = decision.begin.as_ref() {
        create(shared, &plan, &namespace, begin).await?;
    }
    let status = next_status(shared, &plan, &decision, &of_plan, &ready, now);
    let wake_after = wake_after(&decision, &status, &plan, now);
    if status != before {
        write(&api, &plan.name_any(), &status).await?;
    }
    Ok(Action::requeue(wake_after))
}

fn is_of(backup: &Backup, plan: &ContinuityPlan) -> bool {
    if backup.namespace() != plan.namespace() {
        return false;
    }
    let name = plan.name_any();
    let local = || {
        let labels = backup.labels();
        labels.get(label::ORIGIN).map(String::as_str) == Some("Local")
            && labels.get(label::PLAN) == Some(&name)
    };
    backup.spec.plan.as_ref() == Some(&name) || local()
}

fn is_under_way(backup: &Backup) -> bool {
    backup.spec.plan.is_some() && !backup.status.as_ref().is_some_and(|status| status.phase.has_ended())
}

fn slots(plan: &ContinuityPlan) -> Result<Option<Slots>, ScheduleError> {
    let seed = plan.uid().unwrap_or_default();
    plan.spec.schedule.as_ref().map(|schedule| Slots::parse(schedule, &seed)).transpose()
}

fn memory(status: &ContinuityPlanStatus) -> Memory {
    let time = |text: &Option<String>| text.as_ref().and_then(|text| text.parse().ok());
    Memory {
        active_since: time(&status.active_since),
        last_slot: time(&status.last_slot),
        missed_slots: status.missed_slots,
        last_trigger: status.last_trigger.clone(),
        served_triggers: status.served_triggers,
    }
}

/// Whether the plan could make points, as far as that can be told without making one.
async fn readiness(
    context: &Context,
    plan: &ContinuityPlan,
    namespace: &str,
    schedule: Option<&ScheduleError>,
) -> State {
    let stalled = |reason, message: String| State::Stalled { reason, message };
    if let Some(error) = schedule {
        return stalled("InvalidSchedule", error.to_string());
    }
    let teams = match tenants::teams(&context.client).await {
        Ok(teams) => teams,
        Err(error) => return State::InProgress { reason: "ApiUnavailable", message: format!("{error:#}") },
    };
    if let Err(error) = tenants::tenant(&teams, namespace) {
        return stalled("NoTeam", format!("{error:#}"));
    }
    if let Err(error) = tenants::location(&context.client, &plan.spec.location).await {
        return stalled("NoLocation", format!("{error:#}"));
    }
    State::Ready { reason: "Ready", message: "points are made as planned".into() }
}

/// Makes the run's object. One of this name may be there: a controller before this one made it and was killed.
async fn create(
    context: &Context,
    plan: &ContinuityPlan,
    namespace: &str,
    begin: &Begin,
) -> Result<(), ReconcileError> {
    let spec = BackupSpec {
        plan: Some(plan.name_any()),
        kind: BackupType::Auto,
        slot: begin.slot.map(rfc3339),
        discovered: None,
    };
    let mut backup = Backup::new(&begin.name, spec);
    backup.labels_mut().extend([
        (label::PLAN.to_owned(), plan.name_any()),
        (label::CLUSTER.to_owned(), context.cluster.to_string()),
        (label::ORIGIN.to_owned(), "Local".to_owned()),
    ]);
    let api: Api<Backup> = Api::namespaced(context.client.clone(), namespace);
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
    match api.create(&parameters, &backup).await {
        Ok(_) => {
            tracing::info!(namespace, plan = plan.name_any(), backup = begin.name, "run begins");
            Ok(())
        }
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn next_status(
    context: &Context,
    plan: &ContinuityPlan,
    decision: &Decision,
    backups: &[&Backup],
    ready: &State,
    now: Timestamp,
) -> ContinuityPlanStatus {
    let mut status = plan.status.clone().unwrap_or_default();
    let generation = plan.metadata.generation;
    let now_text = rfc3339(now);
    status.observed_generation = generation;
    status.active_since = decision.memory.active_since.map(rfc3339);
    status.last_slot = decision.memory.last_slot.map(rfc3339);
    status.missed_slots = decision.memory.missed_slots;
    status.last_trigger.clone_from(&decision.memory.last_trigger);
    status.served_triggers = decision.memory.served_triggers;
    status.next_run_time = decision.next_run.map(rfc3339);
    summary::fill(&mut status, backups);
    let namespace = plan.namespace().unwrap_or_default();
    if let Some(note) = context.notes.read(&namespace, &plan.name_any()) {
        status.unprotected = note.unprotected;
        let blocked = note.retention_blocked;
        let reason = if blocked.is_some() { "TooManyAtOnce" } else { "Applied" };
        let message = blocked.clone().unwrap_or_default();
        set(
            &mut status.conditions,
            "RetentionBlocked",
            blocked.is_some(),
            (reason, &message),
            generation,
            &now_text,
        );
    }
    set_state(&mut status.conditions, ready, generation, &now_text);
    if let Some(objectives) = &plan.spec.objectives {
        let late_at = summary::late_at(&status, Some(objectives.recovery_point_seconds));
        let (holds, reason, message) = match late_at {
            None => (false, "NoPoint", "there is no complete point yet".to_owned()),
            Some(late_at) if late_at <= now => {
                let message =
                    format!("the newest complete point is older than promised since {}", rfc3339(late_at));
                (false, "RecoveryPointExceeded", message)
            }
            Some(_) => (true, "Met", String::new()),
        };
        set(&mut status.conditions, "Compliant", holds, (reason, &message), generation, &now_text);
    }
    status
}

/// As decided, or when the plan will be late.
fn wake_after(
    decision: &Decision,
    status: &ContinuityPlanStatus,
    plan: &ContinuityPlan,
    now: Timestamp,
) -> Duration {
    let promised = plan.spec.objectives.as_ref().map(|objectives| objectives.recovery_point_seconds);
    let late_at = summary::late_at(status, promised).filter(|late_at| *late_at > now);
    let until = late_at.and_then(|late_at| Duration::try_from(late_at.duration_since(now)).ok());
    until.map_or(decision.wake_after, |until| until.min(decision.wake_after))
}
