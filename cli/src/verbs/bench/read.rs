//! `coffer bench read`: how fast our reader gets a volume's bytes, and what processor time that takes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Args;
use coffer_blockio::{Arena, BlockSource, PreadSource};
use coffer_engine::EngineError;
use coffer_engine::backup::Progress;
use nix::sys::resource::{UsageWho, getrusage};

use crate::documents::bench::ReadDocument;
use crate::error::{CliError, ExitStatus};
use crate::options::MemoryOptions;
use crate::progress::Reporter;
use crate::session::{Session, processors};
use crate::values;

const EXAMPLES: &str = "\
Examples:
  coffer bench read /dev/vdb
  coffer bench read disk.img --limit 4GiB --threads 8 --json";

/// Bytes of one read, as a backup reads.
const READ_BYTES: u64 = 1 << 20;
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

    #[command(flatten)]
    memory: MemoryOptions,
}

pub(super) fn run(session: &Session, arguments: &ReadArguments) -> Result<ExitStatus, CliError> {
    let source = PreadSource::open(&arguments.path)
        .map_err(|source| CliError::Open { what: "volume".into(), source })?;
    let resources = session.resources(&arguments.memory)?;
    let bytes = arguments.limit.map_or(source.size_bytes(), |limit| limit.min(source.size_bytes()));
    let in_memory = resources.arena.budget_bytes() as u64 / READ_BYTES;
    let threads = arguments.threads.unwrap_or(processors() as u64 * 2).clamp(1, in_memory.clamp(1, 64));
    let reporter = Reporter::start(&session.output, "bench read");
    let progress = reporter.progress();
    progress.volume(&arguments.path.to_string_lossy(), bytes);
    let (started, processor_before) = (Instant::now(), processor_seconds()?);
    read_all(session, &source, &resources.arena, bytes, threads, progress.as_ref())?;
    let (elapsed, processor) = (started.elapsed(), processor_seconds()? - processor_before);
    drop(reporter);
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
    })?;
    Ok(ExitStatus::Done)
}

fn read_all(
    session: &Session,
    source: &PreadSource,
    arena: &Arc<Arena>,
    bytes: u64,
    threads: u64,
    progress: &dyn Progress,
) -> Result<(), CliError> {
    let next = AtomicU64::new(0);
    let cancel = session.environment().cancel;
    let read = || -> Result<(), EngineError> {
        let buffer = arena.alloc(READ_BYTES as usize);
        let mut buffer = buffer.map_err(|error| EngineError::Bug(error.to_string()))?;
        loop {
            cancel.check()?;
            let offset = next.fetch_add(READ_BYTES, Ordering::Relaxed);
            if offset >= bytes {
                return Ok(());
            }
            let len = READ_BYTES.min(bytes - offset);
            let part =
                buffer.get_mut(..len as usize).ok_or_else(|| EngineError::Bug("read buffer".into()))?;
            let done = source.read_exact_at(offset, part);
            done.map_err(|source| EngineError::Source { volume: "bench".into(), source })?;
            progress.advance(len, 0);
        }
    };
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..threads).map(|_| scope.spawn(read)).collect();
        let panicked = || Err(EngineError::Bug("a reading thread panicked".into()));
        let results: Vec<_> =
            readers.into_iter().map(|reader| reader.join().unwrap_or_else(|_| panicked())).collect();
        results.into_iter().collect::<Result<(), EngineError>>()
    })?;
    Ok(())
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
