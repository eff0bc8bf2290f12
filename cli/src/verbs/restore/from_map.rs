//! `coffer restore --salvage --map KEY`: a volume whose manifest is lost comes back by its map object.

use coffer_engine::{MapVolume, Repository, Resources, map_volume, salvage_from_map};
use coffer_store::RepositoryUrl;

use super::places::Places;
use super::request::{RestoreArguments, Sparse, cancelled_or, close, explain};
use crate::documents::restore::RestoreDocument;
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::progress::Reporter;
use crate::session::Session;
use crate::targets::{self, Wanted};

pub(super) fn run(
    session: &Session,
    arguments: &RestoreArguments,
    repository: &Repository,
    resources: &Resources,
    places: &Places,
    key: &str,
) -> Result<ExitStatus, CliError> {
    let found = map_volume(repository, key)?;
    repository.recovery_key(&found.plan.team)?;
    let wanted = wanted(places, &found, key)?;
    if let RepositoryUrl::File { root } = session.address(&arguments.repository)? {
        targets::refuse_inside(&root, std::slice::from_ref(&wanted))?;
    }
    let checked = [targets::check(wanted, arguments.existing())?];
    let environment = session.environment();
    let dense = (arguments.sparse == Sparse::Never).then_some(&environment.cancel);
    let volumes = targets::open(&checked, dense)?;
    let [volume] = volumes.as_slice() else { return Err(one_volume()) };
    let reporter = Reporter::start(&session.output, "restore");
    let salvaged = salvage_from_map(repository, resources, key, volume, reporter.progress().as_ref());
    let report = cancelled_or(repository, salvaged).map_err(|error| explain(error.into()))?;
    drop(reporter);
    let lost_bytes = report.volumes.iter().map(|volume| volume.lost_bytes).sum();
    let document = RestoreDocument::new(
        report.point,
        report.volumes,
        false,
        repository.store().requests(),
        session.duration_ms(),
    );
    session.output.show(&document)?;
    close(session, &[], lost_bytes)
}

fn wanted(places: &Places, found: &MapVolume, key: &str) -> Result<Wanted, CliError> {
    let (name, path) = places.only().ok_or_else(one_volume)?;
    if *name != found.name {
        return Err(CliError::NotFound(format!(
            "{key} is the map of volume {}, not of {name}; give --volume {}=TARGET",
            found.name, found.name
        )));
    }
    Ok(Wanted { name: name.clone(), size: found.size, path: path.to_owned() })
}

fn one_volume() -> CliError {
    CliError::Usage(
        "a map is of one volume: give --map KEY with one --volume NAME=TARGET, and no NAME=-".into(),
    )
}
