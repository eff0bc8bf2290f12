//! An application's objects as one document: a `List` in canonical JSON, which `kubectl apply` takes as it is.
//!
//! Workloads that use a protected claim, what their pods need, the Services that select these pods, roles of their service accounts, and further
//! objects by label. What belongs to one cluster only is taken out (`clean`), so that an unchanged application makes an unchanged document.

use std::collections::{BTreeMap, BTreeSet};

use coffer_api::{Selection, annotation};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, PodTemplateSpec, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::clean::clean;
use super::observe::list;
use super::references::References;
use super::select::{Observed, claims, of_pod, of_stateful_set};

pub(super) mod clean;

/// Bytes of a document at most.
pub(super) const DOCUMENT_BYTES_MAX: usize = 32 << 20;

/// An application's objects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    #[serde(rename = "apiVersion")]
    api_version: String,
    kind: String,
    /// The objects, by kind and name.
    pub items: Vec<Value>,
}

impl Document {
    /// A document of these objects.
    fn new(mut items: Vec<Value>) -> Document {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        items.sort_by_cached_key(|item| (text(&item["kind"]), text(&item["metadata"]["name"])));
        items.dedup();
        Document { api_version: "v1".into(), kind: "List".into(), items }
    }

    /// As bytes; keys stand in their order.
    ///
    /// # Errors
    /// It is too long.
    fn encode(&self) -> anyhow::Result<Vec<u8>> {
        let bytes = serde_json::to_vec(self)?;
        if bytes.len() > DOCUMENT_BYTES_MAX {
            anyhow::bail!(
                "the application's objects are {} bytes, {DOCUMENT_BYTES_MAX} at most: select fewer by label",
                bytes.len()
            );
        }
        Ok(bytes)
    }

    /// From bytes.
    ///
    /// # Errors
    /// They are no such document.
    pub fn decode(bytes: &[u8]) -> anyhow::Result<Document> {
        let document: Document = serde_json::from_slice(bytes)?;
        if document.kind != "List" {
            anyhow::bail!("the volume of the application's objects holds a {} and no List", document.kind);
        }
        Ok(document)
    }
}

/// Reads the objects of the application that `selection` means.
///
/// # Errors
/// What could not be listed; too many bytes.
pub async fn collect(
    client: &Client,
    namespace: &str,
    selection: &Selection,
    observed: &Observed,
) -> anyhow::Result<Vec<u8>> {
    let (names, _) = claims(selection, observed);
    let mut found = Found::default();
    found.workloads(observed, &names);
    for claim in observed.claims.iter().filter(|claim| names.contains(&claim.name_any())) {
        found.add(claim)?;
    }
    found.needed(client, namespace).await?;
    if let Some(selector) = &selection.resources.labels {
        found.labelled(client, namespace, |labels| selector.matches(labels)).await?;
    }
    Document::new(found.items).encode()
}

/// What was found so far.
#[derive(Default)]
struct Found {
    items: Vec<Value>,
    references: References,
    /// Labels of pods.
    pods: Vec<BTreeMap<String, String>>,
}

impl Found {
    /// Workloads whose pods use one of these claims, and workloads without claims are found by label only.
    fn workloads(&mut self, observed: &Observed, names: &BTreeSet<String>) {
        for set in &observed.stateful_sets {
            if !of_stateful_set(set, observed).is_disjoint(names) {
                self.workload(set, set.spec.as_ref().map(|spec| &spec.template));
            }
        }
        for deployment in &observed.deployments {
            let template = deployment.spec.as_ref().map(|spec| &spec.template);
            if !of_pod(template.and_then(|template| template.spec.as_ref())).is_disjoint(names) {
                self.workload(deployment, template);
            }
        }
        for set in &observed.daemon_sets {
            let template = set.spec.as_ref().map(|spec| &spec.template);
            if !of_pod(template.and_then(|template| template.spec.as_ref())).is_disjoint(names) {
                self.workload(set, template);
            }
        }
    }

    fn workload<K: Resource<DynamicType = ()> + Serialize>(
        &mut self,
        object: &K,
        template: Option<&PodTemplateSpec>,
    ) {
        // A workload that is no JSON could not have come from the API.
        if self.add(object).is_err() {
            return;
        }
        if let Some(spec) = template.and_then(|template| template.spec.as_ref()) {
            self.references.add(spec);
        }
        let labels = template.and_then(|template| template.metadata.as_ref()?.labels.clone());
        self.pods.extend(labels);
    }

