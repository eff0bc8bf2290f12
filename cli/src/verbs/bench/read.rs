//! `coffer bench read`: how fast our reader gets a volume's bytes, and what processor time that takes.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Args;
use coffer_blockio::{Arena, BlockSource, ReadBatch};
use coffer_engine::EngineError;
use coffer_engine::backup::Progress;
use nix::sys::resource::{UsageWho, getrusage};

use crate::documents::bench::ReadDocument;
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::options::{MemoryOptions, ReadOptions};
use crate::progress::Reporter;
use crate::session::{Session, processors};
use crate::values;

const EXAMPLES: &str = "\
Examples:
  coffer bench read /dev/vdb
  coffer bench read disk.img --limit 4GiB --threads 8 --io pread --json
  coffer bench read disk.img --every 16

With --every 16 one block of 64 KiB out of 16 is read, as an incremental backup from a change list does.";

/// Bytes of one read, as a backup reads.
const READ_BYTES: u64 = 1 << 20;
/// Bytes of one read with `--every`, the usual block of a backup.
const SCATTERED_BYTES: u64 = 64 << 10;
const GIB: f64 = (1_u64 << 30) as f64;

/// Options of `bench read`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ReadArguments {
    /// A block device or disk image
    #[arg(value_name = "PATH")]
    path: PathBuf,

    /// Read no more than this [default: all]
    #[arg(long, value_name = "SIZE", value_parser = values::size)]
    limit: Option<u64>,

    /// Threads that read [default: two per processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=64))]
    threads: Option<u64>,

    /// Read one block of 64 KiB out of N, and skip the others
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    every: u64,

    #[command(flatten)]
    reading: ReadOptions,

    #[command(flatten)]
    memory: MemoryOptions,
}

/// What all threads share.
struct Bench<'a> {
    session: &'a Session,
    source: &'a dyn BlockSource,
    arena: &'a Arc<Arena>,
    plan: ReadPlan,
    /// Number of the next batch.
    next: AtomicU64,
    /// Bytes that were read.
    done: AtomicU64,
    progress: &'a dyn Progress,
}

/// Which bytes are read, and in which batches.
#[derive(Debug, Clone, Copy)]
struct ReadPlan {
    bytes: u64,
    every: u64,
}

pub(super) fn run(session: &Session, arguments: &ReadArguments) -> Result<ExitStatus, CliError> {
    let resources = Session::resources(&arguments.memory)?;
    let opener = session.opener(&arguments.reading, &resources)?;
    let source =
        opener.open(&arguments.path).map_err(|source| CliError::Open { what: "volume".into(), source })?;
    let bytes = arguments.limit.map_or(source.size_bytes(), |limit| limit.min(source.size_bytes()));
    let in_memory = resources.arena.budget_bytes() as u64 / READ_BYTES / buffers_per_thread(source.as_ref());
    let threads = arguments.threads.unwrap_or(processors() as u64 * 2).clamp(1, in_memory.clamp(1, 64));
    let reporter = Reporter::start(&session.output, "bench read");
    let progress = reporter.progress();
    progress.volume(&arguments.path.to_string_lossy(), bytes);
    let bench = Bench {
        session,
        source: source.as_ref(),
        arena: &resources.arena,
        plan: ReadPlan { bytes, every: arguments.every },
        next: AtomicU64::new(0),
        done: AtomicU64::new(0),
        progress: progress.as_ref(),
    };
    let (started, processor_before) = (Instant::now(), processor_seconds()?);
    bench.read_all(threads)?;
    let (elapsed, processor) = (started.elapsed(), processor_seconds()? - processor_before);
    drop(reporter);
    let bytes = bench.done.into_inner();
    let gib = bytes as f64 / GIB;
    session.output.show(&ReadDocument {
        path: arguments.path.to_string_lossy().into_owned(),
        bytes,
        duration_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        gib_per_second: ratio(gib, elapsed.as_secs_f64()),
        cpu_seconds: processor,
        cpu_seconds_per_gib: ratio(processor, gib),
        threads,
        direct: source.is_direct(),
        io: source.engine().to_string(),
        every: arguments.every,
    })?;
    Ok(ExitStatus::Done)
}

/// As many as a worker of a backup has.
fn buffers_per_thread(source: &dyn BlockSource) -> u64 {
    if source.reads_ahead() { 2 } else { 1 }
}

impl Bench<'_> {
    fn read_all(&self, threads: u64) -> Result<(), CliError> {
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..threads).map(|_| scope.spawn(|| self.read())).collect();
            let panicked = || Err(EngineError::Bug("a reading thread panicked".into()));
            let results: Vec<_> =
                readers.into_iter().map(|reader| reader.join().unwrap_or_else(|_| panicked())).collect();
            results.into_iter().collect::<Result<(), EngineError>>()
        })?;
        Ok(())
    }

    /// One thread: keeps all its buffers busy, as a worker of a backup does.
    fn read(&self) -> Result<(), EngineError> {
        let cancel = self.session.environment().cancel;
        let mut spare = Vec::new();
        for _ in 0..buffers_per_thread(self.source) {
            let buffer = self.arena.alloc(READ_BYTES as usize);
            spare.push(ReadBatch::new(buffer.map_err(|error| EngineError::Bug(error.to_string()))?));
        }
        let mut started = VecDeque::new();
        loop {
            cancel.check()?;
            while let Some(mut batch) = spare.pop() {
                batch.clear();
                if !self.plan.fill(&mut batch, self.next.fetch_add(1, Ordering::Relaxed)) {
                    break;
                }
                started.push_back(self.source.start_read(batch));
            }
            let Some(read) = started.pop_front() else { return Ok(()) };
            let batch = self.source.finish_read(read);
            let batch = batch.map_err(|source| EngineError::Source { volume: "bench".into(), source })?;
            let len = batch.bytes().len() as u64;
            self.done.fetch_add(len, Ordering::Relaxed);
            self.progress.advance(len * self.plan.every, 0);
            spare.push(batch);
        }
    }
}

impl ReadPlan {
    /// Puts the ranges of the `number`th batch into an empty one; false if there are none left.
    fn fill(self, batch: &mut ReadBatch, number: u64) -> bool {
        if self.every == 1 {
            let offset = number.saturating_mul(READ_BYTES);
            let len = self.bytes.saturating_sub(offset).min(READ_BYTES);
            return len > 0 && batch.push(offset, len as usize).is_some();
        }
        let blocks = READ_BYTES / SCATTERED_BYTES;
        let first = number.saturating_mul(blocks);
        (first..first.saturating_add(blocks)).fold(false, |any, block| {
            let offset = block.saturating_mul(self.every).saturating_mul(SCATTERED_BYTES);
            let len = self.bytes.saturating_sub(offset).min(SCATTERED_BYTES);
            any | (len > 0 && batch.push(offset, len as usize).is_some())
        })
    }
}

/// User and system time of this process, seconds.
pub(super) fn processor_seconds() -> Result<f64, CliError> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).map_err(|error| CliError::File {
        step: "ask for",
        path: "processor time".into(),
        source: error.into(),
    })?;
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// `0` where there is nothing to divide by.
pub(super) fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}
