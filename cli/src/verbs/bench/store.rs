//! `coffer bench store`: latencies and throughput of a repository's store, below `bench/`, which is removed afterwards.

use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::Args;
use coffer_store::{Key, ObjectStore};

use crate::documents::bench::{OperationDocument, StoreDocument};
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::options::RepositoryOptions;
use crate::session::Session;
use crate::values;

const EXAMPLES: &str = "\
Examples:
  coffer bench store --repo file:///srv/backup
  coffer bench store --repo file:///srv/backup --objects 200 --size 8MiB --json

One request at a time: the figures are latencies, not the most that a store can do.";

/// Largest object, as in a backup: it is held in memory.
const SIZE_MAX: u64 = 128 << 20;

/// Options of `bench store`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct StoreArguments {
    #[command(flatten)]
    repository: RepositoryOptions,

    /// Objects that are written, read and deleted
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u64).range(1..=1000))]
    objects: u64,

    /// Size of each object, up to 128MiB
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = values::size)]
    size: u64,
}

pub(super) fn run(session: &Session, arguments: &StoreArguments) -> Result<ExitStatus, CliError> {
    if arguments.size == 0 || arguments.size > SIZE_MAX {
        return Err(CliError::Usage(format!("--size {} is not within 1 byte and 128MiB", arguments.size)));
    }
    let store = session.open_store(&arguments.repository, false)?;
    let environment = session.environment();
    let prefix = format!("bench/{}", environment.new_id()?);
    let keys: Vec<Key> = (0..arguments.objects)
        .map(|number| Key::new(format!("{prefix}/{number:04}")))
        .collect::<Result<_, _>>()?;
    let body = content(session, arguments.size)?;
    let bench = Bench { session, store: store.as_ref(), keys: &keys, body, prefix };
    let measured = bench.measure();
    let deleted = bench.delete();
    let mut operations = measured?;
    operations.push(deleted?);
    session.output.show(&StoreDocument {
        objects: arguments.objects,
        object_bytes: arguments.size,
        operations,
    })?;
    Ok(ExitStatus::Done)
}

/// Bytes that no store can compress.
fn content(session: &Session, size: u64) -> Result<Bytes, CliError> {
    let mut body =
        vec![0; usize::try_from(size).map_err(|_| CliError::Usage("--size is too large here".into()))?];
    for part in body.chunks_mut(1 << 20) {
        session.environment().entropy.fill(part)?;
    }
    Ok(body.into())
}

struct Bench<'a> {
    session: &'a Session,
    store: &'a dyn ObjectStore,
    keys: &'a [Key],
    body: Bytes,
    prefix: String,
}

impl Bench<'_> {
    fn measure(&self) -> Result<Vec<OperationDocument>, CliError> {
        let mut buffer = vec![0; self.body.len()];
        let each = self.body.len() as u64;
        Ok(vec![
            self.each("put", each, |key| Ok(self.store.put(key, self.body.clone()).map(drop)?))?,
            self.each("get", each, |key| Ok(self.store.get_range(key, 0, &mut buffer)?))?,
            self.each("head", 0, |key| Ok(self.store.head(key).map(drop)?))?,
            self.each("list", 0, |_| Ok(self.store.list(&self.prefix, None, 1000).map(drop)?))?,
        ])
    }

    /// Times one call per object.
    fn each(
        &self,
        operation: &'static str,
        bytes_each: u64,
        mut call: impl FnMut(&Key) -> Result<(), CliError>,
    ) -> Result<OperationDocument, CliError> {
        let mut times = Vec::with_capacity(self.keys.len());
        for key in self.keys {
            self.session.environment().cancel.check()?;
            let started = Instant::now();
            call(key)?;
            times.push(started.elapsed());
        }
        Ok(summary(operation, bytes_each * times.len() as u64, times))
    }

    /// Removes all objects, of which some may never have been written. A cancel does not stop this.
    fn delete(&self) -> Result<OperationDocument, CliError> {
        let mut times = Vec::new();
        for key in self.keys {
            let started = Instant::now();
            self.store.delete(std::slice::from_ref(key))?;
            times.push(started.elapsed());
        }
        Ok(summary("delete", 0, times))
    }
}

fn summary(operation: &'static str, bytes: u64, mut times: Vec<Duration>) -> OperationDocument {
    times.sort_unstable();
    let total: Duration = times.iter().sum();
    let ms = |time: Duration| time.as_secs_f64() * 1000.0;
    let at =
        |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1))).copied();
    let seconds = total.as_secs_f64();
    OperationDocument {
        operation,
        count: times.len() as u64,
        bytes,
        duration_ms: ms(total),
        p50_ms: ms(at(50).unwrap_or_default()),
        p99_ms: ms(at(99).unwrap_or_default()),
        max_ms: ms(times.last().copied().unwrap_or_default()),
        mib_per_second: (bytes > 0 && seconds > 0.0).then(|| bytes as f64 / f64::from(1 << 20) / seconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_sorted_times() {
        let times = (1..=100).rev().map(Duration::from_millis).collect();
        let row = summary("put", 0, times);
        assert_eq!((row.count, row.p50_ms, row.p99_ms, row.max_ms), (100, 51.0, 100.0, 100.0));
        assert_eq!(row.mib_per_second, None);
        assert_eq!(summary("get", 0, Vec::new()).max_ms, 0.0);
    }
}
