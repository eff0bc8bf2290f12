//! The one place where a request is tried, counted, waited for and given up.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::S3Store;
use super::client::Used;
use super::failure::{Failure, Kind, Place};
use super::gate::LOOK;
use super::identity::Mark;
use super::retry::{Next, Tries};
use crate::error::StoreError;
use crate::port::Operation;

/// How long after the wish to stop an upload may still be aborted.
const FAREWELL: Duration = Duration::from_secs(2);

impl S3Store {
    /// Tries `send` until it succeeds or nothing is gained by going on. It is told how many tries failed before.
    ///
    /// A request whose answer was lost may have been done: whoever changes something must recognise that.
    pub(super) fn call<T>(
        &self,
        operation: Operation,
        key: &str,
        mut send: impl AsyncFnMut(u32) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let began = Instant::now();
        let mut tries = Tries::default();
        let mut refused = None;
        loop {
            let used = self.connected.used();
            let failure = match self.once(operation, key, tries.failed(), &mut send) {
                Ok(done) => {
                    self.note_success(operation, key, tries.failed(), began.elapsed());
                    return Ok(done);
                }
                Err(failure) => failure,
            };
            if failure.kind == Kind::OtherRegion && self.connected.adopt_region(used) {
                continue;
            }
            if failure.kind == Kind::Expired && !self.renews(used, &mut refused) {
                return Err(failure);
            }
            let kind = self.kind_to_act_on(operation, failure.kind);
            let next = tries.failed_with(kind, began.elapsed(), self.patience_now(operation), chance());
            match next {
                Next::GiveUp => return Err(failure),
                Next::Wait(delay) => {
                    note_retry(operation, key, tries.failed(), delay, &failure);
                    self.wait(delay)?;
                }
            }
        }
    }

    /// The error for the port's caller.
    pub(super) fn error(&self, operation: Operation, key: &str, failure: Failure) -> StoreError {
        let failure = self.explain(failure);
        failure.into_error(operation, key, &Place { bucket: &self.address.bucket, server: self.server() })
    }

    /// Reads the credentials again where that may help: others than those refused last, or of whom the server knew before.
    fn renews(&self, used: Used, refused: &mut Option<Mark>) -> bool {
        let now = self.connected.credentials();
        let same = now.is_some() && *refused == now;
        *refused = now;
        if same && self.done.load(Ordering::Relaxed) == 0 {
            return false;
        }
        self.connected.reload(used);
        true
    }

    /// [`S3Store::call`] for requests whose failures need no looking at.
    pub(super) fn request<T>(
        &self,
        operation: Operation,
        key: &str,
        send: impl AsyncFnMut(u32) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        self.call(operation, key, send).map_err(|failure| self.error(operation, key, failure))
    }

    fn once<T>(
        &self,
        operation: Operation,
        key: &str,
        failed: u32,
        send: &mut impl AsyncFnMut(u32) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let farewell = operation == Operation::AbortUpload;
        let stop = || !farewell && self.is_cancelled();
        let Some(_inside) = self.gate.enter(stop) else { return Err(stopped()) };
        if stop() {
            return Err(stopped());
        }
        self.counters.add(operation);
        tracing::debug!(%operation, key, "request");
        let result = self.connected.block_on(async {
            tokio::select! {
                biased;
                result = send(failed) => result,
                () = self.end_of_waiting(farewell) => Err(stopped()),
            }
        });
        match &result {
            Ok(_) => self.gate.went_well(),
            Err(Failure { kind: Kind::Throttled, detail }) => {
                if let Some(limit) = self.gate.throttled() {
                    tracing::info!(limit, answer = %detail, "server asks for fewer requests");
                }
            }
            Err(_) => {}
        }
        result
    }

    /// Returns soon after the wish to stop; never where nobody can wish.
    async fn end_of_waiting(&self, farewell: bool) {
        if self.cancelled.is_none() {
            return std::future::pending().await;
        }
        while !self.is_cancelled() {
            tokio::time::sleep(LOOK).await;
        }
        if farewell {
            tokio::time::sleep(FAREWELL).await;
        }
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    /// Who was allowed to do the same before is refused by mistake, mostly: MinIO denies a put whose directory a delete just cleared away.
    fn kind_to_act_on(&self, operation: Operation, kind: Kind) -> Kind {
        let did_before = self.done.load(Ordering::Relaxed) & bit(operation) != 0;
        if kind == Kind::Denied && did_before { Kind::Clash } else { kind }
    }

    /// A person who wants to stop does not wait for a server that is gone.
    fn patience_now(&self, operation: Operation) -> Duration {
        match self.connected.http.has_spoken() {
            _ if operation == Operation::AbortUpload && self.is_cancelled() => Duration::ZERO,
            true => self.patience.established,
            false => self.patience.fresh,
        }
    }

    fn wait(&self, delay: Duration) -> Result<(), Failure> {
        let end = Instant::now() + delay;
        loop {
            if self.is_cancelled() {
                return Err(stopped());
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(LOOK));
        }
    }

    fn note_success(&self, operation: Operation, key: &str, failed: u32, elapsed: Duration) {
        self.connected.http.note_spoken();
        self.done.fetch_or(bit(operation), Ordering::Relaxed);
        if failed >= 5 {
            let seconds = elapsed.as_secs();
            tracing::info!(%operation, key, tries = failed + 1, seconds, "server is back");
        }
    }
}

fn bit(operation: Operation) -> u32 {
    1 << operation as u32
}

fn stopped() -> Failure {
    Failure::new(Kind::Cancelled, "stopped by the caller")
}

/// The first failures of a request are ordinary; a person hears of those that last.
fn note_retry(operation: Operation, key: &str, failed: u32, delay: Duration, failure: &Failure) {
    let wait_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    let why = failure.detail.as_str();
    match failed {
        0..5 => tracing::debug!(%operation, key, failed, wait_ms, why, "request failed; trying again"),
        5 => tracing::warn!(%operation, key, failed, wait_ms, why, "request keeps failing; trying again"),
        _ => tracing::info!(%operation, key, failed, wait_ms, why, "still failing; trying again"),
    }
}

/// Chance spreads waits; without a source of it they are just not spread.
fn chance() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}
