//! The result of `usage`: one row per team, cluster, namespace, plan or volume.

use coffer_engine::{UsageLabels, UsageRow};
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::human;
use crate::output::Document;
use crate::table::Table;
use crate::text::Text;

/// All rows.
#[derive(Debug)]
pub(crate) struct UsageDocument(pub(crate) Vec<(UsageLabels, UsageRow)>);

/// One row as JSON: its labels by name, then the figures.
struct RowDocument<'a>(&'a UsageLabels, &'a UsageRow);

impl Serialize for UsageDocument {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|(labels, row)| RowDocument(labels, row)))
    }
}

impl Serialize for RowDocument<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let RowDocument(labels, row) = self;
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in labels.iter() {
            map.serialize_entry(name, value)?;
        }
        map.serialize_entry("points", &row.points)?;
        map.serialize_entry("objects", &row.objects)?;
        map.serialize_entry("bytes", &row.bytes)?;
        map.serialize_entry("full_bytes", &row.full_bytes)?;
        map.serialize_entry("incremental_bytes", &row.incremental_bytes)?;
        map.serialize_entry("metadata_bytes", &row.metadata_bytes)?;
        map.serialize_entry("reclaimable_bytes", &row.reclaimable_bytes)?;
        map.serialize_entry("unfinished_upload_bytes", &row.unfinished_upload_bytes)?;
        map.end()
    }
}

impl Document for UsageDocument {
    fn text(&self) -> Text {
        let mut table = Table::new(&[
            "WHO",
            ">POINTS",
            ">OBJECTS",
            ">BYTES",
            ">FULL",
            ">INCREMENTAL",
            ">METADATA",
            ">RECLAIMABLE",
        ]);
        for (labels, row) in &self.0 {
            let who: Vec<&str> = labels.iter().map(|(_, value)| value.as_str()).collect();
            table.row([
                who.join("/"),
                row.points.to_string(),
                row.objects.to_string(),
                human::size(row.bytes),
                human::size(row.full_bytes),
                human::size(row.incremental_bytes),
                human::size(row.metadata_bytes),
                row.reclaimable_bytes.map_or_else(|| "unknown".into(), human::size),
            ]);
        }
        table.text()
    }
}
