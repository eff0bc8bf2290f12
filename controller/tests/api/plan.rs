//! Looking after a plan: a run is begun once, whatever fails between making it and remembering it.

use std::sync::Arc;

use coffer_api::{Backup, ContinuityPlan};
use coffer_controller::context::Context;
use coffer_controller::plan::{PlanContext, reconcile};
use kube::runtime::reflector::store;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};

use crate::fake_api::FakeApi;
use crate::world::context;

const PLANS: &str = "/apis/coffer.dev/v1alpha1/namespaces/shop/continuityplans";
const PLAN: &str = "/apis/coffer.dev/v1alpha1/namespaces/shop/continuityplans/hourly";
const BACKUPS: &str = "/apis/coffer.dev/v1alpha1/namespaces/shop/backups";

fn put_plan(api: &FakeApi, further: Value) {
    let mut spec = json!({ "location": "main", "select": { "claims": {} } });
    spec.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
    let plan = json!({
        "apiVersion": "coffer.dev/v1alpha1", "kind": "ContinuityPlan", "metadata": { "name": "hourly" }, "spec": spec,
    });
    api.put(PLANS, plan);
}

/// Looks after the plan once, with all backups seen.
async fn look(api: &FakeApi, context: &Arc<Context>) -> Result<(), String> {
    let plan: ContinuityPlan = serde_json::from_value(api.object(PLAN).unwrap()).unwrap();
    let (backups, mut writer) = store();
    for object in api.all(BACKUPS) {
        writer.apply_watcher_event(&Event::<Backup>::Apply(serde_json::from_value(object).unwrap()));
    }
    let context = Arc::new(PlanContext { shared: context.clone(), backups });
    reconcile(Arc::new(plan), context).await.map(drop).map_err(|error| error.to_string())
}

fn set(api: &FakeApi, change: impl FnOnce(&mut Value)) {
    let mut plan = api.object(PLAN).unwrap();
    change(&mut plan["spec"]);
    api.replace(PLAN, plan);
}

fn end_runs(api: &FakeApi) {
    for backup in api.all(BACKUPS) {
        let name = backup["metadata"]["name"].as_str().unwrap();
        api.set_status(&format!("{BACKUPS}/{name}"), json!({ "phase": "Completed" }));
    }
}

fn condition(api: &FakeApi, kind: &str) -> Value {
    let plan = api.object(PLAN).unwrap();
    let conditions = plan["status"]["conditions"].as_array().expect("conditions").clone();
    conditions.into_iter().find(|condition| condition["type"] == kind).expect("the condition is there")
}

#[tokio::test]
async fn a_trigger_begins_one_run_also_when_the_controller_is_killed_before_it_remembers() {
    let api = FakeApi::new();
    let context = context(&api);
    put_plan(&api, json!({ "trigger": "now" }));
    api.allow_writes(1);
    look(&api, &context).await.unwrap_err();
    assert_eq!(api.all(BACKUPS).len(), 1, "the run was made, the status was not written");
    api.allow_all_writes();
    look(&api, &context).await.unwrap();
    end_runs(&api);
    look(&api, &context).await.unwrap();
    look(&api, &context).await.unwrap();
    assert_eq!(api.all(BACKUPS).len(), 1);
    assert_eq!(api.object(PLAN).unwrap()["status"]["lastTrigger"], "now");
    set(&api, |spec| spec["trigger"] = json!("again"));
    look(&api, &context).await.unwrap();
    assert_eq!(api.all(BACKUPS).len(), 2);
}

#[tokio::test]
async fn a_schedule_begins_one_run_per_slot_and_none_when_it_is_applied() {
    let api = FakeApi::new();
    let context = context(&api);
    put_plan(&api, json!({ "schedule": { "cron": "0 * * * *" } }));
    look(&api, &context).await.unwrap();
    assert_eq!(api.all(BACKUPS).len(), 0, "a run on apply");
    for hour in 1..=5 {
        context.clock.set_offset_ms(hour * 3_600_000);
        look(&api, &context).await.unwrap();
        look(&api, &context).await.unwrap();
        end_runs(&api);
        assert_eq!(i64::try_from(api.all(BACKUPS).len()).unwrap(), hour, "after {hour} hours");
    }
}

#[tokio::test]
async fn what_is_missing_is_said_and_a_status_is_written_only_when_it_changes() {
    let api = FakeApi::new();
    let context = context(&api);
    put_plan(&api, json!({}));
    look(&api, &context).await.unwrap();
    let ready = condition(&api, "Ready");
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("False"), &json!("NoTeam")));
    assert_eq!(condition(&api, "Stalled")["status"], "True");
    assert_eq!(condition(&api, "Ready")["observedGeneration"], 1);
    let writes = api.writes().len();
    look(&api, &context).await.unwrap();
    assert_eq!(api.writes().len(), writes, "a status was written that did not change");
}
