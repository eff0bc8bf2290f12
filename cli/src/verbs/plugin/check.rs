//! `coffer plugin check`: the conformance suite on a running plugin.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use coffer_format::ResourceRef;
use coffer_plugin_sdk::check::{Trial, check};

use crate::documents::plugin::{PluginCheckDocument, PluginRule};
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::plugins::{read_options, runtime};
use crate::session::Session;
use crate::values;

const EXAMPLES: &str = "\
Examples:
  coffer plugin check unix:/run/coffer/plugins/trove.sock
  coffer plugin check unix:/run/coffer/plugins/files.sock --resource Example::Directory/shop --restore-options again.json

Without --resource nothing is changed. With it the resource is protected, and the artefact deleted again; with --restore-options a resource is
restored, which stays: delete it yourself.";

/// Options of `plugin check`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct CheckArguments {
    /// The plugin's socket
    #[arg(value_name = "unix:/SOCKET", value_parser = socket)]
    socket: PathBuf,

    /// A resource that may be protected for a trial
    #[arg(long, value_name = "TYPE/ID", value_parser = values::format_value::<ResourceRef>)]
    resource: Option<ResourceRef>,

    /// Options of its protection, a JSON object
    #[arg(long, value_name = "FILE", requires = "resource")]
    options: Option<PathBuf>,

    /// Options of a restore, a JSON object; without them none is tried
    #[arg(long, value_name = "FILE", requires = "resource")]
    restore_options: Option<PathBuf>,

    /// How long one call may take
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..))]
    timeout: u32,
}

fn socket(text: &str) -> Result<PathBuf, String> {
    match text.strip_prefix("unix:") {
        Some(path) if path.starts_with('/') => Ok(PathBuf::from(path)),
        _ => Err("write unix: and the absolute path of the socket".to_owned()),
    }
}

pub(crate) fn run(session: &Session, arguments: &CheckArguments) -> Result<ExitStatus, CliError> {
    let trial =
        arguments.resource.as_ref().map(|reference| trial(session, arguments, reference)).transpose()?;
    let checked = runtime()?.block_on(check(&arguments.socket, trial.as_ref()));
    let rules: Vec<PluginRule> = checked.into_iter().map(PluginRule::from).collect();
    let broken = rules.iter().filter(|rule| rule.problem.is_some()).count();
    session.output.show(&PluginCheckDocument { rules })?;
    if broken == 0 {
        return Ok(ExitStatus::Done);
    }
    let line = format!(
        "the plugin breaks {broken} rules; the lines above say which, docs/plugins.md says what they mean"
    );
    Ok(session.output.close(ExitStatus::Failed, &line))
}

fn trial(session: &Session, arguments: &CheckArguments, reference: &ResourceRef) -> Result<Trial, CliError> {
    let key = session.environment().new_id()?;
    Ok(Trial {
        reference: reference.clone(),
        protect_options: arguments.options.as_deref().map_or(Ok("{}".into()), read_options)?,
        restore_options: arguments.restore_options.as_deref().map(read_options).transpose()?,
        key: format!("check-{key}"),
        timeout: Duration::from_secs(arguments.timeout.into()),
    })
}
