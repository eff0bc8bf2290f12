//! `coffer cat map`: the header always; root and extents with a key of the team.

use clap::Args;
use coffer_engine::{EngineError, Repository};
use coffer_format::{DataObject, MAP_HEADER_LEN, MapHeader, VolumePath, VolumeRecord, object_key};
use coffer_store::StoreError;
use serde_json::{Value, json};

use super::map_pages::MapPages;
use super::object::{damaged, metadata_secrets, object_len, read_manifest, read_range};
use super::options::CatOptions;
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::session::Session;

const EXAMPLES: &str = "\
Examples:
  coffer cat map --repo file:///srv/backup --key writer.key t/default/data/host/default/web/CHAIN/POINT/vdb/map
  coffer cat map --repo file:///srv/backup --key writer.key --limit 1000 t/default/data/host/default/web/CHAIN/POINT/vdb/map

Blocks without an extent are zero.";

/// Options of `cat map`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct MapArguments {
    #[command(flatten)]
    options: CatOptions,

    /// Object key
    #[arg(value_name = "KEY")]
    object: String,

    /// Most extents that are printed
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
}

pub(super) fn run(session: &Session, arguments: &MapArguments) -> Result<ExitStatus, CliError> {
    let key = &arguments.object;
    let path = parse(key)?;
    let repository = session.open(&arguments.options.repository, &arguments.options.key)?;
    let length = object_len(&repository, key)?;
    let header = read_range(&repository, key, 0, MAP_HEADER_LEN)?;
    let header = MapHeader::decode(&header).map_err(|source| damaged(key, source))?;
    let header = json!({
        "suite": header.suite.number(), "block_size": header.block_size.bytes(), "origin": header.origin,
        "context": header.context,
    });
    let mut document = json!({ "key": key, "length": length, "header": header, "root": null, "extents": [] });
    match inside(&repository, &path, arguments.limit)? {
        Ok((root, extents)) => {
            document["root"] = root;
            document["extents"] = extents;
        }
        Err(why_not) => document["notice"] = json!(why_not),
    }
    session.output.show_json(&document)?;
    Ok(ExitStatus::Done)
}

fn parse(key: &str) -> Result<VolumePath, CliError> {
    match object_key::parse_data(key) {
        Ok((plan, chain, DataObject::Map { point, volume })) => Ok(VolumePath { plan, chain, point, volume }),
        _ => Err(CliError::Usage(format!(
            "`{key}` is no map's key; write t/TEAM/data/CLUSTER/NAMESPACE/PLAN/CHAIN/POINT/VOLUME/map"
        ))),
    }
}

/// Root and extents, or why they cannot be read.
fn inside(
    repository: &Repository,
    path: &VolumePath,
    limit: usize,
) -> Result<Result<(Value, Value), &'static str>, CliError> {
    let Some(secrets) = metadata_secrets(repository, &path.plan, path.chain)? else {
        return Ok(Err("root and extents need a key of the team"));
    };
    let Some(record) = find_record(repository, path)? else {
        return Ok(Err(
            "the place of the root is told by the point's manifest, which is gone or does not name this volume",
        ));
    };
    let pages = MapPages::new(repository, &record, &secrets);
    let root = pages.root()?;
    let extents = pages.extents(&root, limit)?;
    Ok(Ok((pages.describe_root(&root), extents)))
}

fn find_record(repository: &Repository, path: &VolumePath) -> Result<Option<VolumeRecord>, CliError> {
    match read_manifest(repository, &object_key::manifest(&path.plan, &path.point)) {
        Ok((manifest, _)) => {
            let mut records = manifest.payload.volumes.into_iter().map(|volume| volume.payload);
            Ok(records.find(|record| record.name == path.volume && record.root.is_some()))
        }
        Err(EngineError::Store(StoreError::NotFound { .. })) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
