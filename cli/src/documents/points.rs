//! The result of `points`: one entry per point, oldest first.

use coffer_engine::catalog::PointEntry;
use coffer_format::{Id, Label, PointState, PointType, Timestamp, VolumeName};
use serde::Serialize;

use crate::human;
use crate::output::Document;
use crate::table::Table;
use crate::text::Text;

/// The points that match.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct PointsDocument(pub(crate) Vec<PointRow>);

/// One point.
#[derive(Debug, Serialize)]
pub(crate) struct PointRow {
    point: Id,
    team: Label,
    cluster: Label,
    namespace: Label,
    plan: Label,
    #[serde(rename = "type")]
    point_type: PointType,
    type_reason: String,
    time: Timestamp,
    completed: Timestamp,
    chain: Id,
    sequence: u64,
    parent: Option<Id>,
    state: PointState,
    size: u64,
    changed: u64,
    stored: u64,
    volumes: Vec<VolumeName>,
}

impl PointRow {
    /// A point of the listing with the names of its volumes.
    pub(crate) fn new(entry: PointEntry, volumes: Vec<VolumeName>) -> Self {
        let PointEntry { plan, id, summary, .. } = entry;
        PointRow {
            point: id,
            team: plan.team,
            cluster: plan.cluster,
            namespace: plan.namespace,
            plan: plan.plan,
            point_type: summary.kind,
            type_reason: summary.reason.text(),
            time: summary.time,
            completed: summary.completed,
            chain: summary.chain,
            sequence: summary.sequence,
            parent: summary.parent,
            state: summary.state,
            size: summary.size,
            changed: summary.changed,
            stored: summary.stored,
            volumes,
        }
    }
}

impl Document for PointsDocument {
    fn text(&self) -> Text {
        let mut table = Table::new(&[
            "POINT", "TIME", "TYPE", "STATE", ">SIZE", ">CHANGED", ">STORED", "PLAN", "VOLUMES",
        ]);
        for row in &self.0 {
            table.row([
                row.point.to_string(),
                row.time.to_string(),
                row.point_type.to_string(),
                row.state.to_string(),
                human::size(row.size),
                human::size(row.changed),
                human::size(row.stored),
                format!("{}/{}/{}/{}", row.team, row.cluster, row.namespace, row.plan),
                row.volumes.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            ]);
        }
        table.text()
    }
}
