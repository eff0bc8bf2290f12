//! `coffer node`: what agents say about themselves.

use clap::Args;
use coffer_coordinator::Agent;
use coffer_proto::agent::v1;

use crate::documents::agent::node::{NodeDocument, NodesDocument};
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::session::Session;
use crate::verbs::operations::each;

const EXAMPLES: &str = "\
Examples:
  coffer node --agent unix:/run/coffer/agent.sock
  coffer node --agent https://node-1:9443 --agent-ca ca.crt --agent-cert team.crt --agent-key team.key --json";

/// Options of `node`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct NodeArguments {}

pub(crate) fn run(session: &Session, _arguments: &NodeArguments) -> Result<ExitStatus, CliError> {
    let agents = session.connect()?;
    let found =
        each(&agents, async |agent: &Agent| agent.answer(agent.info()?.info(v1::InfoRequest {})).await)?;
    let nodes = found.done.iter().map(|(_, info)| NodeDocument::from(info));
    session.output.show(&NodesDocument(nodes.collect()))?;
    Ok(found.failed.close(session))
}
