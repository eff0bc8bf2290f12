//! Looking after a team: what is missing is said, what is there is found.

use std::sync::Arc;

use coffer_api::Team;
use coffer_controller::context::Context;
use coffer_controller::team::reconcile;
use coffer_format::{Id, KeyFile, RepositoryId};
use k8s_openapi::ByteString;
use serde_json::{Value, json};

use crate::fake_api::FakeApi;
use crate::world::context;

const TEAMS: &str = "/apis/coffer.dev/v1alpha1/teams";
const SECRETS: &str = "/api/v1/namespaces/coffer-system/secrets";

fn put_team(api: &FakeApi, name: &str) {
    let spec = json!({ "namespaces": ["shop"], "keys": { "writer": { "name": "shop-writer" } } });
    let team = json!({
        "apiVersion": "coffer.dev/v1alpha1", "kind": "Team", "metadata": { "name": name }, "spec": spec,
    });
    api.put(TEAMS, team);
}

fn put_key(api: &FakeApi, text: &str) {
    let key = ByteString(text.as_bytes().to_vec());
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "shop-writer" }, "data": { "key": key },
    });
    api.put(SECRETS, secret);
}

fn key() -> String {
    let mut next = 0_u8;
    let mut entropy = |bytes: &mut [u8]| {
        for byte in bytes {
            next = next.wrapping_add(1);
            *byte = next;
        }
    };
    let repository = RepositoryId::from_bytes([7; 16]);
    let team = KeyFile::generate_team(repository, "shop".parse().unwrap(), &mut entropy);
    let writer = team.writer_key(Id::from_parts(2, [8; 10]), &mut entropy).unwrap();
    writer.encode().to_string()
}

async fn look(api: &FakeApi, context: &Arc<Context>, name: &str) -> Value {
    let team: Team = serde_json::from_value(api.object(&format!("{TEAMS}/{name}")).unwrap()).unwrap();
    reconcile(Arc::new(team), context.clone()).await.unwrap();
    let team = api.object(&format!("{TEAMS}/{name}")).unwrap();
    let conditions = team["status"]["conditions"].as_array().unwrap().clone();
    conditions.into_iter().find(|condition| condition["type"] == "Ready").unwrap()
}

#[tokio::test]
async fn it_is_ready_once_its_key_is_there() {
    let api = FakeApi::new();
    let context = context(&api);
    put_team(&api, "shop");
    let ready = look(&api, &context, "shop").await;
    assert_eq!(ready["status"], "False");
    assert!(ready["message"].as_str().unwrap().contains("coffer-system/shop-writer"), "{ready}");
    put_key(&api, &key());
    assert_eq!(look(&api, &context, "shop").await["status"], "True");
    let writes = api.writes().len();
    look(&api, &context, "shop").await;
    assert_eq!(api.writes().len(), writes, "a status was written that did not change");
}

#[tokio::test]
async fn rubbish_for_a_key_is_told() {
    let api = FakeApi::new();
    put_team(&api, "shop");
    put_key(&api, "rubbish");
    let ready = look(&api, &context(&api), "shop").await;
    assert!(ready["message"].as_str().unwrap().contains("is no key file"), "{ready}");
}

#[tokio::test]
async fn a_namespace_of_two_teams_makes_both_wait() {
    let api = FakeApi::new();
    let context = context(&api);
    put_team(&api, "shop");
    put_team(&api, "bank");
    put_key(&api, &key());
    for name in ["shop", "bank"] {
        let ready = look(&api, &context, name).await;
        assert_eq!(ready["status"], "False", "{name}");
        assert!(ready["message"].as_str().unwrap().contains("several Teams"), "{ready}");
    }
}
