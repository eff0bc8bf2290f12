//! `coffer init`: the key files first, then the repository, so that no data can ever be sealed to a key that was lost.

use std::path::{Path, PathBuf};

use clap::Args;
use coffer_engine::Repository;
use coffer_engine::one_line;
use coffer_format::object_key;
use coffer_store::{Key, ObjectStore};

use crate::documents::init::InitDocument;
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::key_targets::KeyTargets;
use crate::options::RepositoryOptions;
use crate::probe;
use crate::session::Session;
use crate::verbs::backup::cluster_name;

const EXAMPLES: &str = "\
Examples:
  coffer init --repo file:///srv/backup --key-out recovery.key --writer-key-out writer.key
  coffer init --repo file:///srv/scratch --no-encryption

Keep a copy of the recovery key away from this machine: whoever has it can read everything, and without it nothing can be
restored. Machines that only make backups get the writer key.";

/// Options of `init`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct InitArguments {
    #[command(flatten)]
    repository: RepositoryOptions,

    /// New file for the recovery key, which alone can read data
    #[arg(long, value_name = "FILE")]
    key_out: Option<PathBuf>,

    /// New file for a writer key, which makes backups and cannot read data
    #[arg(long, value_name = "FILE", requires = "key_out")]
    writer_key_out: Option<PathBuf>,

    /// Store everything readable for everyone; detects accidents, not malice
    #[arg(long, conflicts_with_all = ["key_out", "writer_key_out"])]
    no_encryption: bool,
}

pub(crate) fn run(session: &Session, arguments: &InitArguments) -> Result<ExitStatus, CliError> {
    let targets = key_targets(arguments)?;
    session.address(&arguments.repository)?;
    let store = session.open_store(&arguments.repository, true)?;
    refuse_existing(store.as_ref())?;
    let environment = session.environment();
    let capabilities = probe::probe(store.as_ref(), &environment)?;
    let config = match &targets {
        Some(targets) => {
            let mut save = |key: &_| targets.save_for_engine(&environment, key);
            Repository::init(store.as_ref(), &environment, true, &mut save)
                .map_err(|error| targets.explain(error.into()))?
        }
        None => {
            tracing::warn!(
                "no encryption: whoever reads the repository reads the data; only accidents are detected"
            );
            Repository::init(store.as_ref(), &environment, false, &mut |_| Ok(()))?
        }
    };
    if let Err(error) = store.restore_reserve() {
        tracing::warn!(error = one_line(&error), "no reserve is kept: a full repository cannot be pruned");
    }
    let cluster = cluster_name().unwrap_or_else(|_| "unknown".parse().expect("a valid label"));
    for finding in capabilities.findings() {
        tracing::warn!("about the server: {finding}");
    }
    if let Err(error) = probe::record(store.as_ref(), &environment, &cluster, &capabilities) {
        // The repository stands and needs them for nothing.
        tracing::warn!("the findings could not be kept below capabilities/: {}", error.line());
    }
    session.output.show(&InitDocument {
        repository: config.repository,
        format: config.format,
        encrypted: config.encrypted,
        capabilities,
        key_file: arguments.key_out.as_deref().map(shown),
        writer_key_file: arguments.writer_key_out.as_deref().map(shown),
    })?;
    Ok(ExitStatus::Done)
}

fn key_targets(arguments: &InitArguments) -> Result<Option<KeyTargets<'_>>, CliError> {
    if arguments.no_encryption {
        return Ok(None);
    }
    let Some(recovery) = arguments.key_out.as_deref() else {
        return Err(CliError::Usage(
            "give --key-out FILE for the recovery key: without a key that is kept, nothing could ever be restored \
             (or --no-encryption, which detects accidents, not malice)"
                .into(),
        ));
    };
    let targets = KeyTargets { recovery, writer: arguments.writer_key_out.as_deref() };
    targets.check()?;
    Ok(Some(targets))
}

/// Fails before anything is written; the engine looks again.
fn refuse_existing(store: &dyn ObjectStore) -> Result<(), CliError> {
    if store.exists(&Key::new(object_key::config())?)? {
        return Err(CliError::Refused(format!(
            "{} already holds a repository; choose another place",
            store.describe()
        )));
    }
    Ok(())
}

fn shown(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
