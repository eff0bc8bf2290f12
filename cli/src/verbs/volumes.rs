//! `coffer volumes`: what can be protected on agents' nodes.

use clap::Args;
use coffer_proto::agent::v1;

use crate::agent::{Agent, AgentError};
use crate::documents::agent::volumes::{VolumeRow, VolumesDocument};
use crate::error::{CliError, ExitStatus};
use crate::session::Session;
use crate::verbs::operations::each;

const EXAMPLES: &str = "\
Examples:
  coffer volumes --agent https://node-1:9443 --agent-ca ca.crt --agent-cert team.crt --agent-key team.key
  coffer volumes --agent n1=https://10.0.0.1:9443,n2=https://10.0.0.2:9443 --namespace shop --json

`coffer backup --agent …` takes an ID or a path. An agent shows what the caller's certificate may see.";

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
}

pub(crate) fn run(session: &Session, arguments: &VolumesArguments) -> Result<ExitStatus, CliError> {
    let agents = session.connect()?;
    let found = each(&agents, async |agent: &Agent| list(agent, arguments).await)?;
    let rows = found.done.into_iter().flat_map(|(node, volumes)| {
        volumes.iter().map(|volume| VolumeRow::new(&node, volume)).collect::<Vec<_>>()
    });
    let document = VolumesDocument(rows.collect());
    if document.0.is_empty() {
        session.output.remark("no volume matches that the caller may see");
    }
    session.output.show(&document)?;
    Ok(found.failed.close(session))
}

async fn list(agent: &Agent, arguments: &VolumesArguments) -> Result<Vec<v1::Volume>, AgentError> {
    let mut client = agent.volumes()?;
    let mut request = v1::ListVolumesRequest {
        page_size: PAGE,
        namespace: arguments.namespace.clone(),
        persistent_volume: arguments.pv.clone(),
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
