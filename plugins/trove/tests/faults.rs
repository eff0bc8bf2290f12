//! Every fault at every call: work is done once, however often it has to be asked for, and every failure has its reason.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "cloud/server.rs"]
mod server;

use std::path::PathBuf;
use std::time::Duration;

use coffer_plugin_sdk::check::{Trial, check};
use coffer_plugin_sdk::{PluginArtefact, PluginClient, PluginError, Reason, WorkOrder, serve_until};
use server::{Call, Fault, INSTANCE, PROJECT, Server};
use tokio::sync::{mpsc, oneshot};

struct World {
    server: Server,
    client: PluginClient,
    socket: PathBuf,
    _directory: tempfile::TempDir,
    _stop: oneshot::Sender<()>,
}

async fn world() -> World {
    let server = Server::start().await;
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("trove.sock");
    let address = server.address.clone();
    let plugin = coffer_plugin_trove::plugin(move |name| {
        let value = match name {
            "OS_AUTH_URL" => address.as_str(),
            "OS_APPLICATION_CREDENTIAL_ID" => "id",
            "OS_APPLICATION_CREDENTIAL_SECRET" => "secret",
            "TROVE_POLL_MILLISECONDS" => "50",
            _ => return None,
        };
        Some(value.to_owned())
    });
    let (stop, stopped) = oneshot::channel::<()>();
    let (plugin, listening) = (plugin.unwrap(), socket.clone());
    tokio::spawn(async move {
        serve_until(plugin, &listening, async { drop(stopped.await) }).await.unwrap();
    });
    while !socket.exists() {
        tokio::task::yield_now().await;
    }
    let client = PluginClient::connect(&socket).await.unwrap();
    World { server, client, socket, _directory: directory, _stop: stop }
}

fn order(options: &str) -> WorkOrder {
    WorkOrder {
        reference: format!("OS::Trove::Instance/{INSTANCE}").parse().unwrap(),
        key: "01k9z8y7x6w5v4u3t2s1r0q9p8-0".into(),
        timeout: Duration::from_secs(60),
        schema_version: "1".into(),
        options: options.into(),
    }
}

const PROTECT: &str = r#"{"backup_name":"nightly","description":"by the tests"}"#;

impl World {
    async fn protect(&self, base: Option<&PluginArtefact>, key: &str) -> Result<PluginArtefact, PluginError> {
        let order = WorkOrder { key: key.into(), ..order(PROTECT) };
        let outcome = self.client.protect(&order, base, &mut |_| Ok(())).await?;
        Ok(outcome.artefact.unwrap())
    }

    async fn restore(&self, artefact: &PluginArtefact, options: &str) -> Result<String, PluginError> {
        let (_sender, data) = mpsc::channel(1);
        drop(_sender);
        let outcome = self.client.restore(&order(options), artefact, PROTECT, data).await?;
        Ok(outcome.restored.unwrap().name)
    }

    fn made(&self, kind: &str) -> usize {
        self.server.cloud.lock().unwrap().made.iter().filter(|made| made.starts_with(kind)).count()
    }
}

