//! Rules about requests at the same time.

use std::sync::Barrier;
use std::thread;

use super::tools::{body, get, key, put};
use crate::error::StoreError;
use crate::port::{ObjectStore, PutOutcome, list_all};

const THREADS: u64 = 8;
const ROUNDS: u64 = 25;

pub(super) fn puts_of_one_key(store: &dyn ObjectStore) {
    for round in 0..ROUNDS {
        let name = key(&format!("c/{round}/one"));
        let barrier = Barrier::new(THREADS as usize);
        let results: Vec<_> = thread::scope(|scope| {
            let put = |seed| {
                let (name, barrier) = (&name, &barrier);
                move || {
                    barrier.wait();
                    // Two threads each have the same content.
                    store.put(name, body(seed / 2, 10_000))
                }
            };
            let work: Vec<_> = (0..THREADS).map(|seed| scope.spawn(put(seed))).collect();
            work.into_iter().map(|it| it.join().expect("a put does not panic")).collect()
        });
        let found = get(store, name.as_str());
        let stored = results.iter().filter(|it| matches!(it, Ok(PutOutcome::Stored))).count();
        assert_eq!(stored, 1, "{results:?}");
        for (seed, result) in (0..).zip(&results) {
            let is_winner = found == body(seed / 2, 10_000);
            assert_eq!(is_winner, result.is_ok(), "{results:?}");
            assert!(is_winner || matches!(result, Err(StoreError::Exists { .. })), "{results:?}");
        }
    }
}

pub(super) fn uploads_of_one_key(store: &dyn ObjectStore) {
    let name = key("c/upload");
    let results: Vec<_> = thread::scope(|scope| {
        let upload = |seed| {
            let name = &name;
            move || {
                let upload = store.start_upload(name, 10_000).expect("a start succeeds");
                let tag = store.put_part(&upload, 1, body(seed, 10_000)).expect("a part is taken");
                let result = store.complete_upload(&upload, &[tag]);
                store.abort_upload(&upload).expect("an abort succeeds");
                result
            }
        };
        let work: Vec<_> = (0..THREADS).map(|seed| scope.spawn(upload(seed))).collect();
        work.into_iter().map(|it| it.join().expect("an upload does not panic")).collect()
    });
    let found = get(store, name.as_str());
    assert_eq!(results.iter().filter(|it| it.is_ok()).count(), 1, "{results:?}");
    for (seed, result) in (0..).zip(&results) {
        assert_eq!(found == body(seed, 10_000), result.is_ok(), "{results:?}");
    }
    assert!(store.list_uploads("").expect("a list succeeds").is_empty());
}

/// Deletes empty directories under the puts, where a store has directories.
pub(super) fn puts_beside_deletes(store: &dyn ObjectStore) {
    thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                for round in 0..ROUNDS * 2 {
                    let gone = format!("c/d/{}/e/{thread}-{round}", round % 3);
                    put(store, &gone, body(thread, 100));
                    assert_eq!(get(store, &gone), body(thread, 100));
                    store.delete(&[key(&gone)]).expect("a delete succeeds");
                    if round % 10 == 0 {
                        put(store, &format!("c/d/{}/e/kept-{thread}-{round}", round % 3), body(round, 100));
                    }
                }
            });
        }
    });
    let kept = list_all(store, "c/d/").expect("a list succeeds");
    assert_eq!(kept.len() as u64, THREADS * ROUNDS * 2 / 10);
}
