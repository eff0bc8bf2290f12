//! The results of `resources`, and resources in those of other verbs.

use std::collections::BTreeMap;

use coffer_format::{ResourceRecord, VolumeName, VolumeState};
use coffer_plugin_sdk::PluginClient;
use coffer_plugin_sdk::v1::{Resource, ResourceType};
use serde::Serialize;

use crate::output::Document;
use crate::table::Table;
use crate::text::Text;

/// Types of all plugins.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct TypesDocument(pub(crate) Vec<TypeRow>);

/// One type.
#[derive(Debug, Serialize)]
pub(crate) struct TypeRow {
    #[serde(rename = "type")]
    kind: String,
    parents: Vec<String>,
    display_name: String,
    protectable: bool,
    plugin: String,
    plugin_version: String,
}

impl TypeRow {
    pub(crate) fn new(kind: &ResourceType, plugin: &PluginClient) -> Self {
        TypeRow {
            kind: kind.r#type.clone(),
            parents: kind.parents.clone(),
            display_name: kind.display_name.clone(),
            protectable: kind.protectable,
            plugin: plugin.name.clone(),
            plugin_version: plugin.version.clone(),
        }
    }
}

impl Document for TypesDocument {
    fn text(&self) -> Text {
        let mut table = Table::new(&["TYPE", "NAME", "PROTECTED", "PLUGIN", "PARENTS"]);
        for row in &self.0 {
            let protectable = if row.protectable { "yes" } else { "no, holds others" };
            table.row([
                row.kind.clone(),
                row.display_name.clone(),
                protectable.to_owned(),
                format!("{} {}", row.plugin, row.plugin_version),
                row.parents.join(","),
            ]);
        }
        table.text()
    }
}

/// Resources that plugins found.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct ResourcesDocument(pub(crate) Vec<ResourceRow>);

/// One resource.
#[derive(Debug, Serialize)]
pub(crate) struct ResourceRow {
    #[serde(rename = "type")]
    kind: String,
    id: String,
    name: String,
    status: String,
    unready_reason: Option<String>,
    parent: Option<String>,
    details: BTreeMap<String, String>,
}

impl From<Resource> for ResourceRow {
    fn from(resource: Resource) -> Self {
        let reference = resource.r#ref.unwrap_or_default();
        ResourceRow {
            kind: reference.r#type,
            id: reference.id,
            name: resource.name,
            status: resource.status,
            unready_reason: Some(resource.unready_reason).filter(|reason| !reason.is_empty()),
            parent: resource.parent.map(|parent| format!("{}/{}", parent.r#type, parent.id)),
            details: resource.details.into_iter().collect(),
        }
    }
}

impl ResourceRow {
    /// `TYPE/ID`.
    pub(crate) fn reference(&self) -> String {
        format!("{}/{}", self.kind, self.id)
    }

    /// State, and why it cannot be protected.
    pub(crate) fn state(&self) -> String {
        match &self.unready_reason {
            Some(reason) => format!("{} ({reason})", self.status),
            None => self.status.clone(),
        }
    }
}

impl Document for ResourcesDocument {
    fn text(&self) -> Text {
        let mut table = Table::new(&["RESOURCE", "NAME", "STATE", "DETAILS"]);
        for row in &self.0 {
            let details: Vec<String> =
                row.details.iter().map(|(name, value)| format!("{name}={value}")).collect();
            table.row([row.reference(), row.name.clone(), row.state(), details.join(" ")]);
        }
        table.text()
    }
}

/// A resource of a point.
#[derive(Debug, Serialize)]
pub(crate) struct PointResource {
    #[serde(rename = "type")]
    kind: String,
    id: String,
    name: String,
    plugin: String,
    schema: String,
    state: VolumeState,
    artefact: Option<String>,
    volume: Option<VolumeName>,
    error: Option<String>,
    warnings: Vec<String>,
}

impl From<ResourceRecord> for PointResource {
    fn from(record: ResourceRecord) -> Self {
        PointResource {
            kind: record.reference.kind.to_string(),
            id: record.reference.id.to_string(),
            name: record.name,
            plugin: record.plugin.to_string(),
            schema: record.schema,
            state: record.state,
            artefact: record.artefact.map(|artefact| artefact.id.to_string()),
            volume: record.volume,
            error: record.error,
            warnings: record.warnings,
        }
    }
}

impl PointResource {
    /// What failed, and why.
    pub(crate) fn failed(&self) -> Option<String> {
        let error = self.error.as_ref()?;
        Some(format!("{}/{} ({error})", self.kind, self.id))
    }

    /// Its lines for people.
    pub(crate) fn lines(&self, text: &mut Text) {
        let (kind, id) = (&self.kind, &self.id);
        match (&self.error, &self.artefact) {
            (Some(error), _) => text.line(format_args!("resource {kind}/{id}: failed: {error}")),
            (None, Some(artefact)) => text.line(format_args!("resource {kind}/{id}: artefact {artefact}")),
            (None, None) => text.line(format_args!("resource {kind}/{id}: nothing made")),
        }
        for warning in &self.warnings {
            text.line(format_args!("resource {kind}/{id}: warning: {warning}"));
        }
    }
}
