//! What the agent counts and shows: a handle that whoever counts gets in its constructor, and the page for Prometheus.
//!
//! Labels come from the closed sets of [`labels`]: no name of a volume, team, operation or caller ever becomes one.

use std::fmt;
use std::fs;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

pub mod labels;
pub mod page;

use crate::edge::rules::Call;
use labels::{Amount, Ended, Fallback, OperationKind, Refused, StoreRequest, code_name};

/// Buckets of calls, seconds: most answer at once, a Watch lasts as long as its operation.
const CALL_SECONDS: [f64; 10] = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 60.0, 600.0, 3_600.0];
/// Buckets of operations, seconds.
const OPERATION_SECONDS: [f64; 10] = [0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 86_400.0];

/// Figures that are looked up when the page is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Levels {
    /// Operations that run: backups, restores, verifications.
    pub running: [u32; 3],
    /// Operations that wait.
    pub queued: u32,
    /// Bytes of the arena that are handed out.
    pub arena_used_bytes: u64,
    /// Bytes that the arena may hand out.
    pub arena_limit_bytes: u64,
}

/// Counts. Clones count together.
#[derive(Clone)]
pub struct Metrics {
    shared: Arc<Shared>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

type LevelsSource = Box<dyn Fn() -> Levels + Send + Sync>;

struct Shared {
    registry: Registry,
    levels: OnceLock<LevelsSource>,
    amounts: [IntCounter; Amount::ALL.len()],
    requests: IntCounterVec,
    request_seconds: HistogramVec,
    refused: IntCounterVec,
    operations: IntCounterVec,
    operation_seconds: HistogramVec,
    store_requests: IntCounterVec,
    sample_mismatches: IntCounter,
    fallbacks: IntCounterVec,
    certificate_end: Gauge,
    running: IntGaugeVec,
    queued: IntGauge,
    arena_used: IntGauge,
    arena_limit: IntGauge,
    resident: IntGauge,
}

impl Metrics {
    /// Counters at zero, of an agent of this version.
    pub fn new(version: &str) -> Metrics {
        let made = Shared::new(version).expect("names and labels are constants that a test registers");
        Metrics { shared: Arc::new(made) }
    }

    /// Where the page's levels come from. The first source stays.
    pub fn set_levels_source(&self, source: impl Fn() -> Levels + Send + Sync + 'static) {
        let _first_stays = self.shared.levels.set(Box::new(source));
    }

    /// Counts bytes.
    pub fn add(&self, amount: Amount, bytes: u64) {
        self.shared.amounts[amount as usize].inc_by(bytes);
    }

    /// Counts requests to object stores.
    pub fn add_store_requests(&self, request: StoreRequest, count: u64) {
        self.shared.store_requests.with_label_values(&[request.as_str()]).inc_by(count);
    }

    /// A call has ended with `code` after `took`.
    pub fn call_ended(&self, call: Call, code: tonic::Code, took: Duration) {
        self.shared.requests.with_label_values(&[call.name(), code_name(code)]).inc();
        self.shared.request_seconds.with_label_values(&[call.name()]).observe(took.as_secs_f64());
    }

    /// A connection or call was refused.
    pub fn refused(&self, reason: Refused) {
        self.shared.refused.with_label_values(&[reason.as_str()]).inc();
    }

    /// An operation has ended after it ran for `took`.
    pub fn operation_ended(&self, kind: OperationKind, ended: Ended, took: Duration) {
        self.shared.operations.with_label_values(&[kind.as_str(), ended.as_str()]).inc();
        self.shared.operation_seconds.with_label_values(&[kind.as_str()]).observe(took.as_secs_f64());
    }

    /// Sampled blocks that a source of changes called unchanged differed.
    pub fn sample_mismatches(&self, blocks: u64) {
        self.shared.sample_mismatches.inc_by(blocks);
    }

    /// Work went on in a lesser way.
    pub fn fell_back(&self, reason: Fallback) {
        self.shared.fallbacks.with_label_values(&[reason.as_str()]).inc();
    }

    /// The agent's own certificate ends at `end`.
    pub fn certificate_ends(&self, end: SystemTime) {
        let since = end.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.shared.certificate_end.set(since.as_secs_f64());
    }

