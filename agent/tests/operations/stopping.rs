//! Cancel, time-out, drain: work stops soon, says why, and leaves nothing but what prune removes and the next attempt takes up.

use std::sync::Arc;
use std::time::Duration;

use coffer_engine::{PruneRequest, run_prune};
use coffer_proto::agent::v1;
use coffer_store::list_all;
use tokio::sync::Notify;
use v1::OperationState;

use crate::stores::{Gate, Gated};
use crate::world::{Agent, Agents, PATIENCE, World, backup_result, finish, state};

/// An agent whose store stops answering after some packs, and a bell for that moment.
async fn held_agent(world: &World, objects: u64) -> (Agent, Arc<Gate>, Arc<Notify>) {
    let held = Arc::new(Notify::new());
    let bell = held.clone();
    let gate = Gate::after(objects, move || bell.notify_one());
    let agents = Agents { stores: Arc::new(Gated(gate.clone())), ..Agents::default() };
    (world.agent_with(agents).await, gate, held)
}

async fn until(held: &Notify) {
    tokio::time::timeout(PATIENCE, held.notified()).await.expect("the store holds a request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_backup_stops_and_is_taken_up_with_a_new_point() {
    let world = World::new();
    let bytes = world.volume("db", 12 << 20, 1);
    let (agent, gate, held) = held_agent(&world, 6).await;
    let mut client = agent.client().await;
    let coordinated = world.open_point("daily", &["db"]);
    let request = world.backup("k", &coordinated, &["db"]);
    let id = client.start_backup(request.clone()).await.unwrap().into_inner().id;
    until(&held).await;
    client.cancel(v1::CancelOperationRequest { id: id.clone() }).await.unwrap();
    // The store still holds everything that waits: the end cannot have come from there.
    let done = finish(&mut client, &id).await;
    assert_eq!(state(&done), OperationState::Cancelled);
    let error = done.error.unwrap();
    assert_eq!((error.code, error.kind.as_str()), (tonic::Code::Cancelled.into(), "cancelled"));
    let ended = client.cancel(v1::CancelOperationRequest { id: id.clone() }).await.unwrap().into_inner();
    assert_eq!(state(&ended), OperationState::Cancelled, "what has ended stays as it is");
    assert!(world.repository().store().list_uploads("").unwrap().is_empty(), "no upload is left open");

    let status = client.start_backup(request).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::FailedPrecondition, "its point was used: {status}");
    gate.open();
    let next = world.open_point("daily", &["db"]);
    let again = client.start_backup(world.backup("k", &next, &["db"])).await.unwrap().into_inner();
    assert_eq!((again.id.as_str(), again.attempt), (id.as_str(), 2));
    let done = finish(&mut client, &id).await;
    assert_eq!(state(&done), OperationState::Succeeded, "{:?}", done.error);
    let result = backup_result(&done);
    assert!(result.resumed_bytes > 0, "finished packs are used again");
    let report = world.commit(&next, &[result]);

    let target = [("db", "db.new", v1::RestoreMode::New)];
    let request = world.restore("r", "daily", &report.point.to_string(), &target);
    let id = client.start_restore(request).await.unwrap().into_inner().id;
    assert_eq!(state(&finish(&mut client, &id).await), OperationState::Succeeded);
    assert_eq!(std::fs::read(world.path("db.new")).unwrap(), bytes);
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cancelled_backup_leaves_is_removed_by_prune() {
    let world = World::new();
    world.volume("db", 6 << 20, 1);
    let (agent, gate, held) = held_agent(&world, 3).await;
    let mut client = agent.client().await;
    let cancelled = world.open_point("daily", &["db"]);
    let id = client.start_backup(world.backup("k", &cancelled, &["db"])).await.unwrap().into_inner().id;
    until(&held).await;
    client.cancel(v1::CancelOperationRequest { id: id.clone() }).await.unwrap();
    assert_eq!(state(&finish(&mut client, &id).await), OperationState::Cancelled);
    gate.open();
    // Other contents: nothing of the cancelled run fits.
    world.volume("db", 6 << 20, 2);
    let next = world.open_point("daily", &["db"]);
    let id = client.start_backup(world.backup("k2", &next, &["db"])).await.unwrap().into_inner().id;
    let done = finish(&mut client, &id).await;
    world.commit(&next, &[backup_result(&done)]);
    agent.end().await;

    let point = cancelled.point.reference.point.to_string();
    let of_cancelled = || {
        let objects = list_all(world.repository().store(), "t/").unwrap();
        objects.iter().filter(|object| object.key.as_str().contains(&format!("/{point}/db/"))).count()
    };
    assert!(of_cancelled() > 0, "it had stored something");
    run_prune(&world.repository(), &PruneRequest::default()).unwrap();
    assert_eq!(of_cancelled(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_out_ends_what_runs_and_what_waits() {
    let world = World::new();
    world.volume("db", 6 << 20, 1);
    let (agent, _gate, held) = held_agent(&world, 2).await;
    let mut client = agent.client().await;
    let first = world.open_point("daily", &["db"]);
    let id = client.start_backup(world.backup("runs", &first, &["db"])).await.unwrap().into_inner().id;
    until(&held).await;
    // The second waits for the volume that the first uses.
    let second = world.open_point("weekly", &["db"]);
    let mut request = world.backup("waits", &second, &["db"]);
    request.timeout = Some(prost_types::Duration { seconds: 0, nanos: 1_000_000 });
    let waits = client.start_backup(request).await.unwrap().into_inner().id;
    let done = finish(&mut client, &waits).await;
    assert_eq!(state(&done), OperationState::Cancelled);
    let error = done.error.unwrap();
    assert_eq!((error.code, error.kind.as_str()), (tonic::Code::DeadlineExceeded.into(), "deadline-passed"));
    client.cancel(v1::CancelOperationRequest { id: id.clone() }).await.unwrap();
    finish(&mut client, &id).await;

    let third = world.open_point("monthly", &["db"]);
    let mut request = world.backup("late", &third, &["db"]);
    request.timeout = Some(prost_types::Duration { seconds: 1, nanos: 0 });
    let late = client.start_backup(request).await.unwrap().into_inner().id;
    let done = finish(&mut client, &late).await;
    assert_eq!(done.error.unwrap().code, i32::from(tonic::Code::DeadlineExceeded));
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_lets_end_what_can_and_interrupts_the_rest() {
    let world = World::new();
    world.volume("db", 6 << 20, 1);
    world.volume("web", 1 << 20, 2);
    let (agent, gate, held) = held_agent(&world, 2).await;
    let mut client = agent.client().await;
    let first = world.open_point("daily", &["db"]);
    let runs = client.start_backup(world.backup("runs", &first, &["db"])).await.unwrap().into_inner().id;
    until(&held).await;
    let second = world.open_point("weekly", &["db"]);
    let waits = client.start_backup(world.backup("waits", &second, &["db"])).await.unwrap().into_inner();
    assert_eq!(state(&waits), OperationState::Queued);
    let expected = format!("is in use by operation {runs}");
    assert!(waits.waiting_for.ends_with(&expected), "{}", waits.waiting_for);

    let operations = agent.operations.clone();
    let drained = tokio::task::spawn_blocking(move || operations.drain(Duration::ZERO)).await.unwrap();
    assert_eq!((drained.finished, drained.interrupted), (0, 2));
    for id in [&runs, &waits.id] {
        let operation = client.get(v1::GetOperationRequest { id: id.clone() }).await.unwrap().into_inner();
        assert_eq!(state(&operation), OperationState::Interrupted);
        assert_eq!(operation.error.unwrap().kind, "shutting-down");
    }
    let third = world.open_point("monthly", &["web"]);
    let status = client.start_backup(world.backup("new", &third, &["web"])).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable);
    gate.open();
    drop(client);
    agent.end().await;

    // The agent that follows knows them, and takes them up. The one that had waited may use its point: nothing was written under it.
    let agent = world.agent().await;
    let mut client = agent.client().await;
    let again = client.start_backup(world.backup("waits", &second, &["db"])).await.unwrap().into_inner();
    assert_eq!((again.id.as_str(), again.attempt), (waits.id.as_str(), 2));
    let done = finish(&mut client, &again.id).await;
    assert_eq!(state(&done), OperationState::Succeeded, "{:?}", done.error);
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_waits_for_what_ends_in_time() {
    let world = World::new();
    world.volume("db", 4 << 20, 1);
    let (agent, gate, held) = held_agent(&world, 2).await;
    let mut client = agent.client().await;
    let coordinated = world.open_point("daily", &["db"]);
    let id = client.start_backup(world.backup("k", &coordinated, &["db"])).await.unwrap().into_inner().id;
    until(&held).await;
    let operations = agent.operations.clone();
    let drain = tokio::task::spawn_blocking(move || operations.drain(PATIENCE));
    while !agent.operations.is_draining() {
        tokio::task::yield_now().await;
    }
    gate.open();
    let drained = drain.await.unwrap();
    assert_eq!((drained.finished, drained.interrupted), (1, 0));
    let done = client.get(v1::GetOperationRequest { id }).await.unwrap().into_inner();
    assert_eq!(state(&done), OperationState::Succeeded);
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_was_cut_off_goes_on_in_the_file_that_it_made() {
    let world = World::new();
    let bytes = world.volume("db", 4 << 20, 1);
    let agent = world.agent().await;
    let mut client = agent.client().await;
    let coordinated = world.open_point("daily", &["db"]);
    let id = client.start_backup(world.backup("k", &coordinated, &["db"])).await.unwrap().into_inner().id;
    let report = world.commit(&coordinated, &[backup_result(&finish(&mut client, &id).await)]);
    drop(client);
    agent.end().await;

    let request =
        world.restore("r", "daily", &report.point.to_string(), &[("db", "db.new", v1::RestoreMode::New)]);
    let damaged = list_all(world.repository().store(), "t/").unwrap();
    let pack = damaged
        .iter()
        .filter(|object| object.len > 1 << 19)
        .max_by_key(|object| object.key.to_string())
        .unwrap();
    let path = world.directory.path().join("repository").join(pack.key.as_str());
    let aside = path.with_extension("aside");
    std::fs::rename(&path, &aside).unwrap();
    let agent = world.agent().await;
    let mut client = agent.client().await;
    let id = client.start_restore(request.clone()).await.unwrap().into_inner().id;
    let failed = finish(&mut client, &id).await;
    assert_eq!(state(&failed), OperationState::Failed, "a pack is missing");
    assert!(world.path("db.new").exists());
    std::fs::rename(&aside, &path).unwrap();
    let again = client.start_restore(request.clone()).await.unwrap().into_inner();
    assert_eq!((again.id.as_str(), again.attempt), (id.as_str(), 2));
    let done = finish(&mut client, &id).await;
    assert_eq!(state(&done), OperationState::Succeeded, "{:?}", done.error);
    assert_eq!(std::fs::read(world.path("db.new")).unwrap(), bytes);
    agent.end().await;
}
