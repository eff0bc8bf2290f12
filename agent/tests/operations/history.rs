//! What is kept of operations that ended: pages, limits, and what an agent finds that follows another.

use coffer_proto::agent::v1;
use v1::OperationState;

use crate::world::{Agents, Client, World, finish, state};

/// Verifications end soon, and there may be as many as one likes.
async fn verify(world: &World, client: &mut Client, key: &str) -> v1::Operation {
    let request = v1::StartVerifyRequest {
        idempotency_key: key.into(),
        repository: Some(world.message()),
        plan: Some(v1::Plan { team: "default".into(), ..v1::Plan::default() }),
        ..v1::StartVerifyRequest::default()
    };
    let id = client.start_verify(request).await.unwrap().into_inner().id;
    finish(client, &id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_are_listed_in_pages_newest_first_and_found_by_key() {
    let world = World::new();
    let agent = world.agent().await;
    let mut client = agent.client().await;
    let mut ids = Vec::new();
    for number in 0..7 {
        ids.push(verify(&world, &mut client, &format!("k{number}")).await.id);
    }
    ids.sort_unstable_by(|left, right| right.cmp(left));
    let mut listed = Vec::new();
    let mut page_token = String::new();
    for len in [3, 3, 1] {
        let request = v1::ListOperationsRequest { page_size: 3, page_token, ..Default::default() };
        let page = client.list(request).await.unwrap().into_inner();
        assert_eq!(page.operations.len(), len);
        listed.extend(page.operations.into_iter().map(|operation| operation.id));
        page_token = page.next_page_token;
    }
    assert_eq!((listed, page_token.as_str()), (ids, ""));
    let request = v1::ListOperationsRequest { idempotency_key: "k3".into(), ..Default::default() };
    let found = client.list(request).await.unwrap().into_inner().operations;
    assert_eq!((found.len(), found[0].idempotency_key.as_str()), (1, "k3"));
    let request = v1::ListOperationsRequest { state: OperationState::Failed.into(), ..Default::default() };
    assert_eq!(client.list(request).await.unwrap().into_inner().operations, []);
    agent.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn results_outlive_the_agent_and_the_oldest_go() {
    let world = World::new();
    let agent = world.agent_with(Agents { history_max: 3, ..Agents::default() }).await;
    let mut client = agent.client().await;
    let mut all = Vec::new();
    for number in 0..5 {
        all.push(verify(&world, &mut client, &format!("k{number}")).await);
    }
    drop(client);
    agent.end().await;
    let agent = world.agent_with(Agents { history_max: 3, ..Agents::default() }).await;
    let mut client = agent.client().await;
    for (number, operation) in all.iter().enumerate() {
        let found = client.get(v1::GetOperationRequest { id: operation.id.clone() }).await;
        match number < 2 {
            true => assert_eq!(found.unwrap_err().code(), tonic::Code::NotFound),
            false => assert_eq!(found.unwrap().into_inner(), *operation),
        }
    }
    let again = verify(&world, &mut client, "k4").await;
    assert_eq!(again, all[4], "the same key is the same work, whoever answers");
    let again = verify(&world, &mut client, "k0").await;
    assert_ne!(again.id, all[0].id, "what is forgotten is done anew");
    assert_eq!(state(&again), OperationState::Succeeded);
    let files = std::fs::read_dir(world.directory.path().join("state/operations")).unwrap().count();
    assert_eq!(files, 3);
    agent.end().await;
}
