//! `coffer bench cpu`: what each step of a backup and of a restore costs on this machine, for this volume's own bytes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Args;
use coffer_blockio::{Arena, BlockSource};
use coffer_engine::backup::Progress;
use coffer_engine::{EngineError, Environment};

use super::read::ratio;
use super::steps::{BLOCK_BYTES, Done, Steps};
use crate::documents::bench::{CpuDocument, SumSeconds};
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::options::{MemoryOptions, ReadOptions};
use crate::progress::Reporter;
use crate::session::{Session, processors};
use crate::values;

const EXAMPLES: &str = "\
Examples:
  coffer bench cpu /dev/vdb
  coffer bench cpu disk.img --limit 4GiB --json

Threads work side by side, as those of a backup do: processors that share a core slow each other down. The sums are what a backup
of the volume cannot do without; LZ4 leaves blocks that hardly shrink alone there, which this does not.";

/// Bytes of one read, as a backup reads.
const READ_BYTES: u64 = 1 << 20;
/// Most of the memory that is touched to see what that costs.
const FRESH_BYTES_MAX: usize = 64 << 20;
const PAGE_BYTES: usize = 4096;
/// Each has a read's buffer in the least of arenas.
const THREADS_MAX: u64 = 16;
const GIB: f64 = (1_u64 << 30) as f64;

/// Options of `bench cpu`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct CpuArguments {
    /// A block device or disk image
    #[arg(value_name = "PATH")]
    path: PathBuf,

    /// Take no more than this, in pieces of 1 MiB from all over the volume
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = values::size)]
    limit: u64,

    /// Threads, each with blocks of its own [default: one per processor, 16 at most]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=THREADS_MAX))]
    threads: Option<u64>,

    #[command(flatten)]
    reading: ReadOptions,

    #[command(flatten)]
    memory: MemoryOptions,
}

pub(super) fn run(session: &Session, arguments: &CpuArguments) -> Result<ExitStatus, CliError> {
    let resources = Session::resources(&arguments.memory)?;
    let opener = session.opener(&arguments.reading, &resources)?;
    let source =
        opener.open(&arguments.path).map_err(|source| CliError::Open { what: "volume".into(), source })?;
    let fresh_memory = fresh_memory(&resources.arena)?;
    let reporter = Reporter::start(&session.output, "bench cpu");
    let progress = reporter.progress();
    let pieces = Pieces::new(source.size_bytes(), arguments.limit);
    progress.volume(&arguments.path.to_string_lossy(), pieces.count * READ_BYTES);
    let threads = arguments.threads.unwrap_or(processors() as u64).clamp(1, THREADS_MAX);
    let bench = Bench {
        source: source.as_ref(),
        arena: &resources.arena,
        environment: session.environment(),
        pieces,
        next: AtomicU64::new(0),
        progress: progress.as_ref(),
    };
    let done = bench.work_on_all(threads)?;
    drop(reporter);
    let gib = done.bytes as f64 / GIB;
    let step = done.seconds.map(|seconds| ratio(seconds, gib));
    session.output.show(&CpuDocument {
        path: arguments.path.to_string_lossy().into_owned(),
        bytes: done.bytes,
        zero_bytes: done.zero_bytes,
        stored_bytes: done.stored_bytes,
        threads,
        io: source.engine().to_string(),
        sums: SumSeconds::of(&step),
        cpu_seconds_per_gib: step,
        fresh_memory_cpu_seconds_per_gib: fresh_memory,
    })?;
    Ok(ExitStatus::Done)
}

/// What all threads share.
struct Bench<'a> {
    source: &'a dyn BlockSource,
    arena: &'a Arc<Arena>,
    environment: Environment,
    pieces: Pieces,
    /// Number of the next piece.
    next: AtomicU64,
    progress: &'a dyn Progress,
}

impl Bench<'_> {
    fn work_on_all(&self, threads: u64) -> Result<Done, CliError> {
        let panicked = || Err(EngineError::Bug("a working thread panicked".into()).into());
        let results: Vec<Result<Done, CliError>> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| self.work())).collect();
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| panicked())).collect()
        });
        results.into_iter().try_fold(Done::default(), |sum, done| Ok(sum.and(&done?)))
    }

    fn work(&self) -> Result<Done, CliError> {
        let mut steps = Steps::new(self.source, self.arena, READ_BYTES as usize, self.environment.clone())?;
        while let Some((offset, len)) = self.pieces.piece(self.next.fetch_add(1, Ordering::Relaxed)) {
            self.environment.cancel.check()?;
            steps.take(offset, len)?;
            self.progress.advance(len as u64, 0);
        }
        Ok(steps.done)
    }
}

/// Processor seconds for each GiB of memory that this process touches for the first time.
fn fresh_memory(untouched: &Arc<Arena>) -> Result<f64, CliError> {
    let len = FRESH_BYTES_MAX.min(untouched.budget_bytes() / 2);
    let mut buffer = untouched.alloc(len).map_err(|error| EngineError::Bug(error.to_string()))?;
    let before = super::read::processor_seconds()?;
    buffer.iter_mut().step_by(PAGE_BYTES).for_each(|byte| *byte = 1);
    Ok(ratio(super::read::processor_seconds()? - before, len as f64 / GIB))
}

/// Reads at equal distances.
#[derive(Debug, Clone, Copy)]
struct Pieces {
    size: u64,
    count: u64,
}

impl Pieces {
    fn new(size: u64, limit: u64) -> Pieces {
        Pieces { size, count: size.min(limit).div_ceil(READ_BYTES) }
    }

    /// Offset and length of one of them.
    fn piece(self, number: u64) -> Option<(u64, usize)> {
        if number >= self.count {
            return None;
        }
        // Wider than the product of any two sizes.
        let in_all = u128::from(self.size.div_ceil(READ_BYTES));
        let at = u64::try_from(u128::from(number) * in_all / u128::from(self.count)).ok()?;
        let offset = at.checked_mul(READ_BYTES)?;
        Some((offset, self.size.saturating_sub(offset).min(READ_BYTES) as usize))
    }
}

const _: () = assert!(READ_BYTES.is_multiple_of(BLOCK_BYTES as u64));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_from_all_over_and_never_from_behind_the_end() {
        let offsets = |size, limit| -> Vec<_> {
            let pieces = Pieces::new(size, limit);
            (0..)
                .map_while(|number| pieces.piece(number))
                .map(|(offset, len)| (offset / READ_BYTES, len))
                .collect()
        };
        let whole = READ_BYTES as usize;
        assert_eq!(offsets(8 * READ_BYTES, 4 * READ_BYTES), [(0, whole), (2, whole), (4, whole), (6, whole)]);
        assert_eq!(offsets(2 * READ_BYTES + 512, u64::MAX), [(0, whole), (1, whole), (2, 512)]);
        assert_eq!(offsets(0, READ_BYTES), []);
        assert_eq!(offsets(u64::MAX, READ_BYTES), [(0, whole)]);
    }
}
