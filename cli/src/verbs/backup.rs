//! `coffer backup`: opens the volumes and lets the engine make one point of them.

mod agents;
mod host;
mod lists;
mod request;
mod resources;
mod siblings;
pub(crate) mod sources;

pub(crate) use self::host::cluster as cluster_name;

use std::num::NonZeroU64;
use std::sync::Arc;

use coffer_engine::RateLimiter;
use coffer_engine::backup::{BackupRequest, Progress, run_backup};

pub(crate) use self::request::BackupArguments;
use self::request::{hint_at_siblings, plan, show, tags};
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::progress::Reporter;
use crate::session::Session;
use crate::verbs::version::program_version;

pub(crate) fn run(session: &Session, arguments: &BackupArguments) -> Result<ExitStatus, CliError> {
    if session.agents.are_given() {
        return agents::run(session, arguments);
    }
    if !arguments.resource.is_empty() {
        return resources::run(session, arguments);
    }
    let tags = tags(&arguments.tag)?;
    sources::check(&arguments.volumes)?;
    let changes = lists::check(&arguments.changes, &arguments.volumes)?;
    let repository = session.open(&arguments.repository, &arguments.key)?;
    let mut resources = Session::resources(&arguments.memory)?;
    let limiter = |rate: Option<NonZeroU64>| rate.map(|rate| Arc::new(RateLimiter::new(rate)));
    resources.read_limit = limiter(arguments.limits.limit_read);
    resources.upload_limit = limiter(arguments.limits.limit_upload);
    let plan = plan(&repository, &arguments.identity)?;
    // Whatever is wrong with the key is said before devices are opened.
    repository.check_writing(&plan.team)?;
    let opener = session.opener(&arguments.reading, &resources)?;
    let volumes = sources::open(&arguments.volumes, &opener)?;
    let lists = changes.read(&volumes)?;
    let reporter = Reporter::start(&session.output, "backup");
    let progress: Arc<dyn Progress> = reporter.progress();
    let request = BackupRequest {
        plan,
        volumes,
        type_wish: arguments.type_wish.into(),
        full_every: arguments.full_every,
        changes: changes.source,
        lists,
        block_size: arguments.block_size,
        compression: arguments.compression,
        snapshot_time: arguments.snapshot_time,
        idempotency_key: arguments.idempotency_key.clone(),
        description: arguments.description.clone(),
        tags,
        writer: format!("coffer {}", program_version()),
        progress,
    };
    let report = run_backup(&repository, &resources, &request);
    drop(reporter);
    let report = report?;
    hint_at_siblings(session, arguments, &repository, &report);
    let engines = sources::engines(&request.volumes);
    show(session, report, &engines, repository.store().requests())
}
