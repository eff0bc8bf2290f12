//! What the arena promises, small enough for Miri.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use bytes::Bytes;

use crate::arena::Arena;
use crate::error::ArenaError;

const PAGE: usize = 4096;
const GRANULE: usize = 64 * 1024;

/// Spins until `count` requests are blocked; ends because the caller has started that many.
fn until_waiting(arena: &Arena, count: usize) {
    while arena.waiting_requests() != count {
        thread::yield_now();
    }
}

/// A small generator, so that a failing run can be repeated.
fn next_random(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 33) as usize
}

#[test]
fn lengths_are_kept_and_rounded_up_for_the_budget() {
    let arena = Arena::new(4 * GRANULE + 5).unwrap();
    assert_eq!(arena.budget_bytes(), 4 * GRANULE);
    let check = |len: usize, capacity: usize| {
        let buf = arena.alloc(len).unwrap();
        assert_eq!((buf.len(), buf.capacity_bytes(), arena.in_use_bytes()), (len, capacity, capacity));
        assert_eq!(buf.as_ptr().addr() % PAGE, 0);
    };
    check(0, PAGE);
    check(1, PAGE);
    check(PAGE, PAGE);
    check(PAGE + 1, 2 * PAGE);
    check(GRANULE, GRANULE);
    check(GRANULE + 1, 2 * GRANULE);
    check(4 * GRANULE, 4 * GRANULE);
    assert_eq!((arena.in_use_bytes(), arena.peak_bytes()), (0, 4 * GRANULE));
}

#[test]
fn rounding_never_makes_a_request_exceed_the_budget() {
    let arena = Arena::new(GRANULE + PAGE).unwrap();
    assert_eq!(arena.alloc(GRANULE + 1).unwrap().capacity_bytes(), GRANULE + PAGE);
}

#[test]
fn fresh_memory_is_initialised_and_truncate_keeps_the_beginning() {
    let arena = Arena::new(2 * PAGE).unwrap();
    let mut buf = arena.alloc(PAGE + 10).unwrap();
    assert!(buf.iter().all(|byte| *byte == 0));
    buf.fill(7);
    buf[0] = 8;
    buf.truncate(3);
    assert_eq!(*buf, [8, 7, 7]);
    buf.truncate(PAGE);
    assert_eq!((buf.len(), buf.capacity_bytes()), (3, 2 * PAGE));
}

#[test]
fn what_can_never_be_served_is_an_error() {
    assert!(matches!(Arena::new(PAGE - 1), Err(ArenaError::Budget { budget_bytes: 4095 })));
    let arena = Arena::new(PAGE).unwrap();
    let error = arena.alloc(PAGE + 1).unwrap_err();
    assert!(matches!(error, ArenaError::TooLarge { len_bytes: 4097, budget_bytes: 4096 }));
    assert!(matches!(arena.alloc(usize::MAX), Err(ArenaError::TooLarge { .. })));
    assert!(arena.alloc_cancellable(PAGE + 1, &AtomicBool::new(false)).is_err());
    assert!(arena.try_alloc(PAGE + 1).is_none());
}

#[test]
fn freed_memory_is_used_again_before_untouched_memory() {
    let arena = Arena::new(8 * GRANULE).unwrap();
    let check = |len: usize| {
        let first = arena.alloc(len).unwrap().as_ptr().addr();
        assert_eq!(arena.alloc(len).unwrap().as_ptr().addr(), first);
    };
    check(PAGE);
    check(2 * GRANULE);
}

#[test]
fn long_lived_small_buffers_leave_room_for_a_large_one() {
    let arena = Arena::new(4 * GRANULE).unwrap();
    let first = arena.alloc(2 * GRANULE).unwrap();
    let _small = arena.alloc(PAGE).unwrap();
    drop(first);
    assert!(arena.try_alloc(3 * GRANULE).is_some(), "the small buffer lies in the middle");
}

#[test]
fn bytes_share_the_memory_and_the_last_clone_returns_it() {
    let arena = Arena::new(PAGE).unwrap();
    let mut buf = arena.alloc(5).unwrap();
    buf.copy_from_slice(b"hello");
    let address = buf.as_ptr();
    let bytes = Bytes::from_owner(buf);
    let slice = bytes.slice(1..3);
    assert_eq!((bytes.as_ptr(), &slice[..]), (address, &b"el"[..]));
    drop(bytes);
    assert_eq!(arena.in_use_bytes(), PAGE);
    drop(slice);
    assert_eq!(arena.in_use_bytes(), 0);
}

#[test]
fn a_buffer_outlives_the_callers_arena() {
    let mut buf = Arena::new(PAGE).unwrap().alloc(PAGE).unwrap();
    buf.fill(9);
    let bytes = buf.into_bytes();
    assert!(thread::spawn(move || bytes.iter().all(|byte| *byte == 9)).join().unwrap());
}

#[test]
fn a_panic_returns_the_buffers_it_unwinds_through() {
    let arena = Arena::new(PAGE).unwrap();
    let inner = Arc::clone(&arena);
    let result = thread::spawn(move || {
        let _buf = inner.alloc(1).unwrap();
        panic!("on purpose");
    })
    .join();
    assert!(result.is_err());
    assert_eq!(arena.in_use_bytes(), 0);
}