    /// What the workloads' pods need.
    async fn needed(&mut self, client: &Client, namespace: &str) -> anyhow::Result<()> {
        let references = self.references.clone();
        let wanted = |names: &BTreeSet<String>, name: String| names.contains(&name);
        for map in list::<ConfigMap>(client, namespace).await? {
            if wanted(&references.config_maps, map.name_any()) {
                self.add(&map)?;
            }
        }
        for secret in list::<Secret>(client, namespace).await? {
            if wanted(&references.secrets, secret.name_any()) {
                self.add(&secret)?;
            }
        }
        for account in list::<ServiceAccount>(client, namespace).await? {
            // Every namespace has the default one.
            if wanted(&references.service_accounts, account.name_any()) && account.name_any() != "default" {
                self.add(&account)?;
            }
        }
        self.services(client, namespace).await?;
        self.roles(client, namespace, &references.service_accounts).await
    }

    async fn services(&mut self, client: &Client, namespace: &str) -> anyhow::Result<()> {
        for service in list::<Service>(client, namespace).await? {
            let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
            let selects = |selector: &BTreeMap<String, String>| {
                let is_in = |pod: &BTreeMap<String, String>| {
                    selector.iter().all(|(key, value)| pod.get(key) == Some(value))
                };
                !selector.is_empty() && self.pods.iter().any(is_in)
            };
            if selector.is_some_and(selects) {
                self.add(&service)?;
            }
        }
        Ok(())
    }

    async fn roles(
        &mut self,
        client: &Client,
        namespace: &str,
        accounts: &BTreeSet<String>,
    ) -> anyhow::Result<()> {
        let mut roles = BTreeSet::new();
        for binding in list::<RoleBinding>(client, namespace).await? {
            let is_of = binding.subjects.iter().flatten().any(|subject| {
                subject.kind == "ServiceAccount"
                    && subject.name != "default"
                    && accounts.contains(&subject.name)
            });
            if is_of {
                if binding.role_ref.kind == "Role" {
                    roles.insert(binding.role_ref.name.clone());
                }
                self.add(&binding)?;
            }
        }
        for role in list::<Role>(client, namespace).await? {
            if roles.contains(&role.name_any()) {
                self.add(&role)?;
            }
        }
        Ok(())
    }

    /// Further objects by label.
    async fn labelled(
        &mut self,
        client: &Client,
        namespace: &str,
        matches: impl Fn(&BTreeMap<String, String>) -> bool,
    ) -> anyhow::Result<()> {
        self.of_kind::<ConfigMap>(client, namespace, &matches).await?;
        self.of_kind::<Secret>(client, namespace, &matches).await?;
        self.of_kind::<Service>(client, namespace, &matches).await?;
        self.of_kind::<Ingress>(client, namespace, &matches).await?;
        self.of_kind::<NetworkPolicy>(client, namespace, &matches).await?;
        self.of_kind::<HorizontalPodAutoscaler>(client, namespace, &matches).await?;
        self.of_kind::<PodDisruptionBudget>(client, namespace, &matches).await?;
        self.of_kind::<k8s_openapi::api::apps::v1::Deployment>(client, namespace, &matches).await?;
        self.of_kind::<k8s_openapi::api::batch::v1::CronJob>(client, namespace, &matches).await
    }

    async fn of_kind<K>(
        &mut self,
        client: &Client,
        namespace: &str,
        matches: &impl Fn(&BTreeMap<String, String>) -> bool,
    ) -> anyhow::Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + Serialize
            + std::fmt::Debug,
    {
        for object in list::<K>(client, namespace).await? {
            if matches(object.labels()) {
                self.add(&object)?;
            }
        }
        Ok(())
    }

    fn add<K: Resource<DynamicType = ()> + Serialize>(&mut self, object: &K) -> anyhow::Result<()> {
        if object.annotations().contains_key(annotation::EXCLUDE) {
            return Ok(());
        }
        let mut value = serde_json::to_value(object)?;
        // Items of a list come without these.
        value["apiVersion"] = json!(K::api_version(&()));
        value["kind"] = json!(K::kind(&()));
        clean(&mut value);
        self.items.push(value);
        Ok(())
    }
}
