//! Which objects a pod needs. Pure.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, PodSpec};

/// Names of objects of the pod's namespace that it needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    /// ConfigMaps.
    pub config_maps: BTreeSet<String>,
    /// Secrets.
    pub secrets: BTreeSet<String>,
    /// Service accounts.
    pub service_accounts: BTreeSet<String>,
}

impl References {
    /// Adds what a pod of this spec needs.
    pub fn add(&mut self, pod: &PodSpec) {
        self.service_accounts.extend(pod.service_account_name.clone());
        self.secrets.extend(pod.image_pull_secrets.iter().flatten().map(|secret| secret.name.clone()));
        self.volumes(pod);
        let init = pod.init_containers.iter().flatten();
        init.chain(&pod.containers).for_each(|container| self.container(container));
    }

    fn volumes(&mut self, pod: &PodSpec) {
        for volume in pod.volumes.iter().flatten() {
            self.config_maps.extend(volume.config_map.iter().map(|source| source.name.clone()));
            self.secrets.extend(volume.secret.iter().filter_map(|source| source.secret_name.clone()));
            for source in volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten()) {
                self.config_maps.extend(source.config_map.iter().map(|source| source.name.clone()));
                self.secrets.extend(source.secret.iter().map(|source| source.name.clone()));
            }
        }
    }

    fn container(&mut self, container: &Container) {
        for source in container.env_from.iter().flatten() {
            self.config_maps.extend(source.config_map_ref.iter().map(|reference| reference.name.clone()));
            self.secrets.extend(source.secret_ref.iter().map(|reference| reference.name.clone()));
        }
        for from in container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref()) {
            self.config_maps.extend(from.config_map_key_ref.iter().map(|reference| reference.name.clone()));
            self.secrets.extend(from.secret_key_ref.iter().map(|reference| reference.name.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_way_to_name_an_object_is_seen() {
        let pod: PodSpec = serde_json::from_value(json!({
            "serviceAccountName": "web",
            "imagePullSecrets": [{ "name": "s1" }],
            "volumes": [
                { "name": "a", "configMap": { "name": "c1" } },
                { "name": "b", "secret": { "secretName": "s2" } },
                { "name": "c", "projected": { "sources": [{ "configMap": { "name": "c2" } }, { "secret": { "name": "s3" } }] } },
            ],
            "initContainers": [{ "name": "i", "envFrom": [{ "configMapRef": { "name": "c3" } }] }],
            "containers": [{ "name": "m",
                "envFrom": [{ "secretRef": { "name": "s4" } }],
                "env": [
                    { "name": "A", "valueFrom": { "configMapKeyRef": { "name": "c4", "key": "k" } } },
                    { "name": "B", "valueFrom": { "secretKeyRef": { "name": "s5", "key": "k" } } },
                ],
            }],
        }))
        .unwrap();
        let mut references = References::default();
        references.add(&pod);
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(references.config_maps, set(&["c1", "c2", "c3", "c4"]));
        assert_eq!(references.secrets, set(&["s1", "s2", "s3", "s4", "s5"]));
        assert_eq!(references.service_accounts, set(&["web"]));
    }
}
