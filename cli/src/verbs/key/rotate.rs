//! `coffer key rotate`: the new key is on disk before the repository knows of it.

use std::path::PathBuf;

use clap::Args;
use coffer_engine::{RotateReport, finish_rotation, rotate};
use coffer_format::SecretsWish;

use super::path::{key_path, shown};
use crate::documents::key::NewKeyDocument;
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::key_files;
use crate::key_targets::KeyTargets;
use crate::options::{KeyOptions, RepositoryOptions};
use crate::session::Session;

const EXAMPLES: &str = "\
Examples:
  coffer key rotate --repo file:///srv/backup --key recovery.key --key-out recovery-2.key --writer-key-out writer-2.key
  coffer key rotate --repo file:///srv/backup --key recovery.key --writers --key-out recovery-2.key --writer-key-out writer-2.key
  coffer key rotate --repo file:///srv/backup --key recovery.key --finish recovery-2.key

No data is written anew: every chain's key is sealed to the new recovery key too. What the old key could read it can still read. Writer keys of
before make no more points: give each machine a new one. Backups that run meanwhile are fenced, run them again. --writers is for a writer key that
leaked: new chains get new metadata secrets. --finish ends a rotation that was interrupted.";

/// Options of `key rotate`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct RotateArguments {
    #[command(flatten)]
    repository: RepositoryOptions,

    // The old recovery key.
    #[command(flatten)]
    key: KeyOptions,

    /// New file for the new recovery key
    #[arg(long, value_name = "FILE", required_unless_present = "finish")]
    key_out: Option<PathBuf>,

    /// New file for a writer key of the new generation
    #[arg(long, value_name = "FILE", requires = "key_out")]
    writer_key_out: Option<PathBuf>,

    /// Replace the metadata secrets too: writer keys of before read no metadata of chains that are opened from now on, and each plan's next
    /// backup is a full
    #[arg(long, requires = "key_out")]
    writers: bool,

    /// The new recovery key of a rotation that was interrupted
    #[arg(long, value_name = "FILE", conflicts_with_all = ["key_out", "writer_key_out", "writers"])]
    finish: Option<PathBuf>,
}

pub(super) fn run(session: &Session, arguments: &RotateArguments) -> Result<ExitStatus, CliError> {
    let old = key_files::read(key_path(&arguments.key)?)?;
    key_files::need_recovery(&old, "rotation")?;
    let report = match (&arguments.finish, &arguments.key_out) {
        (Some(finish), _) => {
            let new = key_files::read(finish)?;
            key_files::need_recovery(&new, "finishing a rotation")?;
            finish_rotation(&session.open(&arguments.repository, &arguments.key)?, &new)?
        }
        (None, Some(key_out)) => make(
            session,
            arguments,
            &KeyTargets { recovery: key_out, writer: arguments.writer_key_out.as_deref() },
        )?,
        (None, None) => return Err(CliError::Usage("give --key-out FILE for the new recovery key".into())),
    };
    session.output.show(&NewKeyDocument {
        repository: old.repository,
        team: old.team.clone(),
        generation: report.generation,
        key_file: arguments.finish.as_deref().or(arguments.key_out.as_deref()).map(shown),
        writer_key_file: arguments.writer_key_out.as_deref().map(shown),
        chains: report.chains,
        points: report.points,
        chains_unopened: report.chains_unopened,
    })?;
    Ok(ExitStatus::Done)
}

fn make(
    session: &Session,
    arguments: &RotateArguments,
    targets: &KeyTargets<'_>,
) -> Result<RotateReport, CliError> {
    targets.check()?;
    let repository = session.open(&arguments.repository, &arguments.key)?;
    let environment = session.environment();
    let mut save = |key: &_| targets.save_for_engine(&environment, key);
    let secrets = if arguments.writers { SecretsWish::Replace } else { SecretsWish::Keep };
    rotate(&repository, secrets, &mut save).map_err(|error| explain(targets, error.into()))
}

fn explain(targets: &KeyTargets<'_>, error: CliError) -> CliError {
    if !targets.recovery.exists() {
        return error;
    }
    let path = targets.recovery.display();
    let next = format!(
        "the new key is in {path}: run `coffer key rotate --finish {path}` with the old key; if that says that another key was \
         published, remove {path} and rotate again. Keep the old key until one of both succeeded"
    );
    CliError::After { source: Box::new(error), next }
}
