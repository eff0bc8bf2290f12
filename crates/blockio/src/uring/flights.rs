//! What the kernel is writing to: every batch with a request in flight, kept here until its last completion.
//!
//! This is the place where rule 2 of the contract in `uring.rs` is kept. A batch comes in by value, its memory is
//! given to the kernel piece by piece, and it goes out only when no piece is in flight. It must never let go of a batch
//! earlier, in whatever way this value ends: then its memory is leaked, which is safe, instead of freed, which is not.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::sync::Arc;

use super::kernel_ring::{Completion, KernelRing, ReadMemory};
use super::order::Order;
use super::registered::Registered;
use crate::arena::Arena;

/// The ring and the batches that it owns.
pub(super) struct Flights {
    // Before the arena, whose memory is registered with it.
    ring: KernelRing,
    registered: Registered,
    arena: Arc<Arena>,
    orders: Vec<Option<Flight>>,
    in_flight: u32,
}

/// One batch.
struct Flight {
    order: Order,
    /// The piece to submit next.
    next_piece: usize,
    /// Pieces that the kernel has.
    in_flight: u32,
    slot: Option<u16>,
}

/// Names a batch in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FlightKey(u32);

/// What is left to submit of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Submitted {
    /// There are more pieces.
    Some,
    /// Nothing is left; the batch leaves when the last piece completes, or now if none is in flight.
    All,
}

/// A read that completed.
pub(super) struct Landed {
    /// Bytes that were read.
    pub(super) bytes: u64,
    /// The batch, if that was all of it.
    pub(super) order: Option<Order>,
}

impl Flights {
    pub(super) fn new(ring: KernelRing, arena: Arc<Arena>) -> Self {
        Self { ring, registered: Registered::default(), arena, orders: Vec::new(), in_flight: 0 }
    }

    /// Requests that the kernel has.
    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    pub(super) fn ring(&mut self) -> &mut KernelRing {
        &mut self.ring
    }

    /// Takes a batch over. Nothing is submitted yet.
    pub(super) fn add(&mut self, order: Order) -> FlightKey {
        let slot = self.registered_slot(&order);
        let flight = Flight { order, next_piece: 0, in_flight: 0, slot };
        let free = self.orders.iter().position(Option::is_none);
        let index = free.unwrap_or_else(|| {
            self.orders.push(None);
            self.orders.len() - 1
        });
        self.orders[index] = Some(flight);
        FlightKey(u32::try_from(index).expect("the table holds a few hundred batches"))
    }

    /// Queues the next piece that direct I/O can take as it is. The others are left to whoever finishes the batch.
    pub(super) fn submit_next(&mut self, key: FlightKey) -> io::Result<Submitted> {
        let Some(flight) = self.orders.get_mut(key.0 as usize).and_then(Option::as_mut) else {
            return Ok(Submitted::All);
        };
        while let Some(piece) = flight.order.batch.pieces().get(flight.next_piece) {
            let number = flight.next_piece;
            let start = flight.order.batch.buf().pointer(piece.place.start);
            let file = flight.order.file.whole_read(piece.offset, start.as_ptr().addr(), piece.len_bytes());
            let (Some(file), Ok(len_bytes)) = (file, u32::try_from(piece.len_bytes())) else {
                flight.next_piece += 1;
                continue;
            };
            let memory = ReadMemory { start, len_bytes, slot: flight.slot };
            // SAFETY: the memory is a part of the batch's buffer, the file a part of its handle. Both stay in the table,
            // where nobody touches them, until `land` saw the completion of every piece, or are leaked.
            unsafe { self.ring.push_read(file, piece.offset, memory, user_data(key, number)) }?;
            flight.next_piece += 1;
            flight.in_flight += 1;
            self.in_flight += 1;
            // Told at once: the batch may land before the next call, and its key then means another batch.
            return Ok(if flight.is_submitted() { Submitted::All } else { Submitted::Some });
        }
        Ok(Submitted::All)
    }

    /// Takes a batch back of which nothing is in flight; `None` if there is.
    pub(super) fn take_idle(&mut self, key: FlightKey) -> Option<Order> {
        let place = self.orders.get_mut(key.0 as usize)?;
        let idle = place.as_ref().is_some_and(|flight| flight.in_flight == 0);
        if idle { place.take().map(|flight| flight.order) } else { None }
    }

    /// Submits no more of a batch. Returns it if nothing of it is in flight; else it leaves when it lands.
    pub(super) fn abandon(&mut self, key: FlightKey) -> Option<Order> {
        if let Some(flight) = self.orders.get_mut(key.0 as usize).and_then(Option::as_mut) {
            flight.next_piece = flight.order.batch.pieces().len();
        }
        self.take_idle(key)
    }

    /// Books the completion of a read.
    pub(super) fn land(&mut self, completion: Completion) -> Landed {
        let (index, number) = parts(completion.user_data);
        let nothing = Landed { bytes: 0, order: None };
        let Some(flight) = self.orders.get_mut(index).and_then(Option::as_mut) else { return nothing };
        let Some(piece) = flight.order.batch.pieces().get(number) else { return nothing };
        let wanted = piece.len_bytes() as u64;
        let bytes = u64::try_from(completion.result).unwrap_or(0);
        if bytes == wanted {
            flight.order.batch.mark_read(number);
        }
        flight.in_flight -= 1;
        self.in_flight -= 1;
        let is_last = flight.in_flight == 0 && flight.is_submitted();
        let order = if is_last { self.orders[index].take().map(|flight| flight.order) } else { None };
        Landed { bytes, order }
    }

    fn registered_slot(&mut self, order: &Order) -> Option<u16> {
        let (offset_bytes, capacity_bytes) = self.arena.range_of(order.batch.buf())?;
        let (ring, arena) = (&self.ring, &self.arena);
        self.registered.slot_for(offset_bytes, capacity_bytes, |slot| {
            // SAFETY: the range is a buffer's, so it lies in the arena's mapping, which this value keeps longer than
            // the ring.
            unsafe { ring.register(slot, arena.pointer(offset_bytes), capacity_bytes) }.is_ok()
        })
    }
}

impl Flight {
    fn is_submitted(&self) -> bool {
        self.next_piece >= self.order.batch.pieces().len()
    }
}

impl Drop for Flights {
    /// Closing a ring does not wait for its requests. What is in flight still, because the ring failed or this thread
    /// panics, stays allocated for good; who waits for it is told by the channel that closes.
    fn drop(&mut self) {
        for flight in self.orders.iter_mut().filter_map(Option::take) {
            let Order { batch, file, result } = flight.order;
            drop(result);
            if flight.in_flight > 0 {
                mem::forget((batch, file));
            }
        }
    }
}

fn user_data(key: FlightKey, piece: usize) -> u64 {
    u64::from(key.0) << 32 | (piece as u64 & u64::from(u32::MAX))
}

fn parts(user_data: u64) -> (usize, usize) {
    ((user_data >> 32) as usize, (user_data & u64::from(u32::MAX)) as usize)
}
