//! `coffer bench pipeline`: a whole full backup whose packs go nowhere: reading, hashing, compressing and encrypting alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use coffer_engine::Repository;
use coffer_engine::backup::{BackupRequest, ChangeSource, Progress, TypeWish, run_backup};
use coffer_format::{Compression, Label, PlanId};

use super::read::{processor_seconds, ratio};
use super::sink::Sink;
use crate::documents::bench::PipelineDocument;
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::options::{MemoryOptions, ReadOptions};
use crate::progress::Reporter;
use crate::session::Session;
use crate::values;
use crate::verbs::backup::sources;
use crate::volume_words::SourceWord;

const EXAMPLES: &str = "\
Examples:
  coffer bench pipeline /dev/vdb
  coffer bench pipeline disk.img --compression none --json

The keys are made for the run and forgotten after it. Compare with `coffer bench read` and with `fio`.";
const GIB: f64 = (1_u64 << 30) as f64;

/// Options of `bench pipeline`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct PipelineArguments {
    /// A block device or disk image
    #[arg(value_name = "VOLUME")]
    volume: SourceWord,

    /// lz4, zstd[:1-22] or none
    #[arg(long, value_name = "HOW", default_value = "lz4", value_parser = values::compression)]
    compression: Compression,

    #[command(flatten)]
    reading: ReadOptions,

    #[command(flatten)]
    memory: MemoryOptions,
}

pub(super) fn run(session: &Session, arguments: &PipelineArguments) -> Result<ExitStatus, CliError> {
    let environment = session.environment();
    let sink = Arc::new(Sink::default());
    let mut key = None;
    Repository::init(sink.as_ref(), &environment, true, &mut |made| {
        key = Some(made.clone());
        Ok(())
    })?;
    let repository = Repository::open(sink.clone(), environment, key)?;
    let resources = Session::resources(&arguments.memory)?;
    let opener = session.opener(&arguments.reading, &resources)?;
    let volumes = sources::open(std::slice::from_ref(&arguments.volume), &opener)?;
    let reporter = Reporter::start(&session.output, "bench pipeline");
    let progress: Arc<dyn Progress> = reporter.progress();
    let request = BackupRequest {
        plan: plan(),
        volumes,
        type_wish: TypeWish::Full,
        full_every: 1,
        changes: ChangeSource::Auto,
        lists: None,
        block_size: None,
        compression: arguments.compression,
        snapshot_time: None,
        idempotency_key: None,
        description: String::new(),
        tags: BTreeMap::new(),
        writer: "coffer bench pipeline".into(),
        progress,
    };
    let (started, processor_before) = (Instant::now(), processor_seconds()?);
    let report = run_backup(&repository, &resources, &request);
    let (elapsed, processor) = (started.elapsed(), processor_seconds()? - processor_before);
    drop(reporter);
    let report = report?;
    let bytes: u64 = report.volumes.iter().map(|volume| volume.size).sum();
    let gib = bytes as f64 / GIB;
    session.output.show(&PipelineDocument {
        volume: arguments.volume.path.to_string_lossy().into_owned(),
        bytes,
        read: report.volumes.iter().map(|volume| volume.read).sum(),
        sent: sink.bytes(),
        duration_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        gib_per_second: ratio(gib, elapsed.as_secs_f64()),
        cpu_seconds: processor,
        cpu_seconds_per_gib: ratio(processor, gib),
    })?;
    Ok(ExitStatus::Done)
}

fn plan() -> PlanId {
    let label: Label = "default".parse().expect("a valid label");
    PlanId { team: label.clone(), cluster: label.clone(), namespace: label.clone(), plan: label }
}