/// Asks again until it is done, as a caller would; failures on the way must be such that asking again makes sense.
async fn until_done<T>(what: &str, mut act: impl AsyncFnMut() -> Result<T, PluginError>) -> T {
    for _ in 0..4 {
        match act().await {
            Ok(done) => return done,
            Err(error) => {
                let passes = [Reason::Unreachable, Reason::Quota, Reason::Denied];
                assert!(
                    passes.contains(&error.failure.reason),
                    "{what}: {:?}: {error}",
                    error.failure.reason
                );
            }
        }
    }
    panic!("{what}: not done after four calls");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_at_every_call_leaves_one_backup_and_one_instance() {
    let mut tried = 0;
    for call in Call::ALL {
        for fault in Fault::ALL {
            let what = format!("{fault:?} at {call:?}");
            let world = world().await;
            world.server.cloud.lock().unwrap().fault = Some((call, fault));
            let artefact = until_done(&what, async || world.protect(None, "k-0").await).await;
            assert_eq!(world.made("backup"), 1, "{what}");
            let name = until_done(&what, async || world.restore(&artefact, "{}").await).await;
            assert_eq!((world.made("instance"), name.starts_with("nightly-")), (1, true), "{what}");
            until_done(&what, async || world.client.delete(&order("{}"), Some(&artefact)).await).await;
            let cloud = world.server.cloud.lock().unwrap();
            assert!(cloud.backups.is_empty(), "{what}");
            assert!(cloud.fault.is_none(), "{what}: the fault was never met");
            tried += 1;
        }
    }
    assert_eq!(tried, 117);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_conformance_suite_is_kept() {
    let world = world().await;
    let trial = Trial {
        reference: format!("OS::Trove::Instance/{INSTANCE}").parse().unwrap(),
        protect_options: PROTECT.into(),
        restore_options: Some(r#"{"restore_name":"again"}"#.into()),
        key: "trial".into(),
        timeout: Duration::from_secs(60),
    };
    let checked = check(&world.socket, Some(&trial)).await;
    let broken: Vec<_> = checked.iter().filter(|checked| checked.problem.is_some()).collect();
    assert!(broken.is_empty(), "{broken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_with_children_is_not_deleted() {
    let world = world().await;
    let full = world.protect(None, "k-1").await.unwrap();
    let second = world.protect(Some(&full), "k-2").await.unwrap();
    let third = world.protect(Some(&second), "k-3").await.unwrap();
    {
        let cloud = world.server.cloud.lock().unwrap();
        let parents: Vec<_> = cloud.backups.iter().map(|backup| backup["parent_id"].as_str()).collect();
        assert_eq!(parents, [None, Some(full.id.as_ref()), Some(second.id.as_ref())]);
    }
    for parent in [&full, &second] {
        let error = world.client.delete(&order("{}"), Some(parent)).await.unwrap_err();
        assert_eq!(error.failure.reason, Reason::ChildrenKept, "{error}");
    }
    for artefact in [&third, &second, &full] {
        world.client.delete(&order("{}"), Some(artefact)).await.unwrap();
    }
    assert!(world.server.cloud.lock().unwrap().backups.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_backup_is_found_by_its_key_alone() {
    let world = world().await;
    world.protect(None, "k-4").await.unwrap();
    let unfinished = WorkOrder { key: "k-4".into(), ..order("{}") };
    world.client.delete(&unfinished, None).await.unwrap();
    assert!(world.server.cloud.lock().unwrap().backups.is_empty());
    world.client.delete(&unfinished, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_never_ends_fails_at_the_deadline_with_its_state() {
    let world = world().await;
    world.server.cloud.lock().unwrap().instances[0]["status"] = "PROMOTE".into();
    let order = WorkOrder { timeout: Duration::from_secs(3), ..order(PROTECT) };
    let error = world.client.protect(&order, None, &mut |_| Ok(())).await.unwrap_err();
    assert_eq!(error.failure.reason, Reason::Deadline, "{error}");
    assert!(error.failure.message.contains("PROMOTE"), "{error}");
    assert_eq!(world.made("backup"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_is_refused_and_what_was_recorded_can_be_overridden() {
    let world = world().await;
    let artefact = world.protect(None, "k-5").await.unwrap();
    let error = world.restore(&artefact, r#"{"restore_name":"orders"}"#).await.unwrap_err();
    assert_eq!(error.failure.reason, Reason::NotReady, "{error}");
    assert_eq!(world.made("instance"), 0);
    world.restore(&artefact, r#"{"restore_name":"larger","volume_size":5}"#).await.unwrap();
    assert_eq!(world.made("instance larger"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_own_project_has_dependents() {
    let world = world().await;
    let own =
        world.client.dependents(&format!("OS::Keystone::Project/{PROJECT}").parse().unwrap()).await.unwrap();
    assert_eq!(own.resources.len(), 1);
    let other = world.client.dependents(&"OS::Keystone::Project/other".parse().unwrap()).await.unwrap_err();
    assert_eq!(other.failure.reason, Reason::NotFound);
}
