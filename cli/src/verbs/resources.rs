//! `coffer resources`: what plugins find. Changes nothing, needs no repository.

use clap::{Args, Subcommand};
use coffer_format::{ResourceRef, ResourceType};
use coffer_plugin_sdk::v1::Resource;
use coffer_resources::{Registry, ResourceError};
use tokio::runtime::Runtime;

use crate::documents::resources::{ResourceRow, ResourcesDocument, TypeRow, TypesDocument};
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::plugins::{PluginOptions, discover, runtime};
use crate::session::Session;
use crate::values;

/// The verbs of `resources`.
#[derive(Subcommand, Debug)]
pub(crate) enum ResourcesVerb {
    /// List the types that plugins protect
    Types(TypesArguments),
    /// List resources of a type, or those below one
    List(ListArguments),
    /// Show one resource
    Show(ShowArguments),
}

/// Options of `resources types`.
#[derive(Args, Debug)]
#[command(
    after_long_help = "Examples:\n  coffer resources types\n  coffer resources types --plugin-dir /run/coffer/plugins --json"
)]
pub(crate) struct TypesArguments {
    #[command(flatten)]
    plugins: PluginOptions,
}

/// Options of `resources list`.
#[derive(Args, Debug)]
#[command(
    after_long_help = "Examples:\n  coffer resources list OS::Trove::Instance\n  coffer resources list --below OS::Keystone::Project/4f3a\n\nA list that is not whole is a failure: a backup by it would miss some."
)]
pub(crate) struct ListArguments {
    /// Type of the resources
    #[arg(value_name = "TYPE", value_parser = values::format_value::<ResourceType>, required_unless_present = "below")]
    kind: Option<ResourceType>,

    /// Resources right below this one instead
    #[arg(long, value_name = "TYPE/ID", value_parser = values::format_value::<ResourceRef>, conflicts_with = "kind")]
    below: Option<ResourceRef>,

    #[command(flatten)]
    plugins: PluginOptions,
}

/// Options of `resources show`.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:\n  coffer resources show OS::Trove::Instance/4f3a --json")]
pub(crate) struct ShowArguments {
    /// The resource
    #[arg(value_name = "TYPE/ID", value_parser = values::format_value::<ResourceRef>)]
    resource: ResourceRef,

    #[command(flatten)]
    plugins: PluginOptions,
}

pub(crate) fn run(session: &Session, verb: &ResourcesVerb) -> Result<ExitStatus, CliError> {
    let runtime = runtime()?;
    match verb {
        ResourcesVerb::Types(arguments) => types(session, &discover(&runtime, &arguments.plugins)?),
        ResourcesVerb::List(arguments) => {
            let registry = discover(&runtime, &arguments.plugins)?;
            list(session, &runtime, &registry, arguments)
        }
        ResourcesVerb::Show(arguments) => {
            let registry = discover(&runtime, &arguments.plugins)?;
            let resource =
                runtime.block_on(registry.plugin(&arguments.resource.kind)?.show(&arguments.resource));
            let resource = resource.map_err(ResourceError::from)?;
            session.output.show(&ResourcesDocument(vec![ResourceRow::from(resource)]))?;
            Ok(ExitStatus::Done)
        }
    }
}

fn types(session: &Session, registry: &Registry) -> Result<ExitStatus, CliError> {
    let rows = registry
        .plugins()
        .iter()
        .flat_map(|plugin| plugin.types.iter().map(|kind| TypeRow::new(kind, plugin)));
    session.output.show(&TypesDocument(rows.collect()))?;
    match registry.silent.first() {
        None => Ok(ExitStatus::Done),
        Some(error) => {
            Ok(session.output.close(ExitStatus::Partly, &format!("a plugin does not answer: {error}")))
        }
    }
}

fn list(
    session: &Session,
    runtime: &Runtime,
    registry: &Registry,
    arguments: &ListArguments,
) -> Result<ExitStatus, CliError> {
    let found = match (&arguments.kind, &arguments.below) {
        (Some(kind), _) => {
            vec![runtime.block_on(registry.plugin(kind)?.list(kind.as_ref())).map_err(ResourceError::from)?]
        }
        (None, Some(parent)) => {
            let below = registry.plugins().iter().map(|plugin| runtime.block_on(plugin.dependents(parent)));
            below.collect::<Result<_, _>>().map_err(ResourceError::from)?
        }
        (None, None) => return Err(CliError::Usage("name a TYPE, or give --below TYPE/ID".into())),
    };
    let missing: Vec<String> = found.iter().flat_map(|found| found.missing.clone()).collect();
    let resources =
        found.into_iter().flat_map(|found| found.resources.into_values().collect::<Vec<Resource>>());
    session.output.show(&ResourcesDocument(resources.map(ResourceRow::from).collect()))?;
    if missing.is_empty() {
        return Ok(ExitStatus::Done);
    }
    let line = format!("the list is not whole: {}; a backup by it would miss some", missing.join("; "));
    Ok(session.output.close(ExitStatus::Partly, &line))
}
