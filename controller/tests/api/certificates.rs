//! Certificates in Secrets: made once, whole after a kill at any write, an authority that is followed stays trusted.

use coffer_controller::certificates::ensure;
use k8s_openapi::ByteString;
use serde_json::{Value, json};

use crate::fake_api::FakeApi;
use crate::world::settings;

const SECRETS: &str = "/api/v1/namespaces/coffer-system/secrets";

fn text(api: &FakeApi, secret: &str, key: &str) -> String {
    let object = api.object(&format!("{SECRETS}/{secret}")).expect("the Secret is there");
    let bytes: ByteString = serde_json::from_value(object["data"][key].clone()).expect("base64");
    String::from_utf8(bytes.0).expect("PEM")
}

fn all(api: &FakeApi) -> Vec<Value> {
    api.all(SECRETS).into_iter().map(|secret| secret["data"].clone()).collect()
}

fn authorities(pem: &str) -> usize {
    pem.matches("BEGIN CERTIFICATE").count()
}

#[tokio::test]
async fn they_are_made_once() {
    let api = FakeApi::new();
    ensure(&api.client(), &settings()).await.unwrap();
    assert_eq!(api.writes().len(), 3);
    assert_eq!(text(&api, "coffer-agent-tls", "ca.crt"), text(&api, "coffer-ca", "ca.crt"));
    assert_eq!(text(&api, "coffer-controller-tls", "ca.crt"), text(&api, "coffer-ca", "ca.crt"));
    assert!(api.object(&format!("{SECRETS}/coffer-agent-tls")).unwrap()["data"].get("ca.key").is_none());
    let made = all(&api);
    ensure(&api.client(), &settings()).await.unwrap();
    assert_eq!(api.writes().len(), 3, "what is good was made again");
    assert_eq!(all(&api), made);
}

#[tokio::test]
async fn a_kill_between_any_two_writes_leaves_what_the_next_run_completes() {
    for count in 0..3 {
        let api = FakeApi::new();
        api.allow_writes(count);
        ensure(&api.client(), &settings()).await.unwrap_err();
        assert_eq!(all(&api).len(), count);
        api.allow_all_writes();
        ensure(&api.client(), &settings()).await.unwrap();
        let writes = api.writes().len();
        assert_eq!(writes, count + 1 + (3 - count), "killed after {count} writes");
        ensure(&api.client(), &settings()).await.unwrap();
        assert_eq!(api.writes().len(), writes, "killed after {count} writes: not whole");
    }
}

#[tokio::test]
async fn what_was_lost_is_made_again_and_nothing_else() {
    let api = FakeApi::new();
    ensure(&api.client(), &settings()).await.unwrap();
    let authority = text(&api, "coffer-ca", "ca.crt");
    let controller = text(&api, "coffer-controller-tls", "tls.crt");
    api.remove(&format!("{SECRETS}/coffer-agent-tls"));
    ensure(&api.client(), &settings()).await.unwrap();
    assert_eq!(text(&api, "coffer-agent-tls", "ca.crt"), authority);
    assert_eq!(text(&api, "coffer-controller-tls", "tls.crt"), controller);
}

#[tokio::test]
async fn a_new_authority_stands_before_the_old_one_which_stays_trusted() {
    let api = FakeApi::new();
    ensure(&api.client(), &settings()).await.unwrap();
    let old = text(&api, "coffer-ca", "ca.crt");
    let old_leaf = text(&api, "coffer-agent-tls", "tls.crt");
    // Without its key it signs nothing any more.
    let mut authority = api.object(&format!("{SECRETS}/coffer-ca")).unwrap();
    authority["data"].as_object_mut().unwrap().remove("ca.key");
    api.replace(&format!("{SECRETS}/coffer-ca"), authority);
    ensure(&api.client(), &settings()).await.unwrap();
    for secret in ["coffer-ca", "coffer-agent-tls", "coffer-controller-tls"] {
        let trusted = text(&api, secret, "ca.crt");
        assert_eq!(authorities(&trusted), 2, "{secret}");
        assert!(trusted.ends_with(&old) && !trusted.starts_with(&old), "{secret}");
    }
    assert_ne!(text(&api, "coffer-agent-tls", "tls.crt"), old_leaf);
    let writes = api.writes().len();
    ensure(&api.client(), &settings()).await.unwrap();
    assert_eq!(api.writes().len(), writes);
}

#[tokio::test]
async fn rubbish_in_a_secret_is_replaced() {
    let api = FakeApi::new();
    let rubbish = json!({ "tls.crt": "cnViYmlzaA==", "tls.key": "cnViYmlzaA==" });
    api.put(
        SECRETS,
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "coffer-agent-tls" }, "data": rubbish }),
    );
    ensure(&api.client(), &settings()).await.unwrap();
    assert_eq!(authorities(&text(&api, "coffer-agent-tls", "tls.crt")), 1);
}
