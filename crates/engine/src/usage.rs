//! Who uses how much of the bucket, from listings and manifests; nothing is opened, no key is needed.

use std::collections::{BTreeMap, BTreeSet};

use coffer_format::{Id, Label, PlanId, PointType, VolumeName, object_key};

use crate::catalog::{Filter, PointEntry, list_points};
use crate::inventory::{PlanObjects, VolumeObjects, list_objects, unnamed};
use crate::repository::list_teams;
use crate::survey::Survey;
use crate::{EngineError, Repository};

/// What rows are made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageBy {
    /// One row per team.
    Team,
    /// One row per cluster of a team.
    Cluster,
    /// One row per namespace.
    Namespace,
    /// One row per plan.
    Plan,
    /// One row per volume of a plan.
    Volume,
}

/// One row. Bytes are those of stored objects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageRow {
    /// Points that hold something of it.
    pub points: u64,
    /// Objects.
    pub objects: u64,
    /// All bytes.
    pub bytes: u64,
    /// Bytes written by full backups.
    pub full_bytes: u64,
    /// Bytes written by incremental backups.
    pub incremental_bytes: u64,
    /// Bytes of manifests, maps, trailers and keys.
    pub metadata_bytes: u64,
    /// Bytes that prune would give back; `None` where a manifest cannot be read.
    pub reclaimable_bytes: Option<u64>,
    /// Bytes of uploads that were never completed.
    pub unfinished_upload_bytes: u64,
}

/// The labels of a row: team, then as many more as asked for.
pub type UsageLabels = Vec<(&'static str, String)>;

/// Adds up what the filter matches.
pub fn usage(
    repository: &Repository,
    filter: &Filter,
    by: UsageBy,
) -> Result<Vec<(UsageLabels, UsageRow)>, EngineError> {
    let teams = match filter.team.as_ref().or(repository.team()) {
        Some(team) => vec![team.clone()],
        None => list_teams(repository.store().as_ref())?,
    };
    let mut rows = BTreeMap::new();
    for team in &teams {
        let points = list_points(repository, &Filter { team: Some(team.clone()), ..filter.clone() })?;
        for (plan, objects) in list_objects(repository, team)? {
            if matches(filter, &plan) {
                PlanUsage { repository, plan: &plan, objects: &objects, points: &points, by }
                    .add(&mut rows, filter)?;
            }
        }
    }
    Ok(rows.into_iter().collect())
}

fn matches(filter: &Filter, plan: &PlanId) -> bool {
    let label =
        |wanted: &Option<Label>, actual: &Label| wanted.as_ref().is_none_or(|wanted| wanted == actual);
    label(&filter.cluster, &plan.cluster)
        && label(&filter.namespace, &plan.namespace)
        && label(&filter.plan, &plan.plan)
}

struct PlanUsage<'a> {
    repository: &'a Repository,
    plan: &'a PlanId,
    objects: &'a PlanObjects,
    points: &'a [PointEntry],
    by: UsageBy,
}

impl PlanUsage<'_> {
    fn add(&self, rows: &mut BTreeMap<UsageLabels, UsageRow>, filter: &Filter) -> Result<(), EngineError> {
        let mut survey = Survey::new(self.repository, self.plan, self.objects.owners());
        survey.read()?;
        let named = survey.unreadable.is_empty().then(|| survey.names());
        let mut counted: BTreeSet<(UsageLabels, Id)> = BTreeSet::new();
        for (chain_id, chain) in &self.objects.chains {
            for (owner, objects) in &chain.volumes {
                let (point, volume) = owner;
                if filter.volume.as_ref().is_some_and(|wanted| wanted != volume) {
                    continue;
                }
                let labels = self.labels(Some(volume));
                let row = rows.entry(labels.clone()).or_insert_with(zero_row);
                add_volume(row, *point, volume, objects, &survey);
                row.reclaimable_bytes = match (row.reclaimable_bytes, named) {
                    (Some(sum), Some(names)) => {
                        Some(sum + unnamed(names, self.plan, chain_id, owner, objects).bytes())
                    }
                    _ => None,
                };
                if self.points.iter().any(|listed| listed.id == *point) && counted.insert((labels, *point)) {
                    row.points += 1;
                }
            }
            if self.by != UsageBy::Volume {
                let row = rows.entry(self.labels(None)).or_insert_with(zero_row);
                let bytes = chain.keys.values().sum::<u64>();
                row.objects += chain.keys.len() as u64;
                row.bytes += bytes;
                row.metadata_bytes += bytes;
            }
        }
        if self.by != UsageBy::Volume {
            let row = rows.entry(self.labels(None)).or_insert_with(zero_row);
            self.add_manifests(row)?;
            for upload in self.repository.store().list_uploads(&object_key::data_prefix(self.plan))? {
                row.unfinished_upload_bytes += upload.bytes;
            }
        }
        Ok(())
    }

    fn add_manifests(&self, row: &mut UsageRow) -> Result<(), EngineError> {
        crate::inventory::for_each_object(
            self.repository,
            &object_key::plan_points_prefix(self.plan),
            |object| {
                row.objects += 1;
                row.bytes += object.len;
                row.metadata_bytes += object.len;
            },
        )
    }

    fn labels(&self, volume: Option<&VolumeName>) -> UsageLabels {
        let all = [
            ("team", self.plan.team.to_string()),
            ("cluster", self.plan.cluster.to_string()),
            ("namespace", self.plan.namespace.to_string()),
            ("plan", self.plan.plan.to_string()),
            ("volume", volume.map(ToString::to_string).unwrap_or_default()),
        ];
        let count = match self.by {
            UsageBy::Team => 1,
            UsageBy::Cluster => 2,
            UsageBy::Namespace => 3,
            UsageBy::Plan => 4,
            UsageBy::Volume => 5,
        };
        all.into_iter().take(count).collect()
    }
}

fn zero_row() -> UsageRow {
    UsageRow { reclaimable_bytes: Some(0), ..UsageRow::default() }
}

fn add_volume(
    row: &mut UsageRow,
    point: Id,
    volume: &VolumeName,
    objects: &VolumeObjects,
    survey: &Survey<'_>,
) {
    let bytes = objects.bytes();
    row.objects += objects.count();
    row.bytes += bytes;
    let standing = survey.standing.get(&point);
    let record = standing.and_then(|standing| standing.volumes.iter().find(|record| record.name == *volume));
    row.metadata_bytes += record.map_or(objects.map.unwrap_or(0), |record| record.metadata);
    match record.map(|record| record.point_type) {
        Some(PointType::Full) => row.full_bytes += bytes,
        Some(PointType::Incremental) => row.incremental_bytes += bytes,
        // The point is forgotten: only the lineage of later points tells whether it came first.
        None if is_first_of_a_lineage(point, volume, survey) => row.full_bytes += bytes,
        None => row.incremental_bytes += bytes,
    }
}

fn is_first_of_a_lineage(point: Id, volume: &VolumeName, survey: &Survey<'_>) -> bool {
    let records = survey.standing.values().flat_map(|standing| &standing.volumes);
    let mut of_volume = records.filter(|record| record.name == *volume);
    of_volume.any(|record| record.first == Some(point))
}
