//! The arena's waiting line under every interleaving of its lock (`make interleavings`): nobody is forgotten, nobody is given what another has.
//!
//! Loom runs each body again and again, each time with other turns of the threads, and fails on a deadlock: a request that nobody wakes.
#![cfg(loom)]
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use coffer_blockio::Arena;
use loom::thread;

const PAGE: usize = 4096;

/// Explores `body`.
fn explore(body: impl Fn() + Sync + Send + 'static) {
    let tried = Arc::new(AtomicUsize::new(0));
    let count = tried.clone();
    loom::model(move || {
        count.fetch_add(1, Ordering::Relaxed);
        body();
    });
    let tried = tried.load(Ordering::Relaxed);
    println!("{tried} interleavings");
    assert!(tried > 10, "the threads never met");
}

/// Each thread writes its mark into what it holds and finds it there afterwards, so that two owners of one byte would be seen.
fn use_it(arena: &Arc<Arena>, pages: usize, mark: u8) {
    let mut buf = arena.alloc(pages * PAGE).unwrap();
    buf.fill(mark);
    thread::yield_now();
    assert!(buf.iter().all(|byte| *byte == mark));
    assert!(arena.in_use_bytes() <= arena.budget_bytes());
}

#[test]
fn everybody_is_served_in_the_end() {
    explore(|| {
        let arena = Arena::new(2 * PAGE).unwrap();
        let others: Vec<_> = [(2, 1), (1, 2)]
            .map(|(pages, mark)| {
                let arena = arena.clone();
                thread::spawn(move || use_it(&arena, pages, mark))
            })
            .into_iter()
            .collect();
        use_it(&arena, 2, 3);
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!((arena.in_use_bytes(), arena.waiting_requests()), (0, 0));
    });
}

#[test]
fn a_cancel_ends_a_wait_and_wakes_the_next_in_line() {
    explore(|| {
        let arena = Arena::new(2 * PAGE).unwrap();
        let held = arena.alloc(PAGE).unwrap();
        let cancelled = Arc::new(AtomicBool::new(false));
        let first = {
            let (arena, cancelled) = (arena.clone(), cancelled.clone());
            // Never fits while `held` lives.
            thread::spawn(move || arena.alloc_cancellable(2 * PAGE, &cancelled).unwrap().is_none())
        };
        let second = {
            let arena = arena.clone();
            thread::spawn(move || use_it(&arena, 1, 2))
        };
        cancelled.store(true, Ordering::Release);
        arena.wake_all();
        assert!(first.join().unwrap(), "given more than there is");
        second.join().unwrap();
        drop(held);
        assert_eq!((arena.in_use_bytes(), arena.waiting_requests()), (0, 0));
    });
}

#[test]
fn who_does_not_wait_never_overtakes_who_does() {
    explore(|| {
        let arena = Arena::new(2 * PAGE).unwrap();
        let held = arena.alloc(PAGE).unwrap();
        let waiting = {
            let arena = arena.clone();
            thread::spawn(move || use_it(&arena, 2, 1))
        };
        let tried = arena.try_alloc(PAGE);
        drop((tried, held));
        waiting.join().unwrap();
        assert_eq!((arena.in_use_bytes(), arena.waiting_requests()), (0, 0));
    });
}

/// Room for two comes back at once, and one wake has to do: who was served lets the next one try.
#[test]
fn who_is_served_wakes_the_next_in_line() {
    explore(|| {
        let arena = Arena::new(2 * PAGE).unwrap();
        let held = arena.alloc(2 * PAGE).unwrap();
        let [first, second] = [(), ()].map(|()| {
            let arena = arena.clone();
            thread::spawn(move || arena.alloc(PAGE).unwrap())
        });
        drop(held);
        // Both are kept until both were served.
        drop((first.join().unwrap(), second.join().unwrap()));
        assert_eq!((arena.in_use_bytes(), arena.waiting_requests()), (0, 0));
    });
}
