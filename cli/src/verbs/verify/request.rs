//! What `coffer verify` is asked for, and how its result is shown.

use clap::Args;
use coffer_format::Id;

use crate::documents::verify::VerifyDocument;
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::human;
use crate::options::{FilterOptions, KeyOptions, MemoryOptions, RepositoryOptions};
use crate::plugins::PluginOptions;
use crate::session::Session;
use crate::values;

pub(super) const EXAMPLES: &str = "\
Examples:
  coffer verify --repo file:///srv/backup
  coffer verify --repo file:///srv/backup --key writer.key --plan web
  coffer verify --repo file:///srv/backup --key recovery.key --read-data=5
  coffer verify --repo file:///srv/backup --key writer.key --expect-head 01jd3k5x6v8q2m4n7p9r0s1t2w

Without a key: listings, lengths and digests. With a writer key: signatures, maps and trailers too. With the recovery key and
--read-data: every block. Damaged packs are noted in the repository, and the next backup stores their blocks again.

With --agent one node's agent does it, with the key given here or one of its own (--agent-key-name), for a team's plans:
  coffer verify --agent https://node-1:9443 --repo s3://bucket/p --key recovery.key --plan web --read-data";

/// Options of `verify`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct VerifyArguments {
    #[command(flatten)]
    pub(super) repository: RepositoryOptions,
    #[command(flatten)]
    pub(super) key: KeyOptions,
    #[command(flatten)]
    pub(super) filter: FilterOptions,

    /// Read and check this share of all packs' blocks; all of them without a number
    #[arg(
        long, value_name = "PERCENT", num_args = 0..=1, require_equals = true, default_missing_value = "100",
        value_parser = values::percent
    )]
    pub(super) read_data: Option<f64>,

    /// A point that must be there; tells whether the newest was taken away
    #[arg(long, value_name = "POINT", value_parser = values::format_value::<Id>)]
    pub(super) expect_head: Option<Id>,

    #[command(flatten)]
    pub(super) plugins: PluginOptions,

    #[command(flatten)]
    pub(super) memory: MemoryOptions,
}

/// Prints the result, and says what was found.
pub(super) fn show(session: &Session, document: &VerifyDocument) -> Result<ExitStatus, CliError> {
    session.output.show(document)?;
    let Some(first) = document.problems.first() else {
        return Ok(match document.points {
            0 => session.output.close(ExitStatus::NotFound, "no recovery point matches, so nothing was verified; `coffer points` lists those that are there"),
            _ => ExitStatus::Done,
        });
    };
    let count = human::count(document.problems.len() as u64, "problem");
    let line = format!(
        "verify found {count}, the first is {} {}: {}; choose points that are not touched, and make a new backup",
        first.kind, first.key, first.detail
    );
    Ok(session.output.close(ExitStatus::Damaged, &line))
}
