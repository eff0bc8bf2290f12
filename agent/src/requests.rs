//! The memory that callers may make this process hold, beside the arena of data: messages that arrive, operations that wait, answers that
//! nobody has read yet.
//!
//! Every byte of these is counted on somebody's account before it is kept, and given back by drop. Over the limit a caller is refused, told when
//! to try again, and nobody else notices.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::errors::AgentError;
use crate::shares::{Holder, Pool, Shares};

/// The budget; clones share it.
#[derive(Debug, Clone)]
pub struct RequestBudget(Arc<Budget>);

#[derive(Debug)]
struct Budget {
    shares: Mutex<Shares<Holder>>,
    returned: Notify,
}

/// Bytes on somebody's account. They go back by drop.
#[derive(Debug)]
pub struct Permit {
    budget: RequestBudget,
    who: Holder,
    bytes: u64,
}

impl RequestBudget {
    /// Up to `bytes` for all callers; a quarter is set aside for the controller.
    pub fn of(bytes: u64) -> RequestBudget {
        let pool = Pool { size: bytes, reserve: bytes / 4 };
        RequestBudget(Arc::new(Budget { shares: Mutex::new(Shares::new(pool)), returned: Notify::new() }))
    }

    /// Counts `bytes` of `what` on the account of `who`.
    ///
    /// # Errors
    /// [`AgentError::Full`] where that account is full.
    pub fn take(&self, who: &Holder, bytes: u64, what: &str) -> Result<Permit, AgentError> {
        self.try_take(who, bytes).ok_or_else(|| self.full(who, bytes, what))
    }

    /// As [`RequestBudget::take`], leaving a sixteenth of all there is on that account: so a caller whose operations fill it can still look at
    /// them and cancel them.
    ///
    /// # Errors
    /// [`AgentError::Full`].
    pub fn take_leaving_some(&self, who: &Holder, bytes: u64, what: &str) -> Result<Permit, AgentError> {
        let spare = self.lock().pool().size / 16;
        let mut permit = self.take(who, bytes + spare, what)?;
        permit.shrink(bytes);
        Ok(permit)
    }

    /// Waits until `bytes` fit on the account of `who`. What is larger than half of all there is counts as that.
    pub async fn take_patiently(&self, who: &Holder, bytes: u64) -> Permit {
        loop {
            let returned = self.0.returned.notified();
            tokio::pin!(returned);
            // Whoever gives back between the look and the wait is heard.
            returned.as_mut().enable();
            let most = self.most(who).max(1);
            if let Some(permit) = self.try_take(who, bytes.min(most)) {
                return permit;
            }
            returned.await;
        }
    }

    /// Counts bytes that are there already.
    pub fn take_anyway(&self, who: &Holder, bytes: u64) -> Permit {
        self.lock().take_anyway(who, who.is_controller(), bytes);
        Permit { budget: self.clone(), who: who.clone(), bytes }
    }

    /// Bytes that are counted now.
    pub fn in_use(&self) -> u64 {
        self.lock().all()
    }

    fn try_take(&self, who: &Holder, bytes: u64) -> Option<Permit> {
        let taken = self.lock().take(who, who.is_controller(), bytes);
        taken.then(|| Permit { budget: self.clone(), who: who.clone(), bytes })
    }

    /// The most that one thing may count: half of what an account has while nobody else has anything.
    fn most(&self, who: &Holder) -> u64 {
        let pool = self.lock().pool();
        (pool.size - if who.is_controller() { 0 } else { pool.reserve }) / 2
    }

    fn full(&self, who: &Holder, bytes: u64, what: &str) -> AgentError {
        let shares = self.lock();
        let (own, all, size) = (shares.held_by(who), shares.all(), shares.pool().size);
        AgentError::Full(format!(
            "{what} of {bytes} bytes finds no room: {who} holds {own} bytes of requests, all callers {all} of {size}; try again when some have ended"
        ))
    }

    fn lock(&self) -> MutexGuard<'_, Shares<Holder>> {
        self.0.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Counts `bytes` more.
    ///
    /// # Errors
    /// [`AgentError::Full`]; what was counted before stays so.
    pub fn grow(&mut self, bytes: u64, what: &str) -> Result<(), AgentError> {
        let taken = self.budget.lock().take(&self.who, self.who.is_controller(), bytes);
        if !taken {
            return Err(self.budget.full(&self.who, bytes, what));
        }
        self.bytes += bytes;
        Ok(())
    }

    /// Counts no more than `bytes` from now on.
    pub fn shrink(&mut self, bytes: u64) {
        let less = self.bytes.saturating_sub(bytes);
        self.bytes -= less;
        self.budget.lock().give_back(&self.who, self.who.is_controller(), less);
        self.budget.0.returned.notify_waiters();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.lock().give_back(&self.who, self.who.is_controller(), self.bytes);
        self.budget.0.returned.notify_waiters();
    }
}

/// Bytes that count on an account until the last clone is gone.
pub fn counted(bytes: Bytes, permit: Arc<Permit>) -> Bytes {
    struct Owned {
        bytes: Bytes,
        _permit: Arc<Permit>,
    }
    impl AsRef<[u8]> for Owned {
        fn as_ref(&self) -> &[u8] {
            &self.bytes
        }
    }
    Bytes::from_owner(Owned { bytes, _permit: permit })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn team(name: &str) -> Holder {
        Holder::Team(name.parse().unwrap())
    }

    #[test]
    fn one_caller_that_takes_what_it_can_leaves_room_for_others_and_the_controller() {
        let budget = RequestBudget::of(1_000);
        let mut held = Vec::new();
        while let Ok(permit) = budget.take(&team("a"), 10, "a message") {
            held.push(permit);
        }
        let error = budget.take(&team("a"), 10, "a message").unwrap_err();
        assert_eq!(error.code(), tonic::Code::ResourceExhausted);
        assert!(error.to_string().contains("team a holds 380 bytes"), "{error}");
        let _other = budget.take(&team("b"), 300, "a message").unwrap();
        let _controller = budget.take(&Holder::Controller, 250, "a message").unwrap();
        held.clear();
        assert!(budget.take(&team("a"), 10, "a message").is_ok());
    }

    #[test]
    fn bytes_count_until_their_last_clone_is_gone() {
        let budget = RequestBudget::of(1_000);
        let permit = Arc::new(budget.take(&team("a"), 100, "an answer").unwrap());
        let first = counted(Bytes::from_static(b"answer"), permit);
        let second = first.slice(2..);
        drop(first);
        assert_eq!((budget.in_use(), &second[..]), (100, &b"swer"[..]));
        drop(second);
        assert_eq!(budget.in_use(), 0);
    }

    #[tokio::test]
    async fn who_is_patient_is_served_when_something_comes_back() {
        let budget = RequestBudget::of(1_000);
        let held = budget.take(&team("a"), 375, "an answer").unwrap();
        let waiting = {
            let budget = budget.clone();
            tokio::spawn(async move { budget.take_patiently(&team("a"), 5_000).await.bytes })
        };
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(held);
        assert_eq!(waiting.await.unwrap(), 375, "what is too large counts as half of what there is");
    }
}
