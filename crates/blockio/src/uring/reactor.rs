//! The ring's thread: takes batches in, keeps the right number of requests in flight, sends finished batches back.
//!
//! It must never read or write a file itself: what the ring cannot do is left to the thread that waits for the batch,
//! so that one slow or broken volume holds nobody else up. It ends when nobody can send to it any more and the kernel
//! has given back all memory.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use nix::sys::eventfd::EventFd;

use super::depth::Depth;
use super::flights::{FlightKey, Flights, Submitted};
use super::order::{Order, QUEUE_BATCHES};

/// With many requests in flight completions are worked off by the handful. None waits longer than this for others.
const PATIENCE: Duration = Duration::from_micros(250);
/// The most completions that are waited for at once.
const REAP_MOST: u32 = 8;

/// What the thread owns.
pub(super) struct Reactor {
    flights: Flights,
    orders: Receiver<Order>,
    bell: Arc<EventFd>,
    /// Batches with pieces that are not submitted, in order of arrival.
    backlog: VecDeque<FlightKey>,
    depth: Depth,
    started: Instant,
    is_closed: bool,
}

impl Reactor {
    pub(super) fn new(flights: Flights, orders: Receiver<Order>, bell: Arc<EventFd>) -> Self {
        Self {
            flights,
            orders,
            bell,
            backlog: VecDeque::new(),
            depth: Depth::new(),
            started: Instant::now(),
            is_closed: false,
        }
    }

    /// Works until everything is done. An error means that the ring cannot be used any more; what it has in flight is
    /// lost, and whoever waits for it learns that.
    pub(super) fn run(mut self) -> io::Result<()> {
        loop {
            self.take_orders();
            if self.is_closed && self.flights.in_flight() == 0 {
                return Ok(());
            }
            self.flights.ring().hang_bell(self.bell.as_ref())?;
            self.submit()?;
            let want = reap_at_least(self.flights.in_flight());
            self.flights.ring().submit_and_wait(want, (want > 1).then_some(PATIENCE))?;
            self.reap()?;
        }
    }

    fn take_orders(&mut self) {
        while self.backlog.len() < QUEUE_BATCHES {
            match self.orders.try_recv() {
                Ok(order) => {
                    let key = self.flights.add(order);
                    self.backlog.push_back(key);
                }
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => {
                    self.is_closed = true;
                    break;
                }
            }
        }
        if self.is_closed {
            // Nobody is left who could want these.
            for key in std::mem::take(&mut self.backlog) {
                drop(self.flights.abandon(key));
            }
        }
    }

    fn submit(&mut self) -> io::Result<()> {
        while let Some(key) = self.backlog.front().copied() {
            if self.flights.in_flight() >= self.depth.limit() {
                self.depth.held_back();
                break;
            }
            if self.flights.submit_next(key)? == Submitted::All {
                self.backlog.pop_front();
                if let Some(order) = self.flights.take_idle(key) {
                    order.send_back();
                }
            }
        }
        Ok(())
    }

    fn reap(&mut self) -> io::Result<()> {
        let now_ns = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        while let Some(completion) = self.flights.ring().reap()? {
            let landed = self.flights.land(completion);
            self.depth.completed(landed.bytes, now_ns);
            if let Some(order) = landed.order {
                order.send_back();
            }
        }
        Ok(())
    }
}

/// How many completions to wait for with `in_flight` requests in flight; one may be the bell's.
fn reap_at_least(in_flight: u32) -> usize {
    (in_flight / 8).clamp(1, REAP_MOST) as usize
}

#[cfg(test)]
mod tests {
    use super::reap_at_least;

    #[test]
    fn few_requests_are_never_made_to_wait_for_each_other() {
        for (in_flight, expected) in [(0, 1), (1, 1), (15, 1), (16, 2), (64, 8), (128, 8)] {
            assert_eq!(reap_at_least(in_flight), expected);
        }
    }
}