#[test]
fn a_full_arena_blocks_and_a_drop_wakes() {
    let arena = Arena::new(PAGE).unwrap();
    let held = arena.alloc(1).unwrap();
    assert!(arena.try_alloc(1).is_none());
    thread::scope(|scope| {
        let waiter = scope.spawn(|| arena.alloc(2).unwrap().len());
        until_waiting(&arena, 1);
        drop(held);
        assert_eq!(waiter.join().unwrap(), 2);
    });
}

#[test]
fn later_small_requests_do_not_overtake_a_large_one() {
    let arena = Arena::new(4 * PAGE).unwrap();
    let held = arena.alloc(PAGE).unwrap();
    let order = AtomicUsize::new(0);
    thread::scope(|scope| {
        let large = scope.spawn(|| {
            let _buf = arena.alloc(4 * PAGE).unwrap();
            order.fetch_add(1, Ordering::SeqCst)
        });
        until_waiting(&arena, 1);
        let small = scope.spawn(|| {
            let _buf = arena.alloc(1).unwrap();
            order.fetch_add(1, Ordering::SeqCst)
        });
        until_waiting(&arena, 2);
        assert!(arena.try_alloc(1).is_none(), "room is left, but somebody waits for it");
        drop(held);
        assert_eq!((large.join().unwrap(), small.join().unwrap()), (0, 1));
    });
}

#[test]
fn a_cancelled_request_gives_up_and_lets_the_next_one_go() {
    let arena = Arena::new(4 * PAGE).unwrap();
    let _held = arena.alloc(PAGE).unwrap();
    let cancelled = AtomicBool::new(false);
    thread::scope(|scope| {
        let large = scope.spawn(|| arena.alloc_cancellable(4 * PAGE, &cancelled).unwrap().is_none());
        until_waiting(&arena, 1);
        let small = scope.spawn(|| arena.alloc(1).unwrap().len());
        until_waiting(&arena, 2);
        arena.wake_all();
        assert_eq!(arena.waiting_requests(), 2, "waking without a reason changes nothing");
        cancelled.store(true, Ordering::Release);
        arena.wake_all();
        assert!(large.join().unwrap());
        assert_eq!(small.join().unwrap(), 1);
    });
    assert!(arena.alloc_cancellable(1, &cancelled).unwrap().is_none());
}

#[test]
fn threads_never_share_a_byte_nor_exceed_the_budget() {
    let rounds = if cfg!(miri) { 6 } else { 4000 };
    let budget_bytes = if cfg!(miri) { 2 * GRANULE } else { 16 * GRANULE };
    let arena = Arena::new(budget_bytes).unwrap();
    thread::scope(|scope| {
        for thread_number in 1..=4_u8 {
            let arena = &arena;
            scope.spawn(move || churn(arena, thread_number, rounds));
        }
    });
    assert_eq!((arena.in_use_bytes(), arena.waiting_requests()), (0, 0));
    assert!(arena.peak_bytes() <= budget_bytes);
    assert_eq!(arena.alloc(budget_bytes).unwrap().len(), budget_bytes, "everything coalesced again");
}

/// Keeps up to four buffers with a stamp of their own in every page, and finds each stamp untouched later. Blocks only
/// with empty hands, because it would wait for itself otherwise.
fn churn(arena: &Arc<Arena>, thread_number: u8, rounds: usize) {
    let mut random = u64::from(thread_number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut held = Vec::new();
    for round in 0..rounds as u64 {
        let len_max = if next_random(&mut random).is_multiple_of(4) { 2 * GRANULE } else { 2 * PAGE };
        let len = 8 + next_random(&mut random) % (len_max - 8);
        let fresh = if held.is_empty() { Some(arena.alloc(len).unwrap()) } else { arena.try_alloc(len) };
        if let Some(mut buf) = fresh {
            let stamp = (u64::from(thread_number) << 32 | round).to_le_bytes();
            buf.chunks_mut(PAGE).filter_map(<[u8]>::first_chunk_mut).for_each(|first| *first = stamp);
            held.push((stamp, buf));
        }
        assert!(arena.in_use_bytes() <= arena.budget_bytes());
        if held.len() == 4 || next_random(&mut random).is_multiple_of(3) {
            let (stamp, buf) = held.swap_remove(next_random(&mut random) % held.len());
            assert!(buf.chunks(PAGE).filter_map(<[u8]>::first_chunk).all(|first| *first == stamp));
        }
    }
}

/// Tells that it was dropped.
struct Told(Arc<AtomicUsize>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_permit_is_given_back_after_the_last_buffer() {
    let told = Arc::new(AtomicUsize::new(0));
    let arena = Arena::new_with_permit(GRANULE, Box::new(Told(told.clone()))).unwrap();
    let buf = arena.alloc(100).unwrap();
    let bytes = Bytes::from_owner(arena.alloc(7).unwrap()).slice(1..3);
    drop(arena);
    drop(buf);
    assert_eq!(told.load(Ordering::SeqCst), 0);
    drop(bytes);
    assert_eq!(told.load(Ordering::SeqCst), 1);
    assert!(Arena::new_with_permit(0, Box::new(Told(told.clone()))).is_err());
    assert_eq!(told.load(Ordering::SeqCst), 2);
}
