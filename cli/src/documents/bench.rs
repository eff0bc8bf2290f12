//! The results of `bench`.

use serde::Serialize;

use crate::human;
use crate::output::Document;
use crate::table::Table;
use crate::text::Text;

/// How fast a volume was read.
#[derive(Debug, Serialize)]
pub(crate) struct ReadDocument {
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) duration_ms: u64,
    pub(crate) gib_per_second: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) cpu_seconds_per_gib: f64,
    pub(crate) threads: u64,
    pub(crate) direct: bool,
    pub(crate) io: String,
    pub(crate) every: u64,
}

impl Document for ReadDocument {
    fn text(&self) -> Text {
        Text::of(format_args!(
            "{}: {} read in {} by {} ({}, {} page cache): {:.2} GiB/s, {:.3} CPU-s/GiB",
            self.path,
            human::size(self.bytes),
            human::duration(self.duration_ms),
            human::count(self.threads, "thread"),
            self.io,
            if self.direct { "around the" } else { "through the" },
            self.gib_per_second,
            self.cpu_seconds_per_gib
        ))
    }
}

/// What the steps of a backup and of a restore cost.
#[derive(Debug, Serialize)]
pub(crate) struct CpuDocument {
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) zero_bytes: u64,
    pub(crate) stored_bytes: u64,
    pub(crate) threads: u64,
    pub(crate) io: String,
    pub(crate) cpu_seconds_per_gib: StepSeconds,
    pub(crate) fresh_memory_cpu_seconds_per_gib: f64,
    pub(crate) sums: SumSeconds,
}

/// Processor seconds of each step.
#[derive(Debug, Default, Clone, Copy, Serialize)]
pub(crate) struct StepSeconds {
    pub(crate) read: f64,
    pub(crate) zero_scan: f64,
    pub(crate) hash: f64,
    pub(crate) compress: f64,
    pub(crate) encrypt: f64,
    pub(crate) send: f64,
    pub(crate) receive: f64,
    pub(crate) decrypt: f64,
    pub(crate) decompress: f64,
}

impl StepSeconds {
    /// `one` of each step's seconds.
    pub(crate) fn map(&self, one: impl Fn(f64) -> f64) -> StepSeconds {
        self.zip(self, |seconds, _| one(seconds))
    }

    /// Each step's seconds with those of `other`.
    pub(crate) fn zip(&self, other: &StepSeconds, both: impl Fn(f64, f64) -> f64) -> StepSeconds {
        StepSeconds {
            read: both(self.read, other.read),
            zero_scan: both(self.zero_scan, other.zero_scan),
            hash: both(self.hash, other.hash),
            compress: both(self.compress, other.compress),
            encrypt: both(self.encrypt, other.encrypt),
            send: both(self.send, other.send),
            receive: both(self.receive, other.receive),
            decrypt: both(self.decrypt, other.decrypt),
            decompress: both(self.decompress, other.decompress),
        }
    }
}

/// What the steps come to, for each GiB of the volume.
#[derive(Debug, Serialize)]
pub(crate) struct SumSeconds {
    full: f64,
    full_over_tls: f64,
    incremental: f64,
    restore: f64,
    restore_over_tls: f64,
}

impl SumSeconds {
    /// Over TLS what is sent is encrypted a second time, by the same cipher.
    pub(crate) fn of(step: &StepSeconds) -> SumSeconds {
        let incremental = step.read + step.zero_scan + step.hash;
        let full = incremental + step.compress + step.encrypt;
        let restore = step.decrypt + step.decompress;
        SumSeconds {
            full,
            full_over_tls: full + step.send + step.encrypt,
            incremental,
            restore,
            restore_over_tls: restore + step.receive + step.decrypt,
        }
    }
}

impl Document for CpuDocument {
    fn text(&self) -> Text {
        let (step, sums) = (&self.cpu_seconds_per_gib, &self.sums);
        let mut table = Table::new(&["STEP", ">CPU-S/GIB"]);
        for (name, seconds) in [
            ("read", step.read),
            ("zero scan", step.zero_scan),
            ("hash (BLAKE3)", step.hash),
            ("compress (LZ4)", step.compress),
            ("encrypt (AES-256-GCM)", step.encrypt),
            ("send (TCP, loopback)", step.send),
            ("receive (TCP, loopback)", step.receive),
            ("decrypt", step.decrypt),
            ("decompress", step.decompress),
            ("= full", sums.full),
            ("= full over TLS", sums.full_over_tls),
            ("= incremental, nothing changed", sums.incremental),
            ("= restore, without writing", sums.restore),
            ("= restore over TLS, without writing", sums.restore_over_tls),
        ] {
            table.row([name.to_owned(), format!("{seconds:.3}")]);
        }
        let mut text = Text::of(format_args!(
            "{}: {} by {} ({}), {} of it zeroes, {} stored; {:.2} CPU-s for each GiB of memory touched for the first time",
            self.path,
            human::size(self.bytes),
            human::count(self.threads, "thread"),
            self.io,
            human::size(self.zero_bytes),
            human::size(self.stored_bytes),
            self.fresh_memory_cpu_seconds_per_gib
        ));
        text.add(table.text());
        text
    }
}

/// How fast a volume was backed up into nowhere.
#[derive(Debug, Serialize)]
pub(crate) struct PipelineDocument {
    pub(crate) volume: String,
    pub(crate) bytes: u64,
    pub(crate) read: u64,
    pub(crate) sent: u64,
    pub(crate) duration_ms: u64,
    pub(crate) gib_per_second: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) cpu_seconds_per_gib: f64,
}

impl Document for PipelineDocument {
    fn text(&self) -> Text {
        Text::of(format_args!(
            "{}: {} backed up into nowhere in {} ({} read, {} would be stored): {:.2} GiB/s, {:.3} CPU-s/GiB",
            self.volume,
            human::size(self.bytes),
            human::duration(self.duration_ms),
            human::size(self.read),
            human::size(self.sent),
            self.gib_per_second,
            self.cpu_seconds_per_gib
        ))
    }
}

/// How fast a store answers.
#[derive(Debug, Serialize)]
pub(crate) struct StoreDocument {
    pub(crate) objects: u64,
    pub(crate) object_bytes: u64,
    pub(crate) operations: Vec<OperationDocument>,
}

/// Latencies of one operation.
#[derive(Debug, Serialize)]
pub(crate) struct OperationDocument {
    pub(crate) operation: &'static str,
    pub(crate) count: u64,
    pub(crate) bytes: u64,
    pub(crate) duration_ms: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    pub(crate) mib_per_second: Option<f64>,
}

impl Document for StoreDocument {
    fn text(&self) -> Text {
        let mut table = Table::new(&["OPERATION", ">COUNT", ">P50 MS", ">P99 MS", ">MAX MS", ">MIB/S"]);
        for row in &self.operations {
            table.row([
                row.operation.to_owned(),
                row.count.to_string(),
                format!("{:.3}", row.p50_ms),
                format!("{:.3}", row.p99_ms),
                format!("{:.3}", row.max_ms),
                row.mib_per_second.map_or_else(|| "-".into(), |speed| format!("{speed:.1}")),
            ]);
        }
        table.text()
    }
}
