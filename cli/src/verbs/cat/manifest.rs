//! `coffer cat manifest`.

use clap::Args;
use coffer_engine::Repository;
use coffer_engine::catalog::Filter;
use coffer_format::Id;
use serde_json::json;

use super::object::read_manifest;
use super::options::CatOptions;
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::selection::point_by_id;
use crate::session::Session;

const EXAMPLES: &str = "\
Examples:
  coffer cat manifest --repo file:///srv/backup 01jd3k5x6v8q2m4n7p9r0s1t2w
  coffer cat manifest --repo file:///srv/backup t/default/points/host/default/web/01jd3k5x6v8q2m4n7p9r0s1t2w";

/// Options of `cat manifest`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ManifestArguments {
    #[command(flatten)]
    options: CatOptions,

    /// Object key, or the id of a point
    #[arg(value_name = "KEY")]
    object: String,
}

pub(super) fn run(session: &Session, arguments: &ManifestArguments) -> Result<ExitStatus, CliError> {
    let repository = session.open(&arguments.options.repository, &arguments.options.key)?;
    let key = object_key(&repository, &arguments.object)?;
    let (manifest, signed) = read_manifest(&repository, &key)?;
    let checked = if signed { "signature" } else { "digest" };
    session.output.show_json(
        &json!({ "key": key, "payload": manifest.payload, "seal": manifest.seal, "checked": checked }),
    )?;
    Ok(ExitStatus::Done)
}

fn object_key(repository: &Repository, word: &str) -> Result<String, CliError> {
    if let Ok(point) = word.parse::<Id>() {
        return Ok(point_by_id(repository, &Filter::default(), point)?.key);
    }
    match coffer_format::object_key::parse_manifest(word) {
        Ok(_) => Ok(word.to_owned()),
        Err(_) => Err(CliError::Usage(format!(
            "`{word}` is no manifest's key and no point's id; write t/TEAM/points/CLUSTER/NAMESPACE/PLAN/POINT or an id"
        ))),
    }
}
