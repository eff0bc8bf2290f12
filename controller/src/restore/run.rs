//! One restore, stage by stage. Killed anywhere, the next controller goes on with the stage that is written down; each step can be done twice.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use coffer_api::{ConflictPolicy, PointIdentity, Restore, RestoreStage, TargetMode};
use coffer_engine::catalog::{Filter, load_manifest};
use coffer_engine::{MEMORY_BYTES_MIN, Resources, find_point, lend_chain_key, restore_to_stream};
use coffer_format::{Id, VolumeKind};
use kube::{Api, ResourceExt};

use super::journal::Journal;
use super::target::{Target, target};
use super::{claims, objects, preflight, resolve, scale, volumes};
use crate::application::Document;
use crate::context::Context;
use crate::repositories::{Access, KeyUse};
use crate::runs::{RunStop, on_thread};
use crate::tenants;

/// How often a restore is tried, and the pauses between.
const PAUSES: [Duration; 3] = [Duration::from_secs(5), Duration::from_secs(20), Duration::from_secs(60)];

/// Why a restore ends without being done.
#[derive(Debug)]
enum Ended {
    /// The preflight says no: nothing was made or written.
    Refused,
    /// Something failed, and may do next time.
    Failed(anyhow::Error),
}

impl From<anyhow::Error> for Ended {
    fn from(error: anyhow::Error) -> Ended {
        Ended::Failed(error)
    }
}

/// What the point holds.
struct Contents {
    document: Option<Document>,
    /// Names and sizes.
    volumes: Vec<(String, u64)>,
    time: String,
}

/// Runs a restore to its end and writes it down.
pub(super) async fn run(context: Arc<Context>, restore: Arc<Restore>, stop: RunStop) {
    let (namespace, name) = (restore.namespace().unwrap_or_default(), restore.name_any());
    // What was seen may be older than the end that a run before this one wrote.
    let api: Api<Restore> = Api::namespaced(context.client.clone(), &namespace);
    let restore = match api.get_opt(&name).await {
        Ok(Some(restore)) => Arc::new(restore),
        Ok(None) => return,
        Err(_) => restore,
    };
    if restore.status.as_ref().is_some_and(|status| status.phase.has_ended()) {
        return;
    }
    tracing::info!(namespace, restore = name, "restore begins");
    let mut journal = Journal::new(&context, &restore);
    let mut pauses = PAUSES.iter();
    let ended = loop {
        match stages(&context, &mut journal, &stop).await {
            Err(Ended::Failed(error)) if !stop.token().is_cancelled() => match pauses.next() {
                Some(pause) => {
                    tracing::warn!(
                        namespace,
                        restore = name,
                        error = format!("{error:#}"),
                        "restore failed, trying again"
                    );
                    tokio::time::sleep(*pause).await;
                }
                None => break Err(Ended::Failed(error)),
            },
            ended => break ended,
        }
    };
    if stop.token().is_cancelled() {
        tracing::info!(namespace, restore = name, "restore left as it is");
        return;
    }
    let written = match ended {
        Ok(message) => {
            tracing::info!(namespace, restore = name, message, "restore completed");
            journal.complete(&message).await
        }
        Err(Ended::Refused) => {
            let blocking = journal.status.findings.iter().filter(|finding| finding.blocking);
            let reasons: Vec<String> =
                blocking.map(|finding| format!("{}: {}", finding.object, finding.message)).collect();
            let message = format!("nothing was made or written: {}", reasons.join("; "));
            tracing::warn!(namespace, restore = name, message, "restore refused");
            journal.fail(&message).await
        }
        Err(Ended::Failed(error)) => {
            let message = format!("{error:#}{}", left_down(&journal));
            tracing::error!(namespace, restore = name, message, "restore failed");
            journal.fail(&message).await
        }
    };
    if let Err(error) = written {
        tracing::warn!(
            namespace,
            restore = name,
            error = format!("{error:#}"),
            "the end of a restore cannot be written"
        );
    }
}

/// Which workloads a failed restore leaves scaled down: their volumes may be half-written.
fn left_down(journal: &Journal<'_>) -> String {
    let names: Vec<String> = journal
        .status
        .scaled_down
        .iter()
        .map(|scaled| format!("{} {} ({} replicas before)", scaled.kind, scaled.name, scaled.replicas))
        .collect();
    if names.is_empty() {
        return String::new();
    }
    format!(
        "; left scaled down, as volumes may be half-written: {}; restore again, or scale up by hand",
        names.join(", ")
    )
}

