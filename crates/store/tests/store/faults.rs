//! The fault store strikes what its plan names, and nothing else.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use coffer_store::fault::{Failure, Fault, Moment};
use coffer_store::{FaultPlan, FaultStore, Key, MemoryStore, ObjectStore, Operation, PutOutcome, StoreError};

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn store(plan: FaultPlan) -> FaultStore<Arc<MemoryStore>> {
    FaultStore::new(Arc::new(MemoryStore::new()), plan)
}

fn one() -> Bytes {
    Bytes::from_static(b"one")
}

const DOWN: Fault = Fault::Before(Failure::Unavailable);
const LOST: Fault = Fault::After(Failure::Unavailable);

#[test]
fn a_refused_put_has_no_effect_and_a_lost_answer_has() {
    let store = store(FaultPlan::none().fail_at(0, DOWN).fail_at(1, LOST));
    assert!(matches!(store.put(&key("a"), one()), Err(StoreError::Unavailable { .. })));
    assert!(store.inner().keys().is_empty());
    assert!(matches!(store.put(&key("a"), one()), Err(StoreError::Unavailable { .. })));
    assert_eq!(store.inner().keys(), [key("a")]);
    assert_eq!(store.put(&key("a"), one()).unwrap(), PutOutcome::AlreadyThere);
    assert_eq!((store.steps(), store.struck()), (3, 2));
}

#[test]
fn every_step_of_a_job_can_be_struck_and_the_job_repeated() {
    let job = |store: &dyn ObjectStore| -> Result<(), StoreError> {
        store.put(&key("a"), one())?;
        let upload = store.start_upload(&key("b"), 4)?;
        let tags = [
            store.put_part(&upload, 1, Bytes::from_static(b"four"))?,
            store.put_part(&upload, 2, Bytes::from_static(b"end"))?,
        ];
        store.complete_upload(&upload, &tags)?;
        store.get_range(&key("b"), 0, &mut [0; 7])?;
        store.delete(&[key("a")])
    };
    let calm = store(FaultPlan::none());
    job(&calm).unwrap();
    let steps = calm.steps();
    assert_eq!(steps, 7);
    for step in 0..steps {
        for fault in [DOWN, LOST] {
            let store = store(FaultPlan::none().fail_at(step, fault));
            job(&store).unwrap_err();
            assert_eq!((store.steps(), store.struck()), (step + 1, 1), "step {step}");
            job(&store).unwrap();
            assert_eq!(store.inner().keys(), [key("b")], "step {step}");
        }
        for moment in [Moment::Before, Moment::After] {
            let store = store(FaultPlan::none().die_at(step, moment));
            assert!(matches!(job(&store), Err(StoreError::Cancelled { .. })));
            assert!(matches!(job(&store), Err(StoreError::Cancelled { .. })));
            store.set_plan(FaultPlan::none());
            job(&store).unwrap();
        }
    }
}

#[test]
fn the_nth_request_of_a_kind_is_struck() {
    let store = store(FaultPlan::none().nth(Operation::Head, 1, DOWN));
    store.put(&key("a"), one()).unwrap();
    store.head(&key("a")).unwrap();
    store.get(&key("a"), 3).unwrap();
    assert!(store.head(&key("a")).is_err());
    store.head(&key("a")).unwrap();
}

#[test]
fn a_full_store_still_reads_and_deletes() {
    let store = store(FaultPlan::none().full_from(1));
    store.put(&key("a"), one()).unwrap();
    assert!(matches!(store.put(&key("b"), one()), Err(StoreError::NoSpace { .. })));
    assert!(matches!(store.start_upload(&key("b"), 1), Err(StoreError::NoSpace { .. })));
    store.get(&key("a"), 3).unwrap();
    store.delete(&[key("a")]).unwrap();
    assert!(matches!(store.put(&key("b"), one()), Err(StoreError::NoSpace { .. })));
}

#[test]
fn damaged_reads_are_short_or_differ_in_one_bit() {
    let plan = FaultPlan::new(7).burst(1..3, Fault::Short).burst(3..5, Fault::Flip);
    let store = store(plan);
    store.put(&key("a"), Bytes::from(vec![0; 100])).unwrap();
    let mut out = [0; 100];
    assert!(matches!(store.get(&key("a"), 100), Err(StoreError::Short { .. })));
    assert!(matches!(store.get_range(&key("a"), 0, &mut out), Err(StoreError::Short { .. })));
    let flipped: u32 = store.get(&key("a"), 100).unwrap().iter().map(|byte| byte.count_ones()).sum();
    assert_eq!(flipped, 1);
    store.get_range(&key("a"), 0, &mut out).unwrap();
    assert_eq!(out.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
    assert_eq!(store.get(&key("a"), 100).unwrap(), [0; 100]);
}

#[test]
fn half_a_delete_deletes_half() {
    let store = store(FaultPlan::none().nth(Operation::Delete, 0, Fault::Half(Failure::Unavailable)));
    let keys = ["a", "b", "c", "d"].map(key);
    for key in &keys {
        store.put(key, one()).unwrap();
    }
    store.delete(&keys).unwrap_err();
    assert_eq!(store.inner().keys(), keys[2..]);
    store.delete(&keys).unwrap();
    assert!(store.inner().keys().is_empty());
}

#[test]
fn chance_depends_on_the_seed_only() {
    let run = |seed| {
        let store = store(FaultPlan::new(seed).chance(Some(Operation::Put), 300, DOWN));
        (0..1_000).map(|n| store.put(&key(&format!("{n}")), one()).is_err()).collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    let struck = run(3).iter().filter(|it| **it).count();
    assert!((200..400).contains(&struck), "{struck} of 1,000 at 300 thousandths");
    let reads = store(FaultPlan::new(1).chance(Some(Operation::Put), 1_000, DOWN));
    assert!(reads.list("", None, 1).is_ok());
    assert!(store(FaultPlan::new(1).chance(None, 1_000, DOWN)).list("", None, 1).is_err());
}

#[test]
fn a_hook_sees_each_request_before_and_after() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let store = store(FaultPlan::none().fail_at(1, DOWN)).with_hook(move |request| {
        log.lock().unwrap().push((request.step, request.operation, request.key.to_owned(), request.moment));
    });
    store.put(&key("a"), one()).unwrap();
    store.head(&key("a")).unwrap_err();
    let expected = [
        (0, Operation::Put, "a".to_owned(), Moment::Before),
        (0, Operation::Put, "a".to_owned(), Moment::After),
        (1, Operation::Head, "a".to_owned(), Moment::Before),
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}
