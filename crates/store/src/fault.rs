//! A store that fails on purpose, in front of any other: refused requests, lost answers, damaged reads, death.
//!
//! The same plan and the same order of requests give the same faults. A fault must never make the store break the
//! port's rules, except where its name says so.

pub mod moment;
mod plan;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;

pub use self::moment::Moment;
use self::plan::Strike;
pub use self::plan::{Failure, Fault, FaultPlan};
use crate::counts::{Counters, RequestCounts};
use crate::error::StoreError;
use crate::key::Key;
use crate::port::{
    ListPage, ObjectInfo, ObjectStore, Operation, PartTag, PutOutcome, RequestShape, UploadId, UploadInfo,
};

/// A request on its way to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request<'a> {
    /// Its number among all requests through this value, from 0.
    pub step: u64,
    /// Its kind.
    pub operation: Operation,
    /// The key or prefix it is about; the first key of a delete; empty for the clock.
    pub key: &'a str,
    /// Whether the store has seen it.
    pub moment: Moment,
}

type Hook = Arc<dyn Fn(&Request<'_>) + Send + Sync>;

/// Counts the requests to `S` as steps and fails those that its plan names.
pub struct FaultStore<S> {
    inner: S,
    plan: Mutex<FaultPlan>,
    hook: Option<Hook>,
    step: AtomicU64,
    struck: AtomicU64,
    counters: Counters,
}

impl<S: ObjectStore> FaultStore<S> {
    /// Puts `plan` in front of `inner`.
    pub fn new(inner: S, plan: FaultPlan) -> Self {
        Self {
            inner,
            plan: Mutex::new(plan),
            hook: None,
            step: AtomicU64::new(0),
            struck: AtomicU64::new(0),
            counters: Counters::default(),
        }
    }

    /// Calls `hook` before and after each request, on the caller's thread: it may wait, or panic to play a crash.
    #[must_use]
    pub fn with_hook(mut self, hook: impl Fn(&Request<'_>) + Send + Sync + 'static) -> Self {
        self.hook = Some(Arc::new(hook));
        self
    }

    /// The store behind, without faults.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// How many requests were made: the steps that a plan can name are below this.
    pub fn steps(&self) -> u64 {
        self.step.load(Ordering::SeqCst)
    }

    /// How many requests a fault has struck. A test that expects faults looks whether there were any.
    pub fn struck(&self) -> u64 {
        self.struck.load(Ordering::SeqCst)
    }

    /// Replaces the plan; steps go on counting.
    pub fn set_plan(&self, plan: FaultPlan) {
        *self.plan() = plan;
    }

    fn plan(&self) -> MutexGuard<'_, FaultPlan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one request with what the plan has for it; `effect` is told, for the faults that change an answer.
    fn run<T>(
        &self,
        operation: Operation,
        key: &str,
        effect: impl FnOnce(Option<Strike>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.counters.add(operation);
        let step = self.step.fetch_add(1, Ordering::SeqCst);
        let strike = self.plan().strike(step, operation);
        if strike.is_some() {
            self.struck.fetch_add(1, Ordering::SeqCst);
        }
        self.call_hook(Request { step, operation, key, moment: Moment::Before });
        if let Some(Strike { fault: Fault::Before(failure), .. }) = strike {
            return Err(failure.error(operation, key));
        }
        let result = effect(strike)?;
        self.call_hook(Request { step, operation, key, moment: Moment::After });
        match strike {
            Some(Strike { fault: Fault::After(failure), .. }) => Err(failure.error(operation, key)),
            _ => Ok(result),
        }
    }

    fn call_hook(&self, request: Request<'_>) {
        if let Some(hook) = &self.hook {
            hook(&request);
        }
    }

    /// Deletes all, or with [`Fault::Half`] the first half, and fails.
    fn delete_with(&self, keys: &[Key], strike: Option<Strike>) -> Result<(), StoreError> {
        let Some(Strike { fault: Fault::Half(failure), .. }) = strike else { return self.inner.delete(keys) };
        self.inner.delete(&keys[..keys.len() / 2])?;
        Err(failure.error(Operation::Delete, keys.first().map_or("", Key::as_str)))
    }
}

/// What [`Fault::Short`] and [`Fault::Flip`] make of bytes that were read from `offset`.
fn damage(strike: Option<Strike>, key: &Key, offset: u64, bytes: &mut [u8]) -> Result<(), StoreError> {
    let wanted = u64::try_from(bytes.len()).expect("memory is smaller than 2^64 bytes");
    match strike {
        Some(Strike { fault: Fault::Short, .. }) => {
            Err(StoreError::Short { key: key.to_string(), offset, wanted, got: wanted / 2 })
        }
        Some(Strike { fault: Fault::Flip, chance }) if wanted > 0 => {
            let place = usize::try_from(chance % wanted).expect("less than a length in memory");
            bytes[place] ^= 1 << (chance >> 61);
            Ok(())
        }
        _ => Ok(()),
    }
}

impl<S: fmt::Debug> fmt::Debug for FaultStore<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultStore")
            .field("inner", &self.inner)
            .field("step", &self.step)
            .finish_non_exhaustive()
    }
}

impl<S: ObjectStore> ObjectStore for FaultStore<S> {
    fn put(&self, key: &Key, body: Bytes) -> Result<PutOutcome, StoreError> {
        self.run(Operation::Put, key.as_str(), |_| self.inner.put(key, body))
    }

    fn start_upload(&self, key: &Key, part_len: u64) -> Result<UploadId, StoreError> {
        self.run(Operation::StartUpload, key.as_str(), |_| self.inner.start_upload(key, part_len))
    }

    fn put_part(&self, upload: &UploadId, number: u32, body: Bytes) -> Result<PartTag, StoreError> {
        self.run(Operation::PutPart, upload.key.as_str(), |_| self.inner.put_part(upload, number, body))
    }

    fn complete_upload(&self, upload: &UploadId, parts: &[PartTag]) -> Result<(), StoreError> {
        let key = upload.key.as_str();
        self.run(Operation::CompleteUpload, key, |_| self.inner.complete_upload(upload, parts))
    }

    fn abort_upload(&self, upload: &UploadId) -> Result<(), StoreError> {
        self.run(Operation::AbortUpload, upload.key.as_str(), |_| self.inner.abort_upload(upload))
    }

    fn list_uploads(&self, prefix: &str) -> Result<Vec<UploadInfo>, StoreError> {
        self.run(Operation::ListUploads, prefix, |_| self.inner.list_uploads(prefix))
    }

    fn get(&self, key: &Key, len_max: u64) -> Result<Vec<u8>, StoreError> {
        self.run(Operation::Get, key.as_str(), |strike| {
            let mut bytes = self.inner.get(key, len_max)?;
            damage(strike, key, 0, &mut bytes)?;
            Ok(bytes)
        })
    }

    fn get_range(&self, key: &Key, offset: u64, out: &mut [u8]) -> Result<(), StoreError> {
        self.run(Operation::GetRange, key.as_str(), |strike| {
            self.inner.get_range(key, offset, out)?;
            damage(strike, key, offset, out)
        })
    }

    fn head(&self, key: &Key) -> Result<ObjectInfo, StoreError> {
        self.run(Operation::Head, key.as_str(), |_| self.inner.head(key))
    }

    fn list(&self, prefix: &str, start_after: Option<&str>, max: usize) -> Result<ListPage, StoreError> {
        self.run(Operation::List, prefix, |_| self.inner.list(prefix, start_after, max))
    }

    fn delete(&self, keys: &[Key]) -> Result<(), StoreError> {
        let first = keys.first().map_or("", Key::as_str);
        self.run(Operation::Delete, first, |strike| self.delete_with(keys, strike))
    }

    fn now(&self) -> Result<SystemTime, StoreError> {
        self.run(Operation::Now, "", |_| self.inner.now())
    }

    fn give_up_reserve(&self) -> Result<bool, StoreError> {
        self.inner.give_up_reserve()
    }

    fn restore_reserve(&self) -> Result<(), StoreError> {
        self.inner.restore_reserve()
    }

    fn requests(&self) -> RequestCounts {
        self.counters.read()
    }

    fn shape(&self) -> RequestShape {
        self.inner.shape()
    }

    fn describe(&self) -> String {
        format!("{} with faults", self.inner.describe())
    }
}
