//! How many calls do at once what takes a thread, a disk or much memory: some of each team, some of all teams, and the controller by itself.
//!
//! Who has to wait waits behind few of another team's, however many that team sends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::shares::Holder;

/// Lets calls pass.
#[derive(Debug)]
pub struct Admission {
    controller: Arc<Semaphore>,
    teams: Arc<Semaphore>,
    each: usize,
    own: Mutex<HashMap<Holder, Weak<Semaphore>>>,
}

/// A call that has passed; the next passes by its drop.
#[derive(Debug)]
pub struct Passed {
    _all: OwnedSemaphorePermit,
    _own: Option<OwnedSemaphorePermit>,
}

/// How many may pass at once.
#[derive(Debug, Clone, Copy)]
pub struct Width {
    /// Of the controller.
    pub controller: usize,
    /// Of all teams together.
    pub teams: usize,
    /// Of one team.
    pub each: usize,
}

impl Admission {
    /// So many at once.
    pub fn new(width: Width) -> Admission {
        Admission {
            controller: Arc::new(Semaphore::new(width.controller)),
            teams: Arc::new(Semaphore::new(width.teams)),
            each: width.each,
            own: Mutex::default(),
        }
    }

    /// For what looks through all volumes of the node, which takes a list of them: one at a time, and one of the controller beside it.
    pub fn for_volumes() -> Admission {
        Admission::new(Width { controller: 1, teams: 1, each: 1 })
    }

    /// For what takes a thread that may wait for a disk.
    pub fn for_threads() -> Admission {
        Admission::new(Width { controller: 8, teams: 8, each: 4 })
    }

    /// Waits for its turn.
    pub async fn pass(&self, who: &Holder) -> Passed {
        if who.is_controller() {
            return Passed { _all: acquire(&self.controller).await, _own: None };
        }
        let own = acquire(&self.own(who)).await;
        Passed { _all: acquire(&self.teams).await, _own: Some(own) }
    }

    fn own(&self, who: &Holder) -> Arc<Semaphore> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.retain(|_, semaphore| semaphore.strong_count() > 0);
        if let Some(semaphore) = own.get(who).and_then(Weak::upgrade) {
            return semaphore;
        }
        let semaphore = Arc::new(Semaphore::new(self.each));
        own.insert(who.clone(), Arc::downgrade(&semaphore));
        semaphore
    }
}

async fn acquire(semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    Arc::clone(semaphore).acquire_owned().await.expect("it is never closed")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn who_comes_after_a_flood_waits_for_one_of_it_and_the_controller_for_none() {
        let admission = Arc::new(Admission::for_volumes());
        let team = |name: &str| Holder::Team(name.parse().unwrap());
        let first = admission.pass(&team("flood")).await;
        let passed = Arc::new(AtomicUsize::new(0));
        let flood: Vec<_> = (0..100)
            .map(|_| {
                let (admission, passed, who) = (admission.clone(), passed.clone(), team("flood"));
                tokio::spawn(async move {
                    let _passed = admission.pass(&who).await;
                    passed.fetch_add(1, Ordering::SeqCst);
                })
            })
            .collect();
        tokio::task::yield_now().await;
        admission.pass(&Holder::Controller).await;
        assert_eq!(passed.load(Ordering::SeqCst), 0);
        drop(first);
        admission.pass(&team("shop")).await;
        assert!(passed.load(Ordering::SeqCst) <= 1, "{} went first", passed.load(Ordering::SeqCst));
        for call in flood {
            call.await.unwrap();
        }
        admission.pass(&team("shop")).await;
        assert_eq!(admission.own.lock().unwrap().len(), 1, "nobody is remembered who is gone");
    }
}
