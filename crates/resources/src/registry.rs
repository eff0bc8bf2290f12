//! Which plugins there are: every `*.sock` in one directory. A plugin that does not answer hides no other, and is told.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coffer_format::ResourceType;
use coffer_plugin_sdk::{PluginClient, PluginError};

use crate::error::ResourceError;

/// Most plugins in a directory.
const PLUGINS_MAX: usize = 64;

/// The plugins that answer, by the types that they have.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    plugins: Vec<Arc<PluginClient>>,
    types: BTreeMap<ResourceType, usize>,
    /// Plugins that do not answer.
    pub silent: Vec<PluginError>,
}

impl Registry {
    /// Asks every plugin in `directory` who it is. A directory that is not there has none.
    ///
    /// # Errors
    /// Where the directory cannot be read, or two plugins have the same name or type: nobody could tell which is meant.
    pub async fn discover(directory: &Path) -> Result<Self, ResourceError> {
        let mut registry = Registry::default();
        for socket in sockets(directory)? {
            match PluginClient::connect(&socket).await {
                Ok(client) => registry.add(client)?,
                Err(error) => registry.silent.push(error),
            }
        }
        Ok(registry)
    }

    /// Adds a plugin.
    ///
    /// # Errors
    /// As [`Registry::discover`].
    pub fn add(&mut self, client: PluginClient) -> Result<(), ResourceError> {
        if self.plugins.iter().any(|known| known.name == client.name) {
            return Err(ResourceError::Refused(format!(
                "two plugins are named {}; stop one of them",
                client.name
            )));
        }
        for kind in &client.types {
            let Ok(name) = kind.r#type.parse::<ResourceType>() else { continue };
            if let Some(other) = self.types.insert(name, self.plugins.len()) {
                let other = self.plugins.get(other).map_or("", |plugin| plugin.name.as_str());
                let text = format!(
                    "plugins {other} and {} both have type {}; stop one of them",
                    client.name, kind.r#type
                );
                return Err(ResourceError::Refused(text));
            }
        }
        self.plugins.push(Arc::new(client));
        Ok(())
    }

    /// All plugins that answer.
    pub fn plugins(&self) -> &[Arc<PluginClient>] {
        &self.plugins
    }

    /// The plugin of a type.
    ///
    /// # Errors
    /// Where there is none; the error names plugins that do not answer.
    pub fn plugin(&self, kind: &ResourceType) -> Result<&Arc<PluginClient>, ResourceError> {
        let found = self.types.get(kind).and_then(|index| self.plugins.get(*index));
        found.ok_or_else(|| {
            let silent: Vec<String> = self.silent.iter().map(ToString::to_string).collect();
            let silent = if silent.is_empty() { String::new() } else { format!(" ({})", silent.join("; ")) };
            ResourceError::NoPlugin { kind: kind.to_string(), silent }
        })
    }

    /// Whether resources of a type are protected, and do not only hold others.
    pub fn is_protectable(&self, kind: &ResourceType) -> bool {
        let types = self.plugins.iter().flat_map(|plugin| &plugin.types);
        types.filter(|known| known.r#type == kind.as_ref()).any(|known| known.protectable)
    }
}

fn sockets(directory: &Path) -> Result<Vec<PathBuf>, ResourceError> {
    let failed = |source| ResourceError::File { step: "list plugins in", path: directory.to_owned(), source };
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut sockets = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "sock") {
            sockets.push(path);
        }
    }
    sockets.sort();
    if sockets.len() > PLUGINS_MAX {
        let text =
            format!("{} has {} sockets, {PLUGINS_MAX} are allowed", directory.display(), sockets.len());
        return Err(ResourceError::Refused(text));
    }
    Ok(sockets)
}
