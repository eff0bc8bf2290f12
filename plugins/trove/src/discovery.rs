//! The project and its instances, as resources.

use coffer_plugin_sdk::{Failure, Listing, Page, Reason, ResourceRef, v1};
use serde_json::Value;

use crate::trove::Trove;
use crate::trove_plugin::{INSTANCE, PROJECT};

/// The one project that the plugin's identity is of.
pub(crate) async fn projects(trove: &Trove) -> Result<Listing, Failure> {
    let access = trove.access().await?;
    let reference = v1::ResourceRef { r#type: PROJECT.into(), id: access.project };
    let resource = v1::Resource {
        r#ref: Some(reference),
        name: access.project_name,
        status: "ACTIVE".into(),
        ..Default::default()
    };
    Ok(Listing { resources: vec![resource], ..Listing::default() })
}

/// The project, if it is the plugin's own.
pub(crate) async fn project(trove: &Trove, reference: &ResourceRef) -> Result<v1::Resource, Failure> {
    let own = projects(trove).await?.resources;
    let is_asked =
        |resource: &v1::Resource| resource.r#ref.as_ref().is_some_and(|own| own.id == reference.id.as_ref());
    own.into_iter().find(is_asked).ok_or_else(|| Failure::not_found(reference))
}

/// One page of the project's instances. All are read for each page: Trove's own pages shift.
pub(crate) async fn instances(trove: &Trove, page: &Page) -> Result<Listing, Failure> {
    let project = trove.access().await?.project;
    let mut all = trove.instances().await?;
    all.sort_by(|a, b| a["id"].as_str().cmp(&b["id"].as_str()));
    let after = |instance: &Value| instance["id"].as_str().is_some_and(|id| id > page.token.as_str());
    let mut rest = all.iter().filter(|instance| after(instance));
    let taken: Vec<&Value> = rest.by_ref().take(page.size).collect();
    let more = rest.next().is_some();
    let last = taken.last().and_then(|instance| instance["id"].as_str()).unwrap_or_default();
    Ok(Listing {
        next: if more { last.to_owned() } else { String::new() },
        resources: taken.into_iter().map(|instance| resource(instance, &project)).collect(),
        missing: Vec::new(),
    })
}

/// One instance.
pub(crate) async fn instance(trove: &Trove, reference: &ResourceRef) -> Result<v1::Resource, Failure> {
    let project = trove.access().await?.project;
    let found = trove.instance(reference.id.as_ref()).await?;
    found.map(|instance| resource(&instance, &project)).ok_or_else(|| Failure::not_found(reference))
}

/// How an instance's state stands to its protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// It can be protected.
    Ready,
    /// It will be, or nobody knows.
    Soon,
    /// It will not be by itself.
    Never,
}

/// What a state of an instance means; one that is not known is waited for, within the time of the work.
pub(crate) fn readiness(status: &str) -> Readiness {
    match status {
        "ACTIVE" => Readiness::Ready,
        "ERROR" | "FAILED" | "BLOCKED" | "SHUTDOWN" | "RESTART_REQUIRED" => Readiness::Never,
        _ => Readiness::Soon,
    }
}

/// An instance as a resource.
pub(crate) fn resource(instance: &Value, project: &str) -> v1::Resource {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let status = text(&instance["status"]);
    let unready_reason = match readiness(&status) {
        Readiness::Never => format!("the instance is in state {status}; mend it, then run again"),
        Readiness::Ready | Readiness::Soon => String::new(),
    };
    let details = [
        ("datastore", text(&instance["datastore"]["type"])),
        ("version", text(&instance["datastore"]["version"])),
        ("volume_gib", instance["volume"]["size"].as_u64().map(|size| size.to_string()).unwrap_or_default()),
    ];
    v1::Resource {
        r#ref: Some(v1::ResourceRef { r#type: INSTANCE.into(), id: text(&instance["id"]) }),
        name: text(&instance["name"]),
        status,
        unready_reason,
        parent: Some(v1::ResourceRef { r#type: PROJECT.into(), id: project.to_owned() }),
        details: details
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    }
}

/// The failure of an instance that cannot be protected.
pub(crate) fn unready(reference: &ResourceRef, status: &str) -> Failure {
    Failure::new(Reason::NotReady, format!("{reference} is in state {status}; mend it, then run again"))
}
