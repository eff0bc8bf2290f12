//! Many at once, and what is refused.

use coffer_proto::agent::v1;
use v1::{OperationState, RestoreMode};

use crate::stores::{Gate, Gated};
use crate::world::{Agents, World, backup_result, finish, plan, state};

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_operations_over_sixteen_volumes_queue_and_all_succeed() {
    let world = World::new();
    let gate = Gate::after(0, || {});
    let agents = Agents { stores: std::sync::Arc::new(Gated(gate.clone())), ..Agents::default() };
    let agent = world.agent_with(agents).await;
    let mut client = agent.client().await;
    let names: Vec<String> = (0..16).map(|number| format!("v{number}")).collect();
    let contents: Vec<Vec<u8>> = (0..16).map(|n| world.volume(&names[n], 2 << 20, n as u64 + 1)).collect();
    let mut started = Vec::new();
    for name in &names {
        let coordinated = world.open_point(name, &[name]);
        let operation =
            client.start_backup(world.backup(name, &coordinated, &[name])).await.unwrap().into_inner();
        started.push((coordinated, operation));
    }
    // Nothing ends before the gate opens, so what does not run waits and can say for what.
    let queued = v1::ListOperationsRequest { state: OperationState::Queued.into(), ..Default::default() };
    let queued = client.list(queued).await.unwrap().into_inner().operations;
    assert!(queued.len() >= 12, "four shares of memory: {}", queued.len());
    assert!(
        queued.iter().all(|operation| operation.waiting_for.starts_with("memory: ")),
        "{}",
        queued[0].waiting_for
    );
    gate.open();
    let mut points = Vec::new();
    for (coordinated, operation) in &started {
        let done = finish(&mut client, &operation.id).await;
        assert_eq!(state(&done), OperationState::Succeeded, "{:?}", done.error);
        points.push(world.commit(coordinated, &[backup_result(&done)]).point.to_string());
    }
    let mut restores = Vec::new();
    for (name, point) in names.iter().zip(&points) {
        let target = format!("{name}.new");
        let request = world.restore(&target, name, point, &[(name, &target, RestoreMode::New)]);
        restores.push(client.start_restore(request).await.unwrap().into_inner().id);
    }
    for ((id, name), content) in restores.iter().zip(&names).zip(&contents) {
        assert_eq!(state(&finish(&mut client, id).await), OperationState::Succeeded);
        assert_eq!(std::fs::read(world.path(&format!("{name}.new"))).unwrap(), *content);
    }
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_and_says_so() {
    let world = World::new();
    (0..4).for_each(|number| drop(world.volume(&format!("v{number}"), 1 << 20, number + 1)));
    let gate = Gate::after(0, || {});
    let stores = std::sync::Arc::new(Gated(gate.clone()));
    let agents = Agents { stores, memory_bytes: 64 << 20, queued_max: 1, ..Agents::default() };
    let agent = world.agent_with(agents).await;
    let mut client = agent.client().await;
    let mut codes = Vec::new();
    let mut last = None;
    for name in ["v0", "v1", "v2", "v3"] {
        let coordinated = world.open_point(name, &[name]);
        match client.start_backup(world.backup(name, &coordinated, &[name])).await {
            Ok(operation) => last = Some(operation.into_inner().id),
            Err(status) => codes.push(status.code()),
        }
    }
    // One runs and one waits; whether the first had begun when the second came is nobody's promise.
    assert!(
        codes.len() >= 2 && codes.iter().all(|code| *code == tonic::Code::ResourceExhausted),
        "{codes:?}"
    );
    gate.open();
    finish(&mut client, &last.unwrap()).await;
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_sees_and_starts_its_own_only() {
    let world = World::new();
    world.volume("db", 1 << 20, 1);
    let agent = world.agent().await;
    let mut own = agent.client_as("team default").await;
    let mut other = agent.client_as("team other").await;
    let mut scraper = agent.client_as("scraper").await;
    let coordinated = world.open_point("daily", &["db"]);
    let request = world.backup("k", &coordinated, &["db"]);
    let code = |status: tonic::Status| status.code();
    assert_eq!(code(other.start_backup(request.clone()).await.unwrap_err()), tonic::Code::PermissionDenied);
    assert_eq!(code(scraper.start_backup(request.clone()).await.unwrap_err()), tonic::Code::PermissionDenied);
    let operation = own.start_backup(request).await.unwrap().into_inner();
    assert_eq!(operation.caller, "team default");
    let id = operation.id;
    let get = v1::GetOperationRequest { id: id.clone() };
    assert_eq!(code(other.get(get.clone()).await.unwrap_err()), tonic::Code::NotFound);
    let watch = v1::WatchOperationRequest { id: id.clone(), after: 0 };
    assert_eq!(code(other.watch(watch).await.unwrap_err()), tonic::Code::NotFound);
    let cancel = v1::CancelOperationRequest { id: id.clone() };
    assert_eq!(code(other.cancel(cancel).await.unwrap_err()), tonic::Code::NotFound);
    assert_eq!(code(scraper.get(get.clone()).await.unwrap_err()), tonic::Code::PermissionDenied);
    let all = v1::ListOperationsRequest::default();
    assert_eq!(other.list(all.clone()).await.unwrap().into_inner().operations, []);
    assert_eq!(own.list(all.clone()).await.unwrap().into_inner().operations.len(), 1);
    assert_eq!(agent.client().await.list(all).await.unwrap().into_inner().operations.len(), 1);
    assert_eq!(state(&finish(&mut own, &id).await), OperationState::Succeeded);
    // The same key of another team is another key.
    let verify = v1::StartVerifyRequest {
        idempotency_key: "k".into(),
        repository: Some(v1::Repository { key: String::new(), ..world.message() }),
        plan: Some(v1::Plan { team: "other".into(), ..plan("daily") }),
        ..v1::StartVerifyRequest::default()
    };
    assert_ne!(other.start_verify(verify).await.unwrap().into_inner().id, id);
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_allowed_is_refused_at_once() {
    let world = World::new();
    world.volume("db", 1 << 20, 1);
    let agent = world.agent().await;
    let mut client = agent.client().await;
    let coordinated = world.open_point("daily", &["db"]);
    let mut refused = async |change: &dyn Fn(&mut v1::StartBackupRequest)| {
        let mut request = world.backup("k", &coordinated, &["db"]);
        change(&mut request);
        client.start_backup(request).await.unwrap_err().code()
    };
    let outside = |request: &mut v1::StartBackupRequest| request.volumes[0].source = "/etc/hostname".into();
    assert_eq!(refused(&outside).await, tonic::Code::PermissionDenied);
    let link = world.path("link");
    std::os::unix::fs::symlink("/etc/hostname", &link).unwrap();
    let through =
        |request: &mut v1::StartBackupRequest| request.volumes[0].source = link.display().to_string();
    assert_eq!(refused(&through).await, tonic::Code::PermissionDenied);
    let elsewhere = |request: &mut v1::StartBackupRequest| {
        request.repository.as_mut().unwrap().url = "file:///tmp".into();
    };
    assert_eq!(refused(&elsewhere).await, tonic::Code::PermissionDenied);
    let nameless = |request: &mut v1::StartBackupRequest| request.idempotency_key.clear();
    assert_eq!(refused(&nameless).await, tonic::Code::InvalidArgument);

    let mut request = world.backup("key", &coordinated, &["db"]);
    request.repository.as_mut().unwrap().key = "SECRET-4711".into();
    let id = client.start_backup(request).await.unwrap().into_inner().id;
    let done = finish(&mut client, &id).await;
    let error = done.error.unwrap();
    assert_eq!(error.kind, "key-file");
    assert!(!error.message.contains("4711"), "{}", error.message);
    agent.end().await;
    for file in std::fs::read_dir(world.directory.path().join("state/operations")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        assert!(!text.contains("4711"), "the journal holds no secret");
    }
}
