//! The definitions of all kinds, as they are in `deploy/crds`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::{Backup, BackupLocation, ContinuityPlan, Restore, Team};

/// All definitions, in the order of their names.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![Backup::crd(), BackupLocation::crd(), ContinuityPlan::crd(), Restore::crd(), Team::crd()]
}
