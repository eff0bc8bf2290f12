//! `coffer volumes`: what can be protected on agents' nodes.

use std::collections::BTreeSet;

use clap::Args;
use coffer_coordinator::{Agent, AgentError, Agents, plain};
use coffer_proto::agent::v1;
use tracing::warn;

use crate::documents::agent::volumes::{VolumeRow, VolumesDocument};
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::kubernetes;
use crate::session::Session;
use crate::verbs::operations::{Answers, each};

const EXAMPLES: &str = "\
Examples:
  coffer volumes --agent https://node-1:9443 --agent-ca ca.crt --agent-cert team.crt --agent-key team.key
  coffer volumes --agent n1=https://10.0.0.1:9443,n2=https://10.0.0.2:9443 --namespace shop --json
  coffer volumes --agent https://node-1:9443 --agent-ca ca.crt --agent-cert team.crt --agent-key team.key --kubernetes --pv pv-web

`coffer backup --agent …` takes an ID or a path. An agent shows what the caller's certificate may see. An agent cannot know whose hostPath
volumes are; --kubernetes asks the API for their names, with the caller's own kubeconfig, which needs the verb list on persistentvolumes and
pods of the cluster. Volumes that only Kubernetes knows have no ID, and NOTE says why they cannot be backed up.";

/// Volumes of one answer.
const PAGE: u32 = 1000;
/// Answers of one agent; what goes on for longer is a mistake of the agent.
const PAGES_MAX: usize = 1000;

/// Options of `volumes`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct VolumesArguments {
    /// Only volumes of pods of this namespace
    #[arg(long, value_name = "N", default_value = "", hide_default_value = true)]
    namespace: String,

    /// Only the volume of this PersistentVolume
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pv: String,

    /// Ask Kubernetes, too: names hostPath volumes, and lists those of the nodes' pods that agents do not; the kubeconfig is found as kubectl finds it
    #[arg(long)]
    kubernetes: bool,

    /// Context of the kubeconfig, instead of its current one
    #[arg(long, value_name = "NAME", requires = "kubernetes")]
    context: Option<String>,
}

/// What an agent told.
struct Told {
    /// The node, as its agent calls it; empty unless Kubernetes is asked.
    node: String,
    volumes: Vec<v1::Volume>,
}

pub(crate) fn run(session: &Session, arguments: &VolumesArguments) -> Result<ExitStatus, CliError> {
    let agents = session.connect()?;
    let mut found = each(&agents, async |agent: &Agent| ask(agent, arguments).await)?;
    if arguments.kubernetes {
        ask_kubernetes(&agents, arguments, &mut found)?;
    }
    let rows = found.done.into_iter().flat_map(|(node, told)| {
        told.volumes.iter().map(|volume| VolumeRow::new(&node, volume)).collect::<Vec<_>>()
    });
    let document = VolumesDocument(rows.collect());
    if document.0.is_empty() {
        session.output.remark("no volume matches that the caller may see");
    }
    session.output.show(&document)?;
    Ok(found.failed.close(session))
}

async fn ask(agent: &Agent, arguments: &VolumesArguments) -> Result<Told, AgentError> {
    if !arguments.kubernetes {
        let volumes = list(agent, &arguments.namespace, &arguments.pv).await?;
        return Ok(Told { node: String::new(), volumes });
    }
    // The agent would leave out what it has no name for.
    let volumes = list(agent, "", "").await?;
    // The caller may call the node as he likes; Kubernetes does not.
    let node = agent.answer(agent.info()?.info(v1::InfoRequest {})).await?.node;
    Ok(Told { node, volumes })
}

/// Joins what Kubernetes knows, and filters what comes of it.
fn ask_kubernetes(
    agents: &Agents,
    arguments: &VolumesArguments,
    found: &mut Answers<Told>,
) -> Result<(), CliError> {
    let nodes: BTreeSet<String> = found.done.iter().map(|(_, told)| told.node.clone()).collect();
    let facts = agents.wait(kubernetes::read(arguments.context.clone(), nodes))??;
    for (agent, told) in &mut found.done {
        if !facts.knows(&told.node) {
            let node = plain(&told.node);
            warn!(
                agent,
                node,
                "Kubernetes knows no pod on this node: the agent's setting `node` has to be the name that Kubernetes has for it"
            );
        }
        let volumes = std::mem::take(&mut told.volumes);
        told.volumes = kubernetes::join(volumes, &told.node, &facts);
        told.volumes.retain(|volume| kubernetes::fits(volume, &arguments.namespace, &arguments.pv));
    }
    Ok(())
}

async fn list(
    agent: &Agent,
    namespace: &str,
    persistent_volume: &str,
) -> Result<Vec<v1::Volume>, AgentError> {
    let mut client = agent.volumes()?;
    let mut request = v1::ListVolumesRequest {
        page_size: PAGE,
        namespace: namespace.to_owned(),
        persistent_volume: persistent_volume.to_owned(),
        ..Default::default()
    };
    let mut volumes = Vec::new();
    for _ in 0..PAGES_MAX {
        let answer = agent.answer(client.list(request.clone())).await?;
        volumes.extend(answer.volumes);
        if answer.next_page_token.is_empty() {
            break;
        }
        request.page_token = answer.next_page_token;
    }
    Ok(volumes)
}
