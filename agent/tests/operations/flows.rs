//! The whole way: point reference, agent, records, commit, restore; one key, one piece of work; watching.

use coffer_proto::agent::v1;
use v1::{OperationState, RestoreMode};

use crate::stores::{Gate, Gated};
use crate::world::{Agents, PATIENCE, World, backup_result, finish, state};

#[tokio::test(flavor = "multi_thread")]
async fn a_point_made_by_an_agent_comes_back_through_it() {
    let world = World::new();
    let (db, web) = (world.volume("db", 3 << 20, 1), world.volume("web", (1 << 20) + 513, 2));
    let agent = world.agent().await;
    let mut client = agent.client().await;

    let coordinated = world.open_point("daily", &["web", "db"]);
    let mut request = world.backup("night 1", &coordinated, &["web", "db"]);
    request.volumes[1].changes = "auto".into();
    let started = client.start_backup(request).await.unwrap().into_inner();
    assert_eq!(
        (started.team.as_str(), started.attempt, started.caller.as_str()),
        ("default", 1, "controller")
    );
    let done = finish(&mut client, &started.id).await;
    assert_eq!(state(&done), OperationState::Succeeded, "{:?}", done.error);
    assert_eq!(done.point.as_ref().unwrap().coordinator, b"the coordinator's own");
    let result = backup_result(&done);
    assert_eq!(result.records.len(), 2);
    assert!(result.bytes_written > 4 << 20 && result.requests.is_some());
    let progress = done.progress.unwrap();
    assert_eq!((progress.done_bytes, progress.total_bytes), ((4 << 20) + 513, (4 << 20) + 513));
    assert_eq!(progress.moved_bytes, result.bytes_written, "all that was stored was told");
    let report = world.commit(&coordinated, &[result]);
    assert_eq!(report.volumes.len(), 2);

    let targets = [("db", "db.new", RestoreMode::New), ("web", "web.new", RestoreMode::New)];
    let request = world.restore("back", "daily", &report.point.to_string(), &targets);
    let started = client.start_restore(request.clone()).await.unwrap().into_inner();
    let done = finish(&mut client, &started.id).await;
    assert_eq!(state(&done), OperationState::Succeeded, "{:?}", done.error);
    assert_eq!(std::fs::read(world.path("db.new")).unwrap(), db);
    assert_eq!(std::fs::read(world.path("web.new")).unwrap(), web);

    let request = v1::StartRestoreRequest { idempotency_key: "again".into(), ..request };
    let started = client.start_restore(request.clone()).await.unwrap().into_inner();
    let done = finish(&mut client, &started.id).await;
    assert_eq!(state(&done), OperationState::Failed, "what exists is not replaced");
    let error = done.error.unwrap();
    assert_eq!((error.kind.as_str(), error.advice.as_str()), ("refused", "refused"), "{}", error.message);

    std::fs::write(world.path("db.new"), vec![7; 3 << 20]).unwrap();
    let targets = [("db", "db.new", RestoreMode::InPlace)];
    let request = world.restore("in place", "daily", &report.point.to_string(), &targets);
    let started = client.start_restore(request).await.unwrap().into_inner();
    assert_eq!(state(&finish(&mut client, &started.id).await), OperationState::Succeeded);
    assert_eq!(std::fs::read(world.path("db.new")).unwrap(), db);

    let verify = |point: &str, key: &str| v1::StartVerifyRequest {
        idempotency_key: key.into(),
        repository: Some(world.message()),
        plan: Some(v1::Plan { team: "default".into(), ..v1::Plan::default() }),
        point: point.into(),
        read_data_percent: 100,
        timeout: None,
    };
    let started = client.start_verify(verify(&report.point.to_string(), "v1")).await.unwrap().into_inner();
    let done = finish(&mut client, &started.id).await;
    match done.result {
        Some(v1::operation::Result::Verify(found)) => {
            assert_eq!((found.points, found.problems.len()), (1, 0));
            assert!(found.bytes_read > 4 << 20);
        }
        other => panic!("{other:?}"),
    }
    let started = client.start_verify(verify("01jd3k5x6v8q2m4n7p9r0s1t2w", "v2")).await.unwrap().into_inner();
    let done = finish(&mut client, &started.id).await;
    assert_eq!(done.error.unwrap().kind, "not-found");
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_callers_with_one_key_do_the_work_once() {
    let world = World::new();
    world.volume("db", 2 << 20, 1);
    let agent = world.agent().await;
    let coordinated = world.open_point("daily", &["db"]);
    let request = world.backup("one key", &coordinated, &["db"]);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (mut client, request) = (agent.client().await, request.clone());
        calls.spawn(async move { client.start_backup(request).await.unwrap().into_inner().id });
    }
    let ids = calls.join_all().await;
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let mut client = agent.client().await;
    let first = finish(&mut client, &ids[0]).await;
    assert_eq!((state(&first), first.attempt), (OperationState::Succeeded, 1), "{:?}", first.error);

    let again = client.start_backup(request.clone()).await.unwrap().into_inner();
    assert_eq!(again, first, "its result is the first one's");
    let fresh = world.backup("one key", &world.open_point("daily", &["db"]), &["db"]);
    assert_eq!(
        client.start_backup(fresh).await.unwrap().into_inner(),
        first,
        "a fresh reference changes nothing"
    );

    let other = v1::StartBackupRequest { compression: "lz4".into(), ..request.clone() };
    let status = client.start_backup(other).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::InvalidArgument);
    assert!(status.message().contains("stands for another request"), "{status}");

    let reused = v1::StartBackupRequest { idempotency_key: "another key".into(), ..request };
    let status = client.start_backup(reused).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::FailedPrecondition);
    assert!(status.message().contains("open a new point"), "{status}");
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_can_be_dropped_and_resumed() {
    let world = World::new();
    world.volume("db", 6 << 20, 1);
    let gate = Gate::after(2, || {});
    let agents = Agents { stores: std::sync::Arc::new(Gated(gate.clone())), ..Agents::default() };
    let agent = world.agent_with(agents).await;
    let mut client = agent.client().await;
    let coordinated = world.open_point("daily", &["db"]);
    let request = world.backup("k", &coordinated, &["db"]);
    let id = client.start_backup(request).await.unwrap().into_inner().id;

    let watch = |after| v1::WatchOperationRequest { id: id.clone(), after };
    let mut known = Vec::new();
    {
        let mut stream = client.watch(watch(0)).await.unwrap().into_inner();
        let begin = async {
            loop {
                let event = stream.message().await.unwrap().expect("it has not ended");
                known.extend(event.log);
                if known.iter().any(|line| line.text.starts_with("opened volume")) {
                    break;
                }
            }
        };
        tokio::time::timeout(PATIENCE, begin).await.expect("the work begins");
    }
    // A reader that never reads stays, and is in nobody's way.
    let _slow = client.watch(watch(0)).await.unwrap().into_inner();
    gate.open();
    let last_known = known.last().unwrap().sequence;
    let mut stream = client.watch(watch(last_known)).await.unwrap().into_inner();
    let mut last = None;
    let end = async {
        while let Some(event) = stream.message().await.unwrap() {
            known.extend(event.log);
            last = event.operation;
        }
    };
    tokio::time::timeout(PATIENCE, end).await.expect("the stream ends with the operation");
    assert_eq!(state(&last.unwrap()), OperationState::Succeeded);
    let sequences: Vec<u64> = known.iter().map(|line| line.sequence).collect();
    assert_eq!(
        sequences,
        (1..=known.len() as u64).collect::<Vec<_>>(),
        "no line is lost and none told twice"
    );
    assert!(known.last().unwrap().text.contains("succeeded"));
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_fails_leaves_the_others_and_all_failing_is_a_failure() {
    let world = World::new();
    world.volume("db", 1 << 20, 1);
    let agent = world.agent().await;
    let mut client = agent.client().await;
    let coordinated = world.open_point("daily", &["db", "gone"]);
    let request = world.backup("partial", &coordinated, &["db", "gone"]);
    let started = client.start_backup(request).await.unwrap().into_inner();
    let done = finish(&mut client, &started.id).await;
    assert_eq!(state(&done), OperationState::Succeeded);
    let report = world.commit(&coordinated, &[backup_result(&done)]);
    assert!(report.volumes.iter().find(|volume| volume.name.as_ref() == "gone").unwrap().error.is_some());

    let coordinated = world.open_point("daily", &["gone"]);
    let request = world.backup("nothing", &coordinated, &["gone"]);
    let started = client.start_backup(request).await.unwrap().into_inner();
    let done = finish(&mut client, &started.id).await;
    assert_eq!(state(&done), OperationState::Failed);
    assert_eq!(done.error.unwrap().kind, "not-found");
    agent.end().await;
}
