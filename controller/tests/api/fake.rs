//! The API in memory itself: that it does what the real one does, where tests rely on it.

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::fake_api::{Asked, FakeApi};

const MAPS: &str = "/api/v1/namespaces/shop/configmaps";

fn map(name: &str, data: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "labels": { "app": name } }, "data": data })
}

fn code(error: kube::Error) -> u16 {
    match error {
        kube::Error::Api(status) => status.code,
        other => panic!("no answer of the API: {other}"),
    }
}

async fn apply(api: &Api<ConfigMap>, manager: &str, is_forced: bool, data: Value) -> kube::Result<ConfigMap> {
    let parameters = PatchParams { force: is_forced, ..PatchParams::apply(manager) };
    let body =
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "one" }, "data": data });
    api.patch("one", &parameters, &Patch::Apply(body)).await
}

fn data(map: &ConfigMap) -> Value {
    json!(map.data.clone().unwrap_or_default())
}

#[tokio::test]
async fn apply_owns_fields_gives_them_up_and_refuses_those_of_others() {
    let api: Api<ConfigMap> = Api::namespaced(FakeApi::new().client(), "shop");
    let made = apply(&api, "a", false, json!({ "x": "1", "y": "1" })).await.unwrap();
    let same = apply(&api, "a", false, json!({ "x": "1", "y": "1" })).await.unwrap();
    assert_eq!(same.resource_version(), made.resource_version(), "nothing changed");
    let both = apply(&api, "b", false, json!({ "y": "1", "z": "2" })).await.unwrap();
    assert_eq!(data(&both), json!({ "x": "1", "y": "1", "z": "2" }));
    let less = apply(&api, "a", false, json!({})).await.unwrap();
    assert_eq!(data(&less), json!({ "y": "1", "z": "2" }), "what another one owns stays");
    assert_eq!(code(apply(&api, "a", false, json!({ "z": "3" })).await.unwrap_err()), 409);
    let forced = apply(&api, "a", true, json!({ "z": "3" })).await.unwrap();
    assert_eq!(data(&forced), json!({ "y": "1", "z": "3" }));
}

#[tokio::test]
async fn the_slower_of_two_writers_gets_a_conflict_and_a_name_is_made_once() {
    let fake = FakeApi::new();
    let api: Api<ConfigMap> = Api::namespaced(fake.client(), "shop");
    fake.put(MAPS, map("one", json!({ "x": "1" })));
    let seen = api.get("one").await.unwrap();
    api.replace("one", &PostParams::default(), &ConfigMap { data: None, ..seen.clone() }).await.unwrap();
    let late = api.replace("one", &PostParams::default(), &seen).await.unwrap_err();
    assert_eq!(code(late), 409);
    let again = ConfigMap {
        metadata: kube::api::ObjectMeta { name: Some("one".into()), ..Default::default() },
        ..Default::default()
    };
    assert_eq!(code(api.create(&PostParams::default(), &again).await.unwrap_err()), 409);
    assert_eq!(code(api.get("two").await.unwrap_err()), 404);
}

#[tokio::test]
async fn lists_come_in_pages_by_selector_and_as_metadata_only() {
    let fake = FakeApi::new();
    for number in 0..5 {
        fake.put(MAPS, map(&format!("map-{number}"), json!({ "x": "1" })));
    }
    fake.put("/api/v1/namespaces/other/configmaps", map("map-1", json!({})));
    let api: Api<ConfigMap> = Api::namespaced(fake.client(), "shop");
    let first = api.list(&ListParams::default().limit(3)).await.unwrap();
    let next = first.metadata.continue_.clone().expect("there are more");
    let rest = api.list(&ListParams::default().limit(3).continue_token(&next)).await.unwrap();
    assert_eq!((first.items.len(), rest.items.len(), rest.metadata.continue_), (3, 2, None));
    let check = async |selector: &str, count: usize| {
        let found = api.list_metadata(&ListParams::default().labels(selector)).await.unwrap();
        assert_eq!(found.items.len(), count, "{selector}");
    };
    check("app=map-1", 1).await;
    check("app in (map-1, map-2)", 2).await;
    check("app notin (map-1),app!=map-2", 3).await;
    check("!app", 0).await;
    check("app", 5).await;
    let all: Api<ConfigMap> = Api::all(fake.client());
    let named = all.list(&ListParams::default().fields("metadata.name=map-1")).await.unwrap();
    assert_eq!(named.items.len(), 2);
}

