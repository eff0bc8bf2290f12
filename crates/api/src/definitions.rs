//! The definitions of all kinds, as they are in `deploy/crds`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray,
};
use kube::CustomResourceExt;

use crate::{Backup, BackupLocation, ContinuityPlan, Restore, Team};

/// All definitions, in the order of their names.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    let all = [Backup::crd(), BackupLocation::crd(), ContinuityPlan::crd(), Restore::crd(), Team::crd()];
    all.into_iter().map(with_known_formats).collect()
}

/// Kubernetes knows signed formats only and warns of others; the bounds say the same.
fn with_known_formats(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        schema.into_iter().for_each(strip_unsigned);
    }
    definition
}

fn strip_unsigned(schema: &mut JSONSchemaProps) {
    if schema.format.as_deref().is_some_and(|format| format.starts_with('u')) {
        schema.format = None;
    }
    schema.properties.iter_mut().flatten().for_each(|(_, schema)| strip_unsigned(schema));
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(schema)) => strip_unsigned(schema),
        Some(JSONSchemaPropsOrArray::Schemas(schemas)) => schemas.iter_mut().for_each(strip_unsigned),
        None => {}
    }
}
