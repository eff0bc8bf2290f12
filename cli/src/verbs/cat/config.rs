//! `coffer cat config`.

use clap::Args;
use coffer_format::{Config, object_key};
use coffer_store::Key;
use serde_json::json;

use super::object::{DOCUMENT_LEN_MAX, damaged};
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::options::RepositoryOptions;
use crate::session::Session;

/// Options of `cat config`.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:\n  coffer cat config --repo file:///srv/backup")]
pub(crate) struct ConfigArguments {
    #[command(flatten)]
    repository: RepositoryOptions,

    /// Object key
    #[arg(value_name = "KEY", default_value_t = object_key::config())]
    object: String,
}

pub(super) fn run(session: &Session, arguments: &ConfigArguments) -> Result<ExitStatus, CliError> {
    let store = session.open_store(&arguments.repository, false)?;
    let key = &arguments.object;
    let bytes = store.get(&Key::new(key.as_str())?, DOCUMENT_LEN_MAX)?;
    let config = Config::decode(&bytes).map_err(|source| damaged(key, source))?;
    session.output.show_json(&json!({ "key": key, "payload": config }))?;
    Ok(ExitStatus::Done)
}
