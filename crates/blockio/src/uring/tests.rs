//! Who owns the memory, and when: with a pipe for a device, so that a read takes exactly as long as the test wants.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use nix::fcntl::{FcntlArg, OFlag};
use nix::sys::eventfd::EventFd;
use nix::unistd::pipe;

use super::flights::{Flights, Submitted};
use super::kernel_ring::KernelRing;
use super::reactor::Reactor;
use super::{Order, Ring, UringError};
use crate::arena::Arena;
use crate::handle::{Access, Handle};
use crate::read_batch::ReadBatch;

const PAGE: usize = 4096;
const ARENA_BYTES: usize = 4 << 20;

/// A "device" that answers a read when something is written to the other end.
struct SlowDevice {
    file: Arc<Handle>,
    answers: File,
}

impl SlowDevice {
    fn new() -> Self {
        let (read, write) = pipe().unwrap();
        nix::fcntl::fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        Self { file: handle(read.into()), answers: write.into() }
    }

    fn answer(&mut self, pages: usize) {
        self.answers.write_all(&vec![7; pages * PAGE]).unwrap();
    }

    /// Answers one page, if the pipe has room for it.
    fn try_answer(&mut self) {
        if let Err(error) = self.answers.write_all(&[7; PAGE]) {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
        }
    }
}

fn handle(file: File) -> Arc<Handle> {
    Arc::new(Handle::new("test".as_ref(), Access::Image { buffered: file, direct: None }))
}

/// A ring, or `None` with a word about it where the machine has no io_uring.
fn try_ring(arena: &Arc<Arena>) -> Option<Arc<Ring>> {
    match Ring::start(arena) {
        Ok(ring) => Some(ring),
        Err(error @ (UringError::Forbidden { .. } | UringError::Missing { .. })) => {
            eprintln!("SKIPPED: {error}");
            None
        }
        Err(error) => panic!("{error:?}"),
    }
}

fn arena() -> Arc<Arena> {
    Arena::new(ARENA_BYTES).unwrap()
}

/// `pages` pages that are apart in the volume, so that each is a request of its own.
fn scattered(arena: &Arc<Arena>, pages: usize) -> ReadBatch {
    let mut batch = ReadBatch::new(arena.alloc(pages * PAGE).unwrap());
    for page in 0..pages {
        batch.push((2 * page * PAGE) as u64, PAGE).unwrap();
    }
    assert_eq!(batch.pieces().len(), pages);
    batch
}

/// Returns when every buffer is back. A buffer that never comes back makes the test hang, and be found.
fn until_all_is_back(arena: &Arc<Arena>) {
    drop(arena.alloc(ARENA_BYTES).unwrap());
}

#[test]
fn a_batch_comes_back_with_its_bytes() {
    let arena = arena();
    let Some(ring) = try_ring(&arena) else { return };
    let mut device = SlowDevice::new();
    let started = ring.start_read(&device.file, scattered(&arena, 3));
    device.answer(3);
    let batch = started.wait().unwrap();
    assert!(batch.pieces().iter().all(|piece| piece.is_read) && batch.bytes() == [7; 3 * PAGE]);
}

#[test]
fn the_buffer_of_a_read_that_nobody_waits_for_stays_with_the_ring_until_it_is_over() {
    let arena = arena();
    let Some(ring) = try_ring(&arena) else { return };
    let mut device = SlowDevice::new();
    let given_up = ring.start_read(&device.file, scattered(&arena, 1));
    let stale = arena.in_use_bytes();
    drop(given_up);
    // Another batch goes all the way round meanwhile, so the ring's thread had its chance to let go of the first.
    let mut quick = SlowDevice::new();
    quick.answer(1);
    drop(ring.start_read(&quick.file, scattered(&arena, 1)).wait().unwrap());
    assert_eq!(arena.in_use_bytes(), stale, "the kernel may still write to it");
    device.answer(1);
    until_all_is_back(&arena);
}

#[test]
fn a_worker_that_panics_leaves_its_buffer_to_the_ring() {
    let arena = arena();
    let Some(ring) = try_ring(&arena) else { return };
    let mut device = SlowDevice::new();
    let worker = || {
        let _started = ring.start_read(&device.file, scattered(&arena, 2));
        panic!("a worker's bug");
    };
    catch_unwind(AssertUnwindSafe(worker)).unwrap_err();
    assert_eq!(arena.in_use_bytes(), 2 * PAGE);
    device.answer(2);
    until_all_is_back(&arena);
}