#[tokio::test]
async fn status_and_object_are_written_apart_and_generations_count_intent() {
    let fake = FakeApi::new();
    let api: Api<StatefulSet> = Api::namespaced(fake.client(), "shop");
    let path = "/apis/apps/v1/namespaces/shop/statefulsets";
    let set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "db" },
        "spec": { "replicas": 3, "serviceName": "db", "selector": {}, "template": {} },
        "status": { "replicas": 3 },
    });
    fake.put(path, set);
    let merge = |body: Value| Patch::Merge(body);
    let parameters = PatchParams::default();
    let both = json!({ "spec": { "serviceName": "new" }, "status": { "replicas": 9 } });
    let object = api.patch("db", &parameters, &merge(both.clone())).await.unwrap();
    assert_eq!((object.metadata.generation, object.status.unwrap().replicas), (Some(2), 3));
    let other = json!({ "spec": { "serviceName": "none" }, "status": { "replicas": 1 } });
    let object = api.patch_status("db", &parameters, &merge(other)).await.unwrap();
    assert_eq!((object.metadata.generation, object.status.unwrap().replicas), (Some(2), 1));
    assert_eq!(object.spec.unwrap().service_name.as_deref(), Some("new"));
    let scaled =
        api.patch_scale("db", &parameters, &merge(json!({ "spec": { "replicas": 0 } }))).await.unwrap();
    assert_eq!(scaled.spec.unwrap().replicas, Some(0));
    assert_eq!(fake.object(&format!("{path}/db")).unwrap()["spec"]["replicas"], json!(0));
}

#[tokio::test]
async fn finalizers_hold_what_is_deleted() {
    let fake = FakeApi::new();
    let api: Api<Pod> = Api::namespaced(fake.client(), "shop");
    let path = "/api/v1/namespaces/shop/pods";
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "one", "finalizers": ["test/held"] }, "spec": { "containers": [] } });
    fake.put(path, pod);
    api.delete("one", &DeleteParams::default()).await.unwrap();
    assert!(api.get("one").await.unwrap().metadata.deletion_timestamp.is_some());
    let released = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
    api.patch("one", &PatchParams::default(), &released).await.unwrap();
    assert!(api.get_opt("one").await.unwrap().is_none());
    assert_eq!(fake.all(path).len(), 0);
}

#[tokio::test]
async fn a_watch_tells_what_its_selector_sees() {
    let fake = FakeApi::new();
    fake.put(MAPS, map("one", json!({})));
    let api: Api<ConfigMap> = Api::namespaced(fake.client(), "shop");
    let config = watcher::Config::default().labels("app=one");
    let mut seen = watcher(api.clone(), config).touched_objects().boxed();
    assert_eq!(seen.try_next().await.unwrap().unwrap().name_any(), "one");
    fake.put(MAPS, map("two", json!({})));
    let relabelled = Patch::Merge(json!({ "metadata": { "labels": { "app": "one" } } }));
    api.patch("two", &PatchParams::default(), &relabelled).await.unwrap();
    assert_eq!(seen.try_next().await.unwrap().unwrap().name_any(), "two");
    fake.remove(&format!("{MAPS}/one"));
    assert_eq!(seen.try_next().await.unwrap().unwrap().name_any(), "one");
}

#[tokio::test]
async fn faults_strike_as_asked_and_everything_is_noted() {
    let fake = FakeApi::new();
    let api: Api<ConfigMap> = Api::namespaced(fake.client(), "shop");
    fake.put(MAPS, map("one", json!({})));
    fake.refuse("GET", "/configmaps/one", 403, 1);
    assert_eq!(code(api.get("one").await.unwrap_err()), 403);
    api.get("one").await.unwrap();
    fake.allow_writes(1);
    let touched = Patch::Merge(json!({ "data": { "x": "1" } }));
    api.patch("one", &PatchParams::default(), &touched).await.unwrap();
    api.delete("one", &DeleteParams::default()).await.unwrap_err();
    fake.allow_all_writes();
    api.delete("one", &DeleteParams::default()).await.unwrap();
    let asked = |method: &str| Asked { method: method.into(), path: format!("{MAPS}/one") };
    assert_eq!(fake.writes(), [asked("PATCH"), asked("DELETE"), asked("DELETE")]);
}
