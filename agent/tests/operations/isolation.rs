//! One team takes all it can; what the others and the controller see.

use std::sync::Arc;
use std::time::Duration;

use coffer_proto::agent::v1;
use tonic::{Code, Status};
use tonic_types::StatusExt;
use v1::OperationState;

use crate::stores::{Gate, Gated};
use crate::world::{Agents, Client, World, backup_result, finish, state};

fn verify(world: &World, team: &str, key: &str) -> v1::StartVerifyRequest {
    v1::StartVerifyRequest {
        idempotency_key: key.into(),
        repository: Some(world.message()),
        plan: Some(v1::Plan { team: team.into(), ..v1::Plan::default() }),
        ..v1::StartVerifyRequest::default()
    }
}

fn assert_is_full(status: &Status) {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    let hint = status.get_details_retry_info().and_then(|info| info.retry_delay);
    assert!(hint.is_some_and(|delay| !delay.is_zero()), "{status}");
}

/// Starts backups of the team until one is refused, which must say when to try again; returns how many were taken.
async fn fill(world: &World, client: &mut Client) -> usize {
    for number in 0_usize.. {
        let name = format!("flood{number}");
        world.volume(&name, 1 << 20, number as u64 + 1);
        let coordinated = world.open_point(&name, &[&name]);
        if let Err(status) = client.start_backup(world.backup(&name, &coordinated, &[&name])).await {
            assert_is_full(&status);
            return number;
        }
    }
    unreachable!("numbers do not end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_that_fills_its_part_with_operations_that_hang_delays_nobody() {
    let world = World::new();
    let gate = Gate::after(0, || {});
    let stores = Arc::new(Gated(gate.clone()));
    let agent = world.agent_with(Agents { stores, queued_max: 16, ..Agents::default() }).await;
    let mut flood = agent.client_as("team default").await;
    let taken = fill(&world, &mut flood).await;
    // Of 16 that may wait two are the controller's and half of the rest is left; of four places one is the controller's and one is left.
    assert!((7..=9).contains(&taken), "{taken}");

    // Another team's operation and the controller's run while all of those hang.
    let mut other = agent.client_as("team other").await;
    let id = other.start_verify(verify(&world, "other", "own")).await.unwrap().into_inner().id;
    assert!(finish(&mut other, &id).await.started.is_some());
    let mut controller = agent.client().await;
    let id = controller.start_verify(verify(&world, "default", "scheduled")).await.unwrap().into_inner().id;
    assert!(finish(&mut controller, &id).await.started.is_some());
    gate.open();
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_whose_operations_fail_as_fast_as_they_can_pushes_no_other_out_of_the_history() {
    let world = World::new();
    let agents = Agents { memory_bytes: 64 << 20, history_max: 5, ..Agents::default() };
    let agent = world.agent_with(agents).await;
    let mut shop = agent.client_as("team shop").await;
    let own = shop.start_verify(verify(&world, "shop", "promised")).await.unwrap().into_inner().id;
    let own = finish(&mut shop, &own).await;
    let mut controller = agent.client().await;
    let scheduled =
        controller.start_verify(verify(&world, "flood", "promised")).await.unwrap().into_inner().id;
    finish(&mut controller, &scheduled).await;

    let mut flood = agent.client_as("team flood").await;
    for number in 0..12 {
        let request = verify(&world, "flood", &format!("k{number}"));
        let id = flood.start_verify(request).await.unwrap().into_inner().id;
        finish(&mut flood, &id).await;
    }
    let left = flood.list(v1::ListOperationsRequest::default()).await.unwrap().into_inner().operations;
    assert_eq!(left.len(), 5 + 1, "five of its own, and what the controller started for it");
    assert!(left.iter().any(|operation| operation.id == scheduled));
    let again = shop.get(v1::GetOperationRequest { id: own.id.clone() }).await.unwrap().into_inner();
    assert_eq!(again, own, "the other team's key keeps its meaning");
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_stands_still_gives_its_place_back_and_goes_on_with_its_key() {
    let world = World::new();
    let gate = Gate::after(0, || {});
    let agents = Agents {
        stores: Arc::new(Gated(gate.clone())),
        memory_bytes: 64 << 20,
        stall_after: Duration::from_secs(4),
        ..Agents::default()
    };
    let agent = world.agent_with(agents).await;
    let mut client = agent.client_as("team default").await;
    world.volume("db", 1 << 20, 1);
    let coordinated = world.open_point("daily", &["db"]);
    let request = world.backup("k", &coordinated, &["db"]);
    let id = client.start_backup(request).await.unwrap().into_inner().id;
    let stalled = finish(&mut client, &id).await;
    assert_eq!(state(&stalled), OperationState::Failed);
    let error = stalled.error.unwrap();
    assert_eq!((error.kind.as_str(), error.advice.as_str()), ("stalled", "retry"), "{}", error.message);

    // There is one place; it is free again, and a store that answers lets the work be done.
    gate.open();
    let coordinated = world.open_point("daily", &["db"]);
    let id = client.start_backup(world.backup("k", &coordinated, &["db"])).await.unwrap().into_inner().id;
    let done = finish(&mut client, &id).await;
    assert_eq!((state(&done), done.attempt), (OperationState::Succeeded, 2), "{:?}", done.error);
    world.commit(&coordinated, &[backup_result(&done)]);
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_beyond_the_memory_of_requests_are_refused_and_leave_room_to_cancel() {
    let world = World::new();
    let gate = Gate::after(0, || {});
    let stores = Arc::new(Gated(gate.clone()));
    let agents = Agents { stores, memory_bytes: 64 << 20, request_bytes: 1 << 20, ..Agents::default() };
    let agent = world.agent_with(agents).await;
    let mut client = agent.client_as("team default").await;
    world.volume("db", 1 << 20, 1);
    let coordinated = world.open_point("daily", &["db"]);
    client.start_backup(world.backup("runs", &coordinated, &["db"])).await.unwrap();
    let mut ids = Vec::new();
    let refused = loop {
        let mut request = verify(&world, "default", &format!("k{}", ids.len()));
        request.repository.as_mut().unwrap().key = "k".repeat(20_000);
        match client.start_verify(request).await {
            Ok(operation) => ids.push(operation.into_inner().id),
            Err(status) => break status,
        }
    };
    assert_is_full(&refused);
    assert!(refused.message().contains("team default holds"), "{refused}");
    assert!((5..20).contains(&ids.len()), "{}", ids.len());
    let cancel = v1::CancelOperationRequest { id: ids[0].clone() };
    let cancelled = client.cancel(cancel).await.unwrap().into_inner();
    assert_eq!(state(&cancelled), OperationState::Cancelled);
    client.start_verify(verify(&world, "default", "now there is room")).await.unwrap();
    gate.open();
    agent.end().await;
}