#[test]
fn the_end_of_the_ring_waits_for_what_is_in_flight() {
    let arena = arena();
    let Some(ring) = try_ring(&arena) else { return };
    let mut device = SlowDevice::new();
    // More than are ever in flight at once: some are with the kernel, some wait behind the queue depth.
    let given_up = ring.start_read(&device.file, scattered(&arena, 300));
    let (ended, has_ended) = sync_channel(1);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            drop(given_up);
            drop(ring);
            ended.send(arena.in_use_bytes()).unwrap();
        });
        assert!(has_ended.try_recv().is_err(), "reads are in flight");
        // Answers until it ends, which takes one page for each that is in flight.
        let in_use = loop {
            match has_ended.try_recv() {
                Ok(in_use) => break in_use,
                Err(_) => device.try_answer(),
            }
        };
        assert_eq!(in_use, 0, "all is back when the end returns");
    });
}

#[test]
fn what_still_waits_at_the_end_is_never_read() {
    let arena = arena();
    let Ok(ring) = KernelRing::new() else { return };
    let device = SlowDevice::new();
    let bell = Arc::new(EventFd::new().unwrap());
    let (orders, received) = sync_channel(1);
    let (result, batch) = sync_channel(1);
    orders.send(Order { batch: scattered(&arena, 3), file: Arc::clone(&device.file), result }).unwrap();
    drop(orders);
    // Nobody ever answers, so this returns only if nothing was asked.
    Reactor::new(Flights::new(ring, Arc::clone(&arena)), received, bell).run().unwrap();
    assert!(batch.recv().is_err());
    assert_eq!(arena.in_use_bytes(), 0);
}

#[test]
fn memory_that_the_kernel_may_still_write_to_is_never_freed() {
    let arena = arena();
    let Ok(ring) = KernelRing::new() else { return };
    let mut flights = Flights::new(ring, Arc::clone(&arena));
    let mut device = SlowDevice::new();
    let order = |batch| {
        let (result, received) = sync_channel(1);
        (Order { batch, file: Arc::clone(&device.file), result }, received)
    };
    let (first, first_result) = order(scattered(&arena, 1));
    let (second, second_result) = order(scattered(&arena, 1));
    let in_flight = flights.add(first);
    flights.add(second);
    assert_eq!(flights.submit_next(in_flight).unwrap(), Submitted::All);
    flights.ring().submit_and_wait(0, None).unwrap();
    // As when the thread panics.
    drop(flights);
    assert!(first_result.recv().is_err() && second_result.recv().is_err(), "whoever waits is told");
    assert_eq!(arena.in_use_bytes(), PAGE, "only the one in flight is kept");
    device.answer(1);
    assert_eq!(arena.in_use_bytes(), PAGE, "for good");
}

#[test]
fn a_request_that_fails_hurts_no_other() {
    let arena = arena();
    let Some(ring) = try_ring(&arena) else { return };
    let mut device = SlowDevice::new();
    let directory = tempfile::tempdir().unwrap();
    // Not open for reading: every read of it fails.
    let broken = handle(File::create(directory.path().join("broken")).unwrap());
    let slow = ring.start_read(&device.file, scattered(&arena, 2));
    let failed = ring.start_read(&broken, scattered(&arena, 2)).wait().unwrap();
    assert!(failed.pieces().iter().all(|piece| !piece.is_read), "left to whoever finishes it");
    device.answer(2);
    assert!(slow.wait().unwrap().pieces().iter().all(|piece| piece.is_read));
}

#[test]
fn a_short_read_does_not_count() {
    let arena = arena();
    let Some(ring) = try_ring(&arena) else { return };
    let mut device = SlowDevice::new();
    let started = ring.start_read(&device.file, scattered(&arena, 1));
    device.answers.write_all(&[7; PAGE - 1]).unwrap();
    assert!(!started.wait().unwrap().pieces()[0].is_read);
}

#[test]
fn more_requests_than_the_queue_is_deep_all_complete() {
    let arena = arena();
    let Some(ring) = try_ring(&arena) else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("image");
    let contents: Vec<u8> = (0..1000 * PAGE).map(|at| (at / PAGE) as u8).collect();
    std::fs::write(&path, &contents).unwrap();
    let file = handle(File::open(path).unwrap());
    let batches: Vec<_> = (0..2).map(|_| ring.start_read(&file, scattered(&arena, 500))).collect();
    for started in batches {
        let batch = started.wait().unwrap();
        assert!(batch.pieces().iter().all(|piece| piece.is_read));
        for (page, bytes) in batch.bytes().chunks(PAGE).enumerate() {
            assert!(bytes.iter().all(|byte| *byte == (2 * page) as u8), "page {page}");
        }
    }
    until_all_is_back(&arena);
}

#[test]
fn a_batch_without_ranges_and_one_of_another_arena_come_back_too() {
    let (arena, other) = (arena(), arena());
    let Some(ring) = try_ring(&arena) else { return };
    let mut device = SlowDevice::new();
    let empty = ReadBatch::new(arena.alloc(PAGE).unwrap());
    assert!(ring.start_read(&device.file, empty).wait().unwrap().bytes().is_empty());
    let started = ring.start_read(&device.file, scattered(&other, 1));
    device.answer(1);
    assert_eq!(started.wait().unwrap().bytes(), [7; PAGE]);
}
