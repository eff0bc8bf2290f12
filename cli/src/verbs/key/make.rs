//! `coffer key team` and `coffer key writer`.

use std::path::PathBuf;

use clap::Args;
use coffer_format::Label;

use super::path::{key_path, shown};
use crate::documents::key::NewKeyDocument;
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::key_files;
use crate::key_targets::{KeyTargets, check_free, make_writer_key, write_new};
use crate::options::{KeyOptions, RepositoryOptions};
use crate::session::Session;
use crate::values;

const TEAM_EXAMPLES: &str = "\
Examples:
  coffer key team --repo file:///srv/backup --team shop --key-out shop-recovery.key --writer-key-out shop-writer.key

Teams share the repository and nothing else: no team's key reads another team's data.";

const WRITER_EXAMPLES: &str = "\
Examples:
  coffer key writer --key recovery.key --writer-key-out node7.key

A writer key makes backups, verifies and lists; it cannot read data. Give each machine one of its own.";

/// Options of `key team`.
#[derive(Args, Debug)]
#[command(after_long_help = TEAM_EXAMPLES)]
pub(crate) struct TeamArguments {
    #[command(flatten)]
    repository: RepositoryOptions,

    /// The new team
    #[arg(long, value_name = "T", value_parser = values::format_value::<Label>)]
    team: Label,

    /// New file for the recovery key
    #[arg(long, value_name = "FILE")]
    key_out: PathBuf,

    /// New file for a writer key
    #[arg(long, value_name = "FILE")]
    writer_key_out: Option<PathBuf>,
}

/// Options of `key writer`.
#[derive(Args, Debug)]
#[command(after_long_help = WRITER_EXAMPLES)]
pub(crate) struct WriterArguments {
    #[command(flatten)]
    key: KeyOptions,

    /// New file for the writer key
    #[arg(long, value_name = "FILE")]
    writer_key_out: PathBuf,
}

pub(super) fn team(session: &Session, arguments: &TeamArguments) -> Result<ExitStatus, CliError> {
    let targets = KeyTargets { recovery: &arguments.key_out, writer: arguments.writer_key_out.as_deref() };
    targets.check()?;
    let repository = session.open_without_key(&arguments.repository)?;
    let environment = session.environment();
    let mut save = |key: &_| targets.save_for_engine(&environment, key);
    repository.create_team(&arguments.team, &mut save).map_err(|error| targets.explain(error.into()))?;
    session.output.show(&NewKeyDocument {
        repository: repository.id(),
        team: arguments.team.clone(),
        generation: 1,
        key_file: Some(shown(&arguments.key_out)),
        writer_key_file: arguments.writer_key_out.as_deref().map(shown),
        chains: 0,
        points: 0,
        chains_unopened: 0,
    })?;
    Ok(ExitStatus::Done)
}

pub(super) fn writer(session: &Session, arguments: &WriterArguments) -> Result<ExitStatus, CliError> {
    check_free(&arguments.writer_key_out)?;
    let recovery = key_files::read(key_path(&arguments.key)?)?;
    key_files::need_recovery(&recovery, "making a writer key")?;
    let writer = make_writer_key(&session.environment(), &recovery)?;
    write_new(&arguments.writer_key_out, &writer)?;
    session.output.show(&NewKeyDocument {
        repository: writer.repository,
        team: writer.team.clone(),
        generation: writer.generation,
        key_file: None,
        writer_key_file: Some(shown(&arguments.writer_key_out)),
        chains: 0,
        points: 0,
        chains_unopened: 0,
    })?;
    Ok(ExitStatus::Done)
}
