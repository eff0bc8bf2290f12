//! The io_uring read engine: one plain thread owns one ring, and all sources of the process share it.
//!
//! It pays where requests are many: the scattered blocks of a change list go down as one batch, and the next batch of a
//! worker is on its way meanwhile. A single large read gains nothing from a detour over another thread
//! (`docs/performance.md` has the figures), so those stay with `pread` unless all are asked for ([`RingUse`]), and
//! [`crate::BlockSource::read_exact_at`] of an io_uring source always is `pread`.
//!
//! # The way of a batch
//! 1. A worker fills a [`ReadBatch`] with ranges and calls `start_read`. The batch moves through a bounded channel to
//!    the ring's thread, and a bell (an eventfd that the ring polls) wakes that thread. If the channel is full or the
//!    thread is gone, the batch stays with the worker and is read with `pread` when it is finished.
//! 2. The thread submits as many pieces as the queue depth allows ([`depth`]), all at once, with registered memory where
//!    RLIMIT_MEMLOCK allows ([`registered`]).
//! 3. When the last piece is done the batch moves back through a channel of its own.
//! 4. `finish_read` waits for it. Pieces that were not read whole, for whatever reason (an error, a short read, a bad
//!    alignment, the end of the volume), are read again with `pread` by the waiting thread. So errors are those of
//!    `pread`, with offset and length, one bad range hurts only the batch it is in, and the ring's thread never blocks.
//!
//! # Who owns the memory
//! 1. The ring never sees memory that is only borrowed: a batch moves in by value and owns its [`Buf`](crate::Buf).
//! 2. From the first submission to the last completion the batch lies in the ring's table ([`flights`]), whatever its
//!    worker does meanwhile. A worker that gave up (error, cancel, panic) has dropped the receiving end; the batch then
//!    goes back to the arena from the ring's thread, after the last completion.
//! 3. The open file is kept in the same entry, so its number cannot come to mean another file.
//! 4. Dropping the last source or opener closes the channel and joins the thread. The thread submits nothing more, and
//!    waits for what is in flight: a drop takes as long as the slowest read, as `pread` would.
//! 5. Should the ring fail or its thread panic with reads in flight, their buffers are leaked: the kernel may write to
//!    them at any time later. The workers get [`crate::ReadError::EngineGone`].
//! 6. Registered memory is a part of the arena's one mapping, and the ring keeps the arena.
//!
//! Miri cannot run io_uring; what is pure here (`depth`, `registered`, `read_batch`) runs
//! under it. The hand-over is the standard library's channels, so there is no protocol of our own to put into loom, as there is in the arena.
//!
//! # Left out
//! SQPOLL and IOPOLL burn a processor. Registered files save an atomic increment per read and would add a table to keep
//! in step. Writes stay with `pwrite`: a restore writes 1 MiB at a time from several threads, for which a ring is not
//! worth its rules.

mod depth;
mod error;
mod flights;
mod kernel_ring;
mod order;
mod probe;
mod reactor;
mod registered;
mod source;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};

use nix::sys::eventfd::{EfdFlags, EventFd};

pub use error::UringError;
pub use source::{RingUse, UringSource};

use self::order::{Order, QUEUE_BATCHES};
use crate::arena::Arena;
use crate::handle::Handle;
use crate::read_batch::{ReadBatch, StartedRead};
use flights::Flights;
use kernel_ring::KernelRing;
use reactor::Reactor;

/// The way to the ring's thread. The last one to drop it ends the thread.
#[derive(Debug)]
pub struct Ring {
    /// `None` only while it is dropped.
    orders: Option<SyncSender<Order>>,
    bell: Arc<EventFd>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Ring {
    /// Starts the thread and tries everything out. Buffers of `arena` are registered as they are used.
    ///
    /// # Errors
    /// [`UringError`] if io_uring does not work here, for whatever reason.
    pub fn start(arena: &Arc<Arena>) -> Result<Arc<Self>, UringError> {
        let bell = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK);
        let bell = Arc::new(bell.map_err(|errno| UringError::failed("make an event")(errno.into()))?);
        let (orders, received) = sync_channel(QUEUE_BATCHES);
        let (tried, outcome) = sync_channel(1);
        let (arena, thread_bell) = (Arc::clone(arena), Arc::clone(&bell));
        // The ring is made by the thread that uses it; the kernel serves no other.
        let body = move || match set_up(arena, &thread_bell) {
            Ok(flights) => {
                // Whoever starts us waits for this.
                let _gone = tried.send(Ok(()));
                Reactor::new(flights, received, thread_bell).run()
            }
            Err(error) => {
                let _gone = tried.send(Err(error));
                Ok(())
            }
        };
        let thread = Builder::new().name("io-uring".to_owned()).spawn(body);
        let thread = thread.map_err(UringError::failed("start a thread"))?;
        let ring = Self { orders: Some(orders), bell, thread: Some(thread) };
        let panicked = || UringError::failed("try it out")(io::ErrorKind::Other.into());
        outcome.recv().map_err(|_| panicked())??;
        Ok(Arc::new(ring))
    }

    /// Hands a batch over, or gives it back as one that nobody has begun to read.
    pub(crate) fn start_read(&self, file: &Arc<Handle>, batch: ReadBatch) -> StartedRead {
        let (result, received) = sync_channel(1);
        let order = Order { batch, file: Arc::clone(file), result };
        let Some(orders) = &self.orders else { return StartedRead::deferred(order.batch) };
        match orders.try_send(order) {
            Ok(()) => {
                self.ring_bell();
                StartedRead::on_its_way(received)
            }
            Err(TrySendError::Full(order) | TrySendError::Disconnected(order)) => {
                StartedRead::deferred(order.batch)
            }
        }
    }

    fn ring_bell(&self) {
        // It fails only when its counter is full, and then it is ringing.
        let _is_ringing = self.bell.write(1);
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        drop(self.orders.take());
        self.ring_bell();
        if let Some(thread) = self.thread.take() {
            // Whether it failed or panicked is known to whoever waited for a batch; nobody else is hurt.
            let _ended = thread.join();
        }
    }
}

fn set_up(arena: Arc<Arena>, bell: &EventFd) -> Result<Flights, UringError> {
    let mut flights = Flights::new(KernelRing::new()?, Arc::clone(&arena));
    probe::try_out(&mut flights, &arena, bell)?;
    Ok(flights)
}
