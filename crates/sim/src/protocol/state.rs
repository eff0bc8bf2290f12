//! One state of the model: the bucket, and where each actor stands.
//!
//! Actors clear what they no longer need, so that states which differ only in the past are one. Must hold plain bytes
//! only: a state is copied and hashed a million times.

use super::forger::Forger;
use super::forgetter::Forgetter;
use super::holder::Holder;
use super::pruner::Pruner;
use super::reader::Reader;
use super::rotator::Rotator;
use super::store::Store;
use super::writer::Writer;

/// How many writers a scenario may have.
pub const WRITERS: usize = 4;

/// The bucket and all actors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The bucket.
    pub store: Store,
    /// The runs of `backup`.
    pub writers: [Writer; WRITERS],
    /// The runs of `prune`.
    pub pruners: [Pruner; 2],
    /// The runs of `forget`.
    pub forgetters: [Forgetter; 2],
    /// The runs of `restore`.
    pub readers: [Reader; 2],
    /// The person with `hold`.
    pub holder: Holder,
    /// The person who rotates the key.
    pub rotator: Rotator,
    /// Somebody who makes a list up.
    pub forger: Forger,
}

impl State {
    /// Whether every actor has ended, one way or another.
    pub fn is_quiet(&self) -> bool {
        self.writers.iter().all(Writer::is_over)
            && self.pruners.iter().all(Pruner::is_over)
            && self.forgetters.iter().all(Forgetter::is_over)
            && self.readers.iter().all(Reader::is_over)
            && self.holder.is_over()
            && self.rotator.is_over()
            && self.forger.is_over()
    }
}
