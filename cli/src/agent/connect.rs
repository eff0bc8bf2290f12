//! Connects to the agents of `--agent`: the files that it takes are read here.

use std::path::Path;

use coffer_coordinator::{Agents, ConnectOptions, StopWish, Tls, TlsError};

use super::options::AgentOptions;
use crate::error::CliError;

/// Connects to all agents. Only what is wrong with the options fails here.
pub(crate) fn connect(options: &AgentOptions, stop: StopWish) -> Result<Agents, CliError> {
    let connect =
        ConnectOptions { addresses: options.agent.clone(), tls: tls(options)?, patience: options.patience() };
    Ok(Agents::connect(connect, stop)?)
}

/// An error where there are several agents.
pub(crate) fn only_one(agents: &Agents, verb: &str) -> Result<(), CliError> {
    match agents.nodes().as_slice() {
        [_] => Ok(()),
        _ => Err(CliError::Usage(format!("coffer {verb} goes through one agent; give --agent once"))),
    }
}

/// What is in the files of `--agent-ca`, `--agent-cert` and `--agent-key`; they are looked at only where an address needs TLS.
fn tls(options: &AgentOptions) -> Result<Option<Tls>, CliError> {
    let Some(ca) = options.agent_ca.as_deref().filter(|_| options.needs_tls()) else { return Ok(None) };
    let tls = Tls::trusting(read(ca)?).map_err(|_| no_pem(ca, "certificate"))?;
    let tls = match (options.agent_cert.as_deref(), options.agent_key.as_deref()) {
        (Some(certificate), Some(key)) => {
            tls.with_identity(read(certificate)?, read(key)?).map_err(|error| match error {
                TlsError::PrivateKey => no_pem(key, "private key"),
                _ => no_pem(certificate, "certificate"),
            })?
        }
        (None, None) => tls,
        (Some(_), None) => {
            return Err(CliError::Usage("--agent-cert is given without --agent-key; give both".into()));
        }
        (None, Some(_)) => {
            return Err(CliError::Usage("--agent-key is given without --agent-cert; give both".into()));
        }
    };
    Ok(Some(tls.with_server_name(options.agent_server_name.clone())))
}

fn no_pem(path: &Path, what: &str) -> CliError {
    CliError::Usage(format!("{} holds no {what} in PEM form; check the file", path.display()))
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    std::fs::read(path).map_err(|source| CliError::File { step: "read", path: path.into(), source })
}