async fn stages(context: &Arc<Context>, journal: &mut Journal<'_>, stop: &RunStop) -> Result<String, Ended> {
    let spec = &journal.restore.spec;
    let teams = tenants::teams(&context.client).await?;
    let tenant = tenants::tenant(&teams, &journal.namespace)?;
    journal.stage(RestoreStage::Preflight, "the point is chosen").await?;
    let point = match journal.status.point.clone() {
        Some(point) => point,
        None => {
            let point = resolve::resolve(context, journal.restore, &tenant, stop).await?;
            journal.status.point = Some(point.clone());
            journal.write().await?;
            point
        }
    };
    let location = tenants::location(&context.client, &point.location).await?;
    let access = Access::read(context, &location, Some(&tenant.team), KeyUse::Recovery).await?;
    let (access, contents) = read(context, access, &point, stop).await?;
    journal.status.point_in_time = Some(contents.time.clone());
    let names = (journal.namespace.as_str(), &*journal.restore.name_any(), point.point.as_str());
    let target = target(contents.document.as_ref(), &contents.volumes, &spec.target, names);
    // What a run before this one began must not be taken for somebody else's.
    let is_fresh = journal.status.volumes.is_empty();
    if is_fresh {
        preflight::look(journal, &target).await?;
        if journal.status.findings.iter().any(|finding| finding.blocking) {
            return Err(Ended::Refused);
        }
    }
    if spec.dry_run {
        return Ok(format!(
            "dry run: {} volumes and {} objects would be brought back; nothing was made or written",
            target.volumes.len(),
            target.objects.len()
        ));
    }
    // Once all is written the application may be up again, and is not taken down a second time.
    let is_written = !is_fresh && journal.status.volumes.iter().all(|volume| volume.done);
    if !is_written {
        bring_back(journal, &access, &point, &target, stop).await?;
    }
    Ok(activate(journal, &target).await?)
}

/// Reads what the point holds. The way to the repository comes back for the agents: with the key of the point's chain, and not the recovery key.
async fn read(
    context: &Arc<Context>,
    access: Access,
    point: &PointIdentity,
    stop: &RunStop,
) -> anyhow::Result<(Access, Contents)> {
    let id: Id = point.point.parse().context("the point's id")?;
    let team = point.team.parse().context("the team's name")?;
    let (shared, token) = (context.clone(), stop.token());
    on_thread("read a point", move || {
        let repository = access.open(&shared, token)?;
        let entry = find_point(&repository, &Filter { team: Some(team), ..Filter::default() }, id)?;
        let manifest = load_manifest(&repository, &entry)?.payload;
        let mut contents =
            Contents { document: None, volumes: Vec::new(), time: entry.summary.time.to_string() };
        for record in manifest.volumes.iter().map(|volume| &volume.payload) {
            if record.error.is_some() {
                bail!("volume {} failed when point {id} was made: choose another point", record.name);
            }
            if record.kind != VolumeKind::Resources {
                contents.volumes.push((record.name.to_string(), record.size));
                continue;
            }
            let resources = Resources::within(MEMORY_BYTES_MIN, 1)?;
            let mut bytes = Vec::new();
            restore_to_stream(&repository, &resources, &entry, &record.name, &mut bytes)?;
            contents.document = Some(Document::decode(&bytes)?);
        }
        let lent = lend_chain_key(&repository, &entry.plan, entry.summary.chain)?;
        drop(repository);
        Ok((access.with_key(lent.as_ref()), contents))
    })
    .await?
}

async fn bring_back(
    journal: &mut Journal<'_>,
    access: &Access,
    point: &PointIdentity,
    target: &Target,
    stop: &RunStop,
) -> anyhow::Result<()> {
    journal.stage(RestoreStage::Volumes, "claims are made and bound").await?;
    if journal.status.volumes.is_empty() {
        // From here on what is found there is ours.
        journal.status.volumes = target
            .volumes
            .iter()
            .map(|volume| coffer_api::RestoredVolumeStatus {
                name: volume.name.clone(),
                claim: volume.claim.clone(),
                ..coffer_api::RestoredVolumeStatus::default()
            })
            .collect();
        journal.write().await?;
    }
    match journal.restore.spec.target.mode {
        TargetMode::NewVolumes => claims::bind(journal, &target.volumes).await?,
        TargetMode::ExistingVolumes => {
            let names = target.volumes.iter().map(|volume| volume.claim.clone()).collect();
            scale::down(journal, &names).await?;
        }
    }
    let places = claims::places(journal, &target.volumes).await?;
    journal.stage(RestoreStage::Volumes, "agents write").await?;
    volumes::write(journal, access, point, &target.volumes, &places, stop).await
}

/// Makes the objects, or scales up again, and waits for the workloads.
async fn activate(journal: &mut Journal<'_>, target: &Target) -> anyhow::Result<String> {
    let (client, namespace) = (journal.context.client.clone(), journal.namespace.clone());
    journal.stage(RestoreStage::Activation, "the application's objects are made").await?;
    let in_place = journal.restore.spec.target.mode == TargetMode::ExistingVolumes;
    if in_place {
        scale::up(journal).await?;
    } else {
        let keeps = journal.restore.spec.target.on_conflict == ConflictPolicy::Keep;
        let mut made = 0;
        for object in &target.objects {
            if !(keeps && objects::exists(&client, &namespace, object).await?) {
                objects::apply(&client, &namespace, object).await?;
                made += 1;
            }
        }
        journal.status.objects = made;
    }
    journal.stage(RestoreStage::Verified, "workloads are waited for").await?;
    let ready = objects::wait_until_ready(&client, &namespace, &target.objects).await?;
    Ok(format!(
        "{} volumes and {} objects are back, {ready} workloads are ready",
        target.volumes.len(),
        journal.status.objects
    ))
}
