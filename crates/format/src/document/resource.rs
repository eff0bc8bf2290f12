//! Resource records: what became of one resource of a point that a plugin protects. They stand in the manifest, which signs them.

use serde::{Deserialize, Serialize};

use super::volume::{VolumeState, WARNING_LEN_MAX, WARNINGS_MAX};
use crate::error::{check, check_range};
use crate::{FormatError, Label, ResourceId, ResourceRef, VolumeName};

/// Most resources of a point.
pub const RESOURCES_MAX: usize = 16_384;
/// Most bytes of options.
pub const OPTIONS_LEN_MAX: usize = 64 << 10;
/// Most bytes of what a plugin wants to know of its artefact.
pub const DETAILS_LEN_MAX: usize = 16 << 10;
const NAME_LEN_MAX: usize = 256;
const SCHEMA_LEN_MAX: usize = 32;
const KEY_LEN_MAX: usize = 128;
const ERROR_LEN_MAX: usize = 1024;
const WHAT: &str = "resource record";

/// What a plugin made of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtefactRecord {
    /// The plugin's id of it.
    pub id: ResourceId,
    /// A JSON object as text: what the plugin needs to restore, verify and delete it.
    pub details: String,
}

/// What became of one resource in a point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceRecord {
    /// The resource.
    #[serde(rename = "ref")]
    pub reference: ResourceRef,
    /// Its name for people, or empty.
    pub name: String,
    /// The plugin that protected it.
    pub plugin: Label,
    /// Version of the schema of its options.
    pub schema: String,
    /// A JSON object as text: the options it was protected with, defaults included.
    pub options: String,
    /// Whether it is in the point.
    pub state: VolumeState,
    /// The key under which the plugin finds what it made for this point.
    pub key: String,
    /// What the plugin made; nothing where it failed.
    pub artefact: Option<ArtefactRecord>,
    /// The volume of the point with its data, if it has any.
    pub volume: Option<VolumeName>,
    /// Why it failed.
    pub error: Option<String>,
    /// What was odd.
    pub warnings: Vec<String>,
}

impl ResourceRecord {
    /// An error unless its values agree with each other and keep the limits.
    pub fn check(&self) -> Result<(), FormatError> {
        let text = |field, text: &str, min, max| {
            check_range(WHAT, field, text.len() as u64, min, max as u64).map(drop)
        };
        text("bytes of a name", &self.name, 0, NAME_LEN_MAX)?;
        text("bytes of a schema version", &self.schema, 1, SCHEMA_LEN_MAX)?;
        text("bytes of a key", &self.key, 1, KEY_LEN_MAX)?;
        text("bytes of options", &self.options, 2, OPTIONS_LEN_MAX)?;
        check_object(&self.options, "options are not a JSON object")?;
        if let Some(artefact) = &self.artefact {
            text("bytes of an artefact's details", &artefact.details, 2, DETAILS_LEN_MAX)?;
            check_object(&artefact.details, "an artefact's details are not a JSON object")?;
        }
        if let Some(error) = &self.error {
            text("bytes of an error", error, 1, ERROR_LEN_MAX)?;
        }
        check_range(WHAT, "warnings", self.warnings.len() as u64, 0, WARNINGS_MAX as u64)?;
        self.warnings
            .iter()
            .try_for_each(|warning| text("bytes of a warning", warning, 1, WARNING_LEN_MAX))?;
        match self.state {
            VolumeState::Available => {
                let whole = self.artefact.is_some() && self.error.is_none();
                check(whole, WHAT, "it is available without an artefact, or with an error")
            }
            VolumeState::Failed => check(self.error.is_some(), WHAT, "it failed without an error"),
        }
    }
}

fn check_object(text: &str, detail: &'static str) -> Result<(), FormatError> {
    let parsed: Result<serde_json::Map<String, serde_json::Value>, _> = serde_json::from_str(text);
    check(parsed.is_ok(), WHAT, detail)
}