    /// The page, in Prometheus' text format.
    pub fn page(&self) -> String {
        let shared = &self.shared;
        let levels = shared.levels.get().map(|source| source()).unwrap_or_default();
        for (kind, running) in OperationKind::ALL.iter().zip(levels.running) {
            shared.running.with_label_values(&[kind.as_str()]).set(running.into());
        }
        shared.queued.set(levels.queued.into());
        shared.arena_used.set(gauge(levels.arena_used_bytes));
        shared.arena_limit.set(gauge(levels.arena_limit_bytes));
        shared.resident.set(gauge(resident_bytes()));
        let mut page = String::new();
        TextEncoder::new()
            .encode_utf8(&shared.registry.gather(), &mut page)
            .expect("a String takes any text, and every family here has a value");
        page
    }
}

impl Shared {
    fn new(version: &str) -> Result<Shared, prometheus::Error> {
        let registry = Registry::new_custom(Some("coffer_agent".into()), None)?;
        let counter = |name: &str, help: &str| kept(&registry, IntCounter::new(name, help)?);
        let counters = |name: &str, help: &str, labels: &[&str]| {
            kept(&registry, IntCounterVec::new(Opts::new(name, help), labels)?)
        };
        let level = |name: &str, help: &str| kept(&registry, IntGauge::new(name, help)?);
        let seconds = |name: &str, help: &str, label: &str, buckets: &[f64]| {
            let options = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            kept(&registry, HistogramVec::new(options, &[label])?)
        };
        let build = GaugeVec::new(
            Opts::new("build_info", "Version of the running program; always 1."),
            &["version"],
        )?;
        kept(&registry, build)?.with_label_values(&[version]).set(1.0);
        let amount = |amount: Amount| {
            let (name, help) = amount.name_and_help();
            counter(name, help)
        };
        let [read, changed, uploaded, restored, resumed] = Amount::ALL;
        let shared = Shared {
            amounts: [
                amount(read)?,
                amount(changed)?,
                amount(uploaded)?,
                amount(restored)?,
                amount(resumed)?,
            ],
            requests: counters("requests_total", "Calls that ended, by gRPC status code.", &["rpc", "code"])?,
            request_seconds: seconds(
                "request_duration_seconds",
                "How long calls took.",
                "rpc",
                &CALL_SECONDS,
            )?,
            refused: counters("refused_total", "Connections and calls that were refused.", &["reason"])?,
            operations: counters("operations_total", "Operations that ended.", &["kind", "state"])?,
            operation_seconds: seconds(
                "operation_duration_seconds",
                "How long operations ran.",
                "kind",
                &OPERATION_SECONDS,
            )?,
            store_requests: counters("store_requests_total", "Requests to object stores.", &["request"])?,
            sample_mismatches: counter(
                "sample_mismatches_total",
                "Sampled blocks that were called unchanged and differed.",
            )?,
            fallbacks: counters("fallbacks_total", "Times that work went on in a lesser way.", &["reason"])?,
            certificate_end: kept(
                &registry,
                Gauge::new(
                    "certificate_end_timestamp_seconds",
                    "When the agent's certificate ends; 0 without one.",
                )?,
            )?,
            running: kept(
                &registry,
                IntGaugeVec::new(Opts::new("operations_running", "Operations that run."), &["kind"])?,
            )?,
            queued: level("operations_queued", "Operations that wait.")?,
            arena_used: level("arena_used_bytes", "Bytes of data buffers in use.")?,
            arena_limit: level("arena_limit_bytes", "Bytes of data buffers that may be in use.")?,
            resident: level("resident_memory_bytes", "Resident size of the process.")?,
            levels: OnceLock::new(),
            registry: registry.clone(),
        };
        shared.begin_at_zero();
        Ok(shared)
    }

    /// Series that alerts look at are there before anything happens: a counter that appears at 1 has no increase.
    fn begin_at_zero(&self) {
        for reason in Fallback::ALL {
            self.fallbacks.with_label_values(&[reason.as_str()]);
        }
        for reason in Refused::ALL {
            self.refused.with_label_values(&[reason.as_str()]);
        }
        for request in StoreRequest::ALL {
            self.store_requests.with_label_values(&[request.as_str()]);
        }
        for kind in OperationKind::ALL {
            let _made: Histogram = self.operation_seconds.with_label_values(&[kind.as_str()]);
            for ended in Ended::ALL {
                self.operations.with_label_values(&[kind.as_str(), ended.as_str()]);
            }
        }
    }
}

fn kept<C: Collector + Clone + 'static>(registry: &Registry, made: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(made.clone()))?;
    Ok(made)
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The process' resident size, bytes; 0 where the kernel does not tell.
fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kibibytes.map_or(0, |kibibytes| kibibytes << 10)
}

#[cfg(test)]
mod tests;
