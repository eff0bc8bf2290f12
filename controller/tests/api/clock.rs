//! The clock that tests move through a ConfigMap.

use coffer_controller::clock::SharedClock;
use serde_json::{Value, json};

use crate::fake_api::FakeApi;
use crate::world::SYSTEM;

const MAPS: &str = "/api/v1/namespaces/coffer-system/configmaps";
const MAP: &str = "/api/v1/namespaces/coffer-system/configmaps/coffer-clock";

fn map(name: &str, seconds: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "offsetSeconds": seconds } })
}

#[tokio::test]
async fn the_first_read_waits_for_no_watch_and_needs_no_map() {
    let api = FakeApi::new();
    let clock = SharedClock::system();
    clock.read(api.client(), SYSTEM, "coffer-clock").await.unwrap();
    assert_eq!(clock.offset_ms(), 0);
    api.put(MAPS, map("coffer-clock", "3600"));
    clock.read(api.client(), SYSTEM, "coffer-clock").await.unwrap();
    assert_eq!(clock.offset_ms(), 3_600_000);
}

#[tokio::test]
async fn the_clock_follows_its_map_and_no_other_and_tells_of_each_move() {
    let api = FakeApi::new();
    let clock = SharedClock::system();
    let mut moves = clock.moves();
    let following = tokio::spawn(clock.clone().follow(api.client(), SYSTEM.into(), "coffer-clock".into()));
    api.put(MAPS, map("another", "7"));
    api.put(MAPS, map("coffer-clock", "60"));
    let check = |expected: i64, moved: i64| assert_eq!((moved, clock.offset_ms()), (expected, expected));
    moves.changed().await.unwrap();
    check(60_000, *moves.borrow_and_update());
    api.replace(MAP, map("coffer-clock", "-90"));
    moves.changed().await.unwrap();
    check(-90_000, *moves.borrow_and_update());
    api.remove(MAP);
    moves.changed().await.unwrap();
    check(0, *moves.borrow_and_update());
    following.abort();
}

#[tokio::test]
async fn a_watch_that_the_server_forgot_begins_again() {
    let api = FakeApi::new();
    api.put(MAPS, map("coffer-clock", "1"));
    let clock = SharedClock::system();
    let mut moves = clock.moves();
    let following = tokio::spawn(clock.clone().follow(api.client(), SYSTEM.into(), "coffer-clock".into()));
    moves.changed().await.unwrap();
    api.replace_unseen(MAP, map("coffer-clock", "2"));
    moves.changed().await.unwrap();
    assert_eq!(clock.offset_ms(), 2_000);
    following.abort();
}
