//! Looking at the node: once for an operation however many volumes it has, and no longer than somebody wants it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coffer_agent::errors::AgentError;
use coffer_agent::node_volumes::NodeVolumes;
use coffer_agent::operations::volumes::{Behalf, Sight, VolumeAccess};
use coffer_engine::CancelToken;
use coffer_proto::agent::v1;
use coffer_proto::checked::VolumeRef;
use v1::OperationState;

use crate::world::{Agents, World, backup_result, finish, state, volumes};

/// Counts looks; those from number `endless_from` on end only when they are told to stop, as a walk through a directory without an end does.
struct Watched {
    inner: NodeVolumes,
    looks: AtomicUsize,
    endless_from: usize,
    /// Told when an endless look begins, and when it was stopped.
    told: Mutex<Sender<&'static str>>,
}

impl Watched {
    fn new(world: &World, endless_from: usize) -> (Arc<Watched>, Receiver<&'static str>) {
        let (told, heard) = channel();
        let inner = volumes(world.directory.path().join("volumes"));
        let watched = Watched { inner, looks: AtomicUsize::new(0), endless_from, told: Mutex::new(told) };
        (Arc::new(watched), heard)
    }
}

impl VolumeAccess for Watched {
    fn look<'a>(
        &'a self,
        behalf: &'a Behalf,
        volumes: &[&VolumeRef],
        cancel: &CancelToken,
    ) -> Result<Box<dyn Sight + 'a>, AgentError> {
        if self.looks.fetch_add(1, Ordering::SeqCst) >= self.endless_from {
            self.told.lock().unwrap().send("begun").unwrap();
            while !cancel.is_cancelled() {
                std::thread::sleep(Duration::from_millis(5));
            }
            self.told.lock().unwrap().send("stopped").unwrap();
        }
        self.inner.look(behalf, volumes, cancel)
    }
}

fn agents(volumes: Arc<Watched>) -> Agents {
    Agents { volumes: Some(volumes), ..Agents::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_of_256_volumes_looks_once_and_so_does_its_run() {
    let world = World::new();
    let names: Vec<String> = (0..256).map(|number| format!("v{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    (0..).zip(&names).for_each(|(seed, name)| drop(world.volume(name, 4 << 10, seed)));
    let (watched, _heard) = Watched::new(&world, usize::MAX);
    let agent = world.agent_with(agents(watched.clone())).await;
    let mut client = agent.client().await;
    let point = world.open_point("web", &names);
    let started = client.start_backup(world.backup("k", &point, &names)).await.unwrap().into_inner();
    let done = finish(&mut client, &started.id).await;
    assert_eq!(state(&done), OperationState::Succeeded, "{:?}", done.error);
    assert_eq!(watched.looks.load(Ordering::SeqCst), 2);
    world.commit(&point, &[backup_result(&done)]);
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_goes_while_the_node_is_looked_at_stops_the_look() {
    let world = World::new();
    world.volume("v", 4 << 10, 1);
    let (watched, heard) = Watched::new(&world, 0);
    let agent = world.agent_with(agents(watched)).await;
    let mut client = agent.client().await;
    let point = world.open_point("web", &["v"]);
    let request = world.backup("k", &point, &["v"]);
    let call = tokio::spawn(async move { client.start_backup(request).await });
    let heard = tokio::task::spawn_blocking(move || {
        assert_eq!(heard.recv().unwrap(), "begun");
        heard
    });
    let heard = heard.await.unwrap();
    call.abort();
    tokio::task::spawn_blocking(move || assert_eq!(heard.recv().unwrap(), "stopped")).await.unwrap();
    let mut client = agent.client().await;
    let listed = client.list(v1::ListOperationsRequest::default()).await.unwrap().into_inner();
    assert!(listed.operations.is_empty(), "what nobody waits for is not accepted");
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_stops_an_operation_that_looks_at_the_node() {
    let world = World::new();
    world.volume("v", 4 << 10, 1);
    let (watched, heard) = Watched::new(&world, 1);
    let agent = world.agent_with(agents(watched)).await;
    let mut client = agent.client().await;
    let point = world.open_point("web", &["v"]);
    let started = client.start_backup(world.backup("k", &point, &["v"])).await.unwrap().into_inner();
    tokio::task::spawn_blocking(move || assert_eq!(heard.recv().unwrap(), "begun")).await.unwrap();
    client.cancel(v1::CancelOperationRequest { id: started.id.clone() }).await.unwrap();
    assert_eq!(state(&finish(&mut client, &started.id).await), OperationState::Cancelled);
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_point_that_another_team_used_is_told_by_nothing() {
    let world = World::new();
    world.volume("v", 4 << 10, 1);
    let agent = world.agent().await;
    let mut client = agent.client().await;
    let point = world.open_point("web", &["v"]);
    let first = client.start_backup(world.backup("k", &point, &["v"])).await.unwrap().into_inner();
    finish(&mut client, &first.id).await;
    let mut again = world.backup("other", &point, &["v"]);
    let refused = client.start_backup(again.clone()).await.unwrap_err();
    assert!(refused.message().contains(&first.id), "{refused}");
    // The same of another team is a request like any other.
    again.point.as_mut().unwrap().plan.as_mut().unwrap().team = "shop".into();
    let started = client.start_backup(again).await.unwrap().into_inner();
    assert_ne!(started.id, first.id);
    finish(&mut client, &started.id).await;
    agent.end().await;
}
