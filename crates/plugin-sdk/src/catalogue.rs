//! The types of a plugin with their schemas, checked once when the plugin starts; older versions when they are asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use coffer_proto::plugin::v1::{ResourceType, Verb};

use crate::failure::{Failure, Reason};
use crate::plugin::{Plugin, SchemaTexts, TypeInfo, unknown_type};
use crate::schema::{Schema, SchemaError};

/// A plugin cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// Its name, types or schemas break the rules.
    #[error("plugin {plugin}: {detail}")]
    Plugin {
        /// Its name.
        plugin: String,
        /// What is wrong.
        detail: String,
    },
}

/// Schemas of one version of a type.
#[derive(Debug)]
pub struct Schemas {
    /// The version.
    pub version: String,
    protect: Schema,
    restore: Schema,
    verify: Schema,
    delete: Schema,
}

impl Schemas {
    /// Takes the four texts.
    ///
    /// # Errors
    /// Where one of them is no usable schema; the error names the verb.
    pub fn new(version: &str, [protect, restore, verify, delete]: [&str; 4]) -> Result<Self, SchemaError> {
        let schema = |verb: &str, text: &str| {
            Schema::new(text).map_err(|error| SchemaError::Schema(format!("of {verb}: {error}")))
        };
        Ok(Schemas {
            version: version.to_owned(),
            protect: schema("protect", protect)?,
            restore: schema("restore", restore)?,
            verify: schema("verify", verify)?,
            delete: schema("delete", delete)?,
        })
    }

    fn of_texts(texts: &SchemaTexts) -> Result<Self, SchemaError> {
        Schemas::new(texts.version, [texts.protect, texts.restore, texts.verify, texts.delete])
    }

    /// The schema of a verb.
    pub fn of(&self, verb: Verb) -> Option<&Schema> {
        Some(match verb {
            Verb::Protect => &self.protect,
            Verb::Restore => &self.restore,
            Verb::Verify => &self.verify,
            Verb::Delete => &self.delete,
            Verb::Unspecified => return None,
        })
    }
}

/// Schemas by type and version; an empty version is the newest.
type Known = HashMap<(String, String), Arc<Schemas>>;

/// Types and schemas of one plugin.
pub(crate) struct Catalogue {
    types: Vec<TypeInfo>,
    known: Mutex<Known>,
}

impl Catalogue {
    /// Checks what a plugin says of itself.
    pub(crate) fn new(plugin: &dyn Plugin) -> Result<Self, CatalogueError> {
        let wrong = |detail: String| CatalogueError::Plugin { plugin: plugin.name().to_owned(), detail };
        plugin.name().parse::<coffer_format::Label>().map_err(|error| wrong(error.to_string()))?;
        let catalogue = Catalogue { types: plugin.types(), known: Mutex::default() };
        if catalogue.types.is_empty() || catalogue.types.len() > 64 {
            return Err(wrong(format!("has {} types, 1 to 64 are allowed", catalogue.types.len())));
        }
        for kind in &catalogue.types {
            kind.name.parse::<coffer_format::ResourceType>().map_err(|error| wrong(error.to_string()))?;
            if catalogue.types.iter().filter(|other| other.name == kind.name).count() > 1 {
                return Err(wrong(format!("has type {} twice", kind.name)));
            }
            if kind.protectable {
                let schemas = catalogue.schemas(plugin, kind.name, "");
                schemas.map_err(|failure| wrong(format!("type {}: {failure}", kind.name)))?;
            }
        }
        Ok(catalogue)
    }

    pub(crate) fn types(&self) -> Vec<ResourceType> {
        let message = |kind: &TypeInfo| ResourceType {
            r#type: kind.name.to_owned(),
            parents: kind.parents.iter().map(|&parent| parent.to_owned()).collect(),
            display_name: kind.display_name.to_owned(),
            protectable: kind.protectable,
        };
        self.types.iter().map(message).collect()
    }

    /// Fails for a type that the plugin does not have.
    pub(crate) fn check_type(&self, kind: &str) -> Result<(), Failure> {
        let known = self.types.iter().any(|known| known.name == kind);
        if known { Ok(()) } else { Err(unknown_type(kind)) }
    }

    /// Schemas of a protectable type; the newest where `version` is empty.
    pub(crate) fn schemas(
        &self,
        plugin: &dyn Plugin,
        kind: &str,
        version: &str,
    ) -> Result<Arc<Schemas>, Failure> {
        let info = self.types.iter().find(|known| known.name == kind).ok_or_else(|| unknown_type(kind))?;
        if !info.protectable {
            return Err(Failure::new(
                Reason::UnknownType,
                format!("type {kind} holds others and is not protected itself"),
            ));
        }
        let name = (kind.to_owned(), version.to_owned());
        if let Some(known) = self.known.lock().expect("nobody panics with the schemas in hand").get(&name) {
            return Ok(known.clone());
        }
        let wished = Some(version).filter(|version| !version.is_empty());
        let texts = plugin.schemas(kind, wished).ok_or_else(|| {
            Failure::new(
                Reason::UnknownSchema,
                format!("type {kind} has no schema version {version:?} here; use the plugin's version that made the point, or a later one"),
            )
        })?;
        let schemas =
            Schemas::of_texts(&texts).map_err(|error| Failure::new(Reason::Bug, error.to_string()))?;
        let schemas = Arc::new(schemas);
        self.known.lock().expect("nobody panics with the schemas in hand").insert(name, schemas.clone());
        Ok(schemas)
    }
}
