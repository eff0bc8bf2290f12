//! Finds agents: a pod on each node, reached by its address with certificates from a Secret.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use coffer_coordinator::address::{AgentAddress, Place};
use coffer_coordinator::{Agents, ConnectOptions, Tls};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::Api;
use kube::api::ListParams;

use crate::certificates::CONTROLLER_SECRET;
use crate::context::Context;
use crate::runs::RunStop;

/// Agents of this cluster and how they are reached. It holds a private key.
pub struct AgentDirectory {
    by_node: BTreeMap<String, AgentAddress>,
    tls: Tls,
    patience: Duration,
}

impl AgentDirectory {
    /// Looks which agents there are.
    ///
    /// # Errors
    /// The API does not tell, or the controller's certificate cannot be used.
    pub async fn read(context: &Context) -> anyhow::Result<AgentDirectory> {
        let settings = &context.settings;
        let pods: Api<Pod> = Api::namespaced(context.client.clone(), &settings.namespace);
        let list = ListParams::default().labels(&settings.agents.selector);
        let pods = pods.list(&list).await.context("list the agents' pods")?;
        let by_node = pods.items.iter().filter_map(|pod| address(pod, settings.agents.port)).collect();
        let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &settings.namespace);
        let secret = secrets.get(CONTROLLER_SECRET).await.context("read Secret coffer-controller-tls")?;
        Ok(AgentDirectory {
            by_node,
            tls: tls(secret, &settings.agents.server_name)?,
            patience: Duration::from_secs(settings.agent_patience_seconds),
        })
    }

    /// Nodes that have an agent.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.by_node.keys().map(String::as_str)
    }

    /// Whether a node has an agent.
    pub fn has(&self, node: &str) -> bool {
        self.by_node.contains_key(node)
    }

    /// Connects to the agents of these nodes, in their order. Blocks.
    ///
    /// # Errors
    /// As [`Agents::connect`]; a node without an agent.
    pub fn connect(&self, nodes: &[String], stop: &RunStop) -> anyhow::Result<Agents> {
        let address = |node: &String| {
            self.by_node.get(node).cloned().with_context(|| format!("node {node} has no agent that runs"))
        };
        let addresses = nodes.iter().map(address).collect::<anyhow::Result<_>>()?;
        let options = ConnectOptions { addresses, tls: Some(self.tls.clone()), patience: self.patience };
        Ok(Agents::connect(options, stop.wish())?)
    }
}

/// Node and address of an agent's pod that has one.
fn address(pod: &Pod, port: u16) -> Option<(String, AgentAddress)> {
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let node = pod.spec.as_ref()?.node_name.clone()?;
    let ip: IpAddr = pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?;
    let place = Place::Tls(format!("https://{}", SocketAddr::new(ip, port)));
    Some((node.clone(), AgentAddress { node: Some(node), place }))
}

fn tls(secret: Secret, server_name: &str) -> anyhow::Result<Tls> {
    let mut data = secret.data.unwrap_or_default();
    let mut take = |key: &str| {
        data.remove(key)
            .map(|bytes| bytes.0)
            .with_context(|| format!("Secret {CONTROLLER_SECRET} has no `{key}`"))
    };
    let tls = Tls::trusting(take("ca.crt")?)?.with_identity(take("tls.crt")?, take("tls.key")?)?;
    Ok(tls.with_server_name(Some(server_name.to_owned())))
}
