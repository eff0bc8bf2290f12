//! The Lease: one leads, a dead leader is followed, a leader that lost it ends. Outcomes only, at whatever speed.

use std::time::Duration;

use coffer_controller::leader::{Candidate, TIMES, Times};
use serde_json::json;

use crate::fake_api::FakeApi;
use crate::world::SYSTEM;

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/coffer-system/leases/coffer-controller";
/// A lease that never runs out while a test lasts.
const LONG: Times = Times {
    hold: Duration::from_secs(36_000),
    renew_every: Duration::from_millis(2),
    renew_max: Duration::from_secs(18_000),
};

fn holder(api: &FakeApi) -> String {
    let lease = api.object(LEASE).expect("there is a lease");
    lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()
}

fn count(api: &FakeApi, method: &str) -> usize {
    api.asked().iter().filter(|asked| asked.method == method).count()
}

/// Waits until so many requests were made.
async fn until(api: &FakeApi, method: &str, wanted: usize) {
    while count(api, method) < wanted {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn a_leader_ends_before_another_may_follow() {
    assert!(TIMES.renew_max + TIMES.renew_every < TIMES.hold);
}

#[tokio::test]
async fn one_of_two_leads_until_it_gives_the_lease_up() {
    let api = FakeApi::new();
    let mut one = Candidate::new(api.client(), SYSTEM, "one", LONG);
    let mut two = Candidate::new(api.client(), SYSTEM, "two", LONG);
    one.lead().await;
    assert_eq!(holder(&api), "one");
    tokio::select! {
        lost = one.keep() => panic!("lost the lease: {lost:?}"),
        () = two.lead() => panic!("two lead at once"),
        () = until(&api, "GET", 40) => {}
    }
    one.give_up().await;
    two.lead().await;
    assert_eq!(holder(&api), "two");
    assert_eq!(api.object(LEASE).unwrap()["spec"]["leaseTransitions"], json!(2));
}

#[tokio::test]
async fn a_leader_that_died_is_followed_and_not_at_first_sight() {
    let api = FakeApi::new();
    let short = Times { hold: Duration::from_secs(1), ..LONG };
    Candidate::new(api.client(), SYSTEM, "dead", short).lead().await;
    let looked = count(&api, "GET");
    Candidate::new(api.client(), SYSTEM, "next", short).lead().await;
    assert_eq!(holder(&api), "next");
    assert!(count(&api, "GET") >= looked + 2, "the lease was taken at first sight");
}

#[tokio::test]
async fn a_leader_whose_lease_was_taken_ends_and_leaves_it() {
    let api = FakeApi::new();
    let mut leader = Candidate::new(api.client(), SYSTEM, "old", LONG);
    leader.lead().await;
    let mut lease = api.object(LEASE).unwrap();
    lease["spec"]["holderIdentity"] = json!("new");
    api.replace(LEASE, lease);
    let error = leader.keep().await.unwrap_err();
    assert!(error.to_string().contains("another controller took the lease"), "{error:#}");
    leader.give_up().await;
    assert_eq!(holder(&api), "new", "the old leader wrote over the new one's lease");
}

#[tokio::test]
async fn a_leader_that_cannot_renew_ends() {
    let api = FakeApi::new();
    let times = Times { renew_max: Duration::from_millis(50), ..LONG };
    let mut leader = Candidate::new(api.client(), SYSTEM, "cut-off", times);
    leader.lead().await;
    api.refuse("PUT", "/leases/", 403, usize::MAX);
    let error = leader.keep().await.unwrap_err();
    assert!(error.to_string().contains("could not be renewed"), "{error:#}");
}

#[tokio::test]
async fn a_leader_survives_a_short_silence_of_the_api() {
    let api = FakeApi::new();
    let mut leader = Candidate::new(api.client(), SYSTEM, "patient", LONG);
    leader.lead().await;
    api.refuse("PUT", "/leases/", 403, 2);
    tokio::select! {
        lost = leader.keep() => panic!("it ended: {lost:?}"),
        () = until(&api, "PUT", 6) => {}
    }
    assert_eq!(holder(&api), "patient");
}

#[tokio::test]
async fn of_two_that_make_it_at_once_the_second_waits() {
    let api = FakeApi::new();
    // There was none when it looked, and there is one when it makes its own.
    api.refuse("POST", "/leases", 409, 1);
    Candidate::new(api.client(), SYSTEM, "one", LONG).lead().await;
    assert_eq!(holder(&api), "one");
    assert_eq!(count(&api, "POST"), 2);
}
