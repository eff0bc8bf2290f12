//! The results of `bench`.

use serde::Serialize;

use crate::human;
use crate::output::Document;
use crate::table::Table;

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
    fn text(&self) -> String {
        format!(
            "{}: {} read in {} by {} ({}, {} page cache): {:.2} GiB/s, {:.3} CPU-s/GiB\n",
            self.path,
            human::size(self.bytes),
            human::duration(self.duration_ms),
            human::count(self.threads, "thread"),
            self.io,
            if self.direct { "around the" } else { "through the" },
            self.gib_per_second,
            self.cpu_seconds_per_gib
        )
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
    fn text(&self) -> String {
        format!(
            "{}: {} backed up into nowhere in {} ({} read, {} would be stored): {:.2} GiB/s, {:.3} CPU-s/GiB\n",
            self.volume,
            human::size(self.bytes),
            human::duration(self.duration_ms),
            human::size(self.read),
            human::size(self.sent),
            self.gib_per_second,
            self.cpu_seconds_per_gib
        )
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
    fn text(&self) -> String {
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
        table.render()
    }
}
