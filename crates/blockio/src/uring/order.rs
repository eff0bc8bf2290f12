//! A read on its way to the reactor.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use crate::handle::Handle;
use crate::read_batch::ReadBatch;

/// Batches that may wait for the ring's thread. Each holds a buffer, so the arena is the limit before this is.
pub(super) const QUEUE_BATCHES: usize = 256;

/// A batch, the file it is to be read from, and where to send it then.
#[derive(Debug)]
pub(crate) struct Order {
    pub(super) batch: ReadBatch,
    pub(super) file: Arc<Handle>,
    pub(super) result: SyncSender<ReadBatch>,
}

impl Order {
    /// Gives the batch back to whoever waits for it; if nobody does, its buffer returns to the arena here.
    pub(super) fn send_back(self) {
        let _given_up = self.result.try_send(self.batch);
    }
}
