//! `coffer doctor`: tries what backups and restores will need, and says what does not work. It leaves nothing but its findings.

mod checks;

use clap::Args;

use self::checks::Checks;
use crate::documents::doctor::DoctorDocument;
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::options::{KeyOptions, RepositoryOptions};
use crate::session::Session;
use crate::volume_words::SourceWord;

const EXAMPLES: &str = "\
Examples:
  coffer doctor --repo file:///srv/backup
  coffer doctor --repo file:///srv/backup --key writer.key /dev/vdb disk.img

Small objects below capabilities/ are written and removed again; the findings stay there.";

/// Options of `doctor`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct DoctorArguments {
    #[command(flatten)]
    repository: RepositoryOptions,
    #[command(flatten)]
    key: KeyOptions,

    /// Devices and images that are to be backed up
    #[arg(value_name = "VOLUME")]
    volumes: Vec<SourceWord>,
}

pub(crate) fn run(session: &Session, arguments: &DoctorArguments) -> Result<ExitStatus, CliError> {
    session.address(&arguments.repository)?;
    let mut checks = Checks::default();
    let capabilities = checks.store(session, &arguments.repository);
    checks.repository(session, &arguments.repository, &arguments.key);
    checks.memory();
    checks.read_engine();
    arguments.volumes.iter().for_each(|volume| checks.volume(volume));
    let document = DoctorDocument { checks: checks.done(), capabilities };
    session.output.show(&document)?;
    let failed = document.failed();
    if failed.is_empty() {
        return Ok(ExitStatus::Done);
    }
    let line = format!("{} failed; do what the lines above say and run it again", failed.join(", "));
    Ok(session.output.close(ExitStatus::Failed, &line))
}
