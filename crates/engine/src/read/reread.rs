//! A second look before a judgement: bytes that fail their check may have been hurt on the way, and lie whole in the store.
//!
//! What fails twice is damaged. Nothing here makes a check weaker: a value leaves it only after the whole check passed.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::EngineError;

/// Counts reads that were wrong at first and right when they were repeated.
#[derive(Debug, Default)]
pub(crate) struct Rereads(AtomicU64);

impl Rereads {
    /// What `read` gives; where it finds damage it is asked once more, and what it says then counts.
    pub(crate) fn reread_damage<T>(
        &self,
        mut read: impl FnMut() -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        match read() {
            Err(first) if first.is_damage() => {
                let value = read()?;
                self.note_recovery(&first);
                Ok(value)
            }
            other => other,
        }
    }

    /// Notes that what `first` speaks of was right when it was read again.
    pub(crate) fn note_recovery(&self, first: &EngineError) {
        tracing::warn!(
            error = %first,
            "an object was right when it was read again: the network or the memory on the way flips bits"
        );
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn damage() -> EngineError {
        EngineError::Damaged { volume: "a".into(), key: "k".into(), offset: 0, detail: "flipped".into() }
    }

    /// Reads, answers in turn, and what comes of it: the value, the count, and how often it was read.
    fn check(answers: Vec<Result<u8, EngineError>>) -> (Result<u8, EngineError>, u64, usize) {
        let (rereads, mut reads) = (Rereads::default(), 0);
        let mut answers = answers.into_iter();
        let result = rereads.reread_damage(|| {
            reads += 1;
            answers.next().expect("no third look")
        });
        (result, rereads.count(), reads)
    }

    #[test]
    fn only_damage_is_looked_at_again_and_only_once() {
        assert!(matches!(check(vec![Ok(1)]), (Ok(1), 0, 1)));
        assert!(matches!(check(vec![Err(damage()), Ok(2)]), (Ok(2), 1, 2)));
        let twice = check(vec![Err(damage()), Err(damage())]);
        assert!(matches!(twice, (Err(EngineError::Damaged { .. }), 0, 2)));
        let other = check(vec![Err(EngineError::Cancelled)]);
        assert!(matches!(other, (Err(EngineError::Cancelled), 0, 1)));
    }
}
