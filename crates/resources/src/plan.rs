//! Which resources a run protects: what was named, and all that is below it. Everything is found and checked before anything is done.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use coffer_format::ResourceRef;
use coffer_plugin_sdk::v1::{Resource, Verb};
use coffer_plugin_sdk::{PluginClient, PluginError, Reason};

use crate::error::ResourceError;
use crate::graph::{Graph, GraphError, RESOURCES_MAX};
use crate::registry::Registry;

/// A resource that somebody named, with options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The resource.
    pub reference: ResourceRef,
    /// A JSON object; what is below the resource takes it too, unless it is named itself.
    pub options: String,
}

/// A resource that a run protects.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The resource.
    pub reference: ResourceRef,
    /// Its name for people.
    pub name: String,
    /// Its plugin.
    pub plugin: Arc<PluginClient>,
    /// Version of the schema of its options.
    pub schema: String,
    /// Options with defaults.
    pub options: String,
    /// Why it cannot be protected now, as its plugin tells.
    pub unready: Option<String>,
}

/// Resources in the order of their preparation.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// Parents before children. Resources that only hold others are left out.
    pub resources: Vec<Planned>,
    /// Parents by resource, of those that are protected.
    pub graph: Graph,
}

/// Finds all that is below the named resources, puts it in order, and holds options against the newest schemas.
///
/// # Errors
/// Where a resource is not there, something cannot be enumerated, options break a schema, or there is no order. Nothing was done then.
pub async fn plan(registry: &Registry, wishes: &[Wish]) -> Result<Plan, ResourceError> {
    let found = Found::below(registry, wishes).await?;
    let mut resources = Vec::new();
    for reference in found.graph.parents_first()? {
        if !registry.is_protectable(&reference.kind) {
            continue;
        }
        let plugin = registry.plugin(&reference.kind)?;
        let (resource, options) = found.resources.get(&reference).cloned().unwrap_or_default();
        let schemas = plugin.schemas(reference.kind.as_ref(), "").await?;
        let options = check(plugin, &schemas, Verb::Protect, &reference, &options)?;
        resources.push(Planned {
            name: resource.name.chars().take(60).collect(),
            plugin: plugin.clone(),
            schema: schemas.version.clone(),
            options,
            unready: Some(resource.unready_reason).filter(|reason| !reason.is_empty()),
            reference,
        });
    }
    Ok(Plan { resources, graph: found.graph })
}

/// Options with defaults, held against a schema here; the plugin does it once more.
pub(crate) fn check(
    plugin: &PluginClient,
    schemas: &coffer_plugin_sdk::Schemas,
    verb: Verb,
    reference: &ResourceRef,
    options: &str,
) -> Result<String, ResourceError> {
    let schema = schemas.of(verb).expect("every verb that is asked for has a schema");
    schema.apply(options).map_err(|error| {
        let failure = coffer_plugin_sdk::Failure::new(Reason::Invalid, error.to_string());
        PluginError { plugin: plugin.name.clone(), call: format!("options of {reference}"), failure }.into()
    })
}

/// What was found so far.
struct Found {
    graph: Graph,
    /// Each with the options that it takes.
    resources: BTreeMap<ResourceRef, (Resource, String)>,
}

impl Found {
    async fn below(registry: &Registry, wishes: &[Wish]) -> Result<Self, ResourceError> {
        let mut found = Found { graph: Graph::default(), resources: BTreeMap::new() };
        let mut todo = VecDeque::new();
        for wish in wishes {
            let resource = registry.plugin(&wish.reference.kind)?.show(&wish.reference).await?;
            if found.resources.insert(wish.reference.clone(), (resource, wish.options.clone())).is_some() {
                return Err(ResourceError::Refused(format!(
                    "{} is named twice; name it once",
                    wish.reference
                )));
            }
            found.graph.add(wish.reference.clone());
            todo.push_back(wish.reference.clone());
        }
        while let Some(parent) = todo.pop_front() {
            found.add_dependents(registry, &parent, &mut todo).await?;
            if found.graph.len() > RESOURCES_MAX {
                return Err(GraphError::TooMany(found.graph.len()).into());
            }
        }
        Ok(found)
    }

    async fn add_dependents(
        &mut self,
        registry: &Registry,
        parent: &ResourceRef,
        todo: &mut VecDeque<ResourceRef>,
    ) -> Result<(), ResourceError> {
        let options = self.resources.get(parent).map_or_else(String::new, |(_, options)| options.clone());
        let knows = |plugin: &&Arc<PluginClient>| {
            plugin.types.iter().any(|kind| kind.parents.iter().any(|name| name == parent.kind.as_ref()))
        };
        for plugin in registry.plugins().iter().filter(knows) {
            let below = plugin.dependents(parent).await?;
            if !below.missing.is_empty() {
                return Err(ResourceError::Incomplete {
                    parent: parent.to_string(),
                    detail: below.missing.join("; "),
                });
            }
            for (child, resource) in below.resources {
                self.graph.add_below(parent.clone(), child.clone());
                if !self.resources.contains_key(&child) {
                    self.resources.insert(child.clone(), (resource, options.clone()));
                    todo.push_back(child);
                }
            }
        }
        Ok(())
    }
}
