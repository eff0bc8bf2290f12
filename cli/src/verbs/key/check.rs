//! `coffer key check`: does the key fit the repository, and does it open every chain that points use?

use std::collections::BTreeSet;

use clap::Args;
use coffer_engine::catalog::{Filter, list_points};
use coffer_engine::one_line;
use coffer_engine::{Access, EngineError, Repository, check_chain_key};
use coffer_format::{Id, KeyFile, KeyKind, PlanId};

use super::path::key_path;
use crate::documents::key::{CheckKeyDocument, KeyProblem};
use crate::error::CliError;
use crate::exit_status::ExitStatus;
use crate::options::{KeyOptions, RepositoryOptions};
use crate::session::Session;

const EXAMPLES: &str = "\
Examples:
  coffer key check --repo file:///srv/backup --key recovery.key
  coffer key check --repo file:///srv/backup --key writer.key --json

Run it on every copy of the recovery key from time to time: it opens the key of every chain, so that a restore can too. A writer key that a
rotation replaced is refused: it makes no more points.";

/// Options of `key check`.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    repository: RepositoryOptions,
    #[command(flatten)]
    key: KeyOptions,
}

pub(super) fn run(session: &Session, arguments: &CheckArguments) -> Result<ExitStatus, CliError> {
    key_path(&arguments.key)?;
    let repository = session.open(&arguments.repository, &arguments.key)?;
    let Access::Key(key) = repository.access() else {
        return Err(CliError::Usage("this repository is not encrypted, there is no key to check".into()));
    };
    let document = check(&repository, key)?;
    session.output.show(&document)?;
    if document.is_replaced_writer() {
        repository.check_writing(&key.team)?;
    }
    let Some(first) = document.problems.first() else { return Ok(ExitStatus::Done) };
    let line = format!(
        "the key does not open every chain, the first is chain {} of plan {}: {}; use the recovery key of another generation, \
         or run `coffer verify`",
        first.chain, first.plan, first.detail
    );
    Ok(session.output.close(ExitStatus::Damaged, &line))
}

fn check(repository: &Repository, key: &KeyFile) -> Result<CheckKeyDocument, CliError> {
    let points = list_points(repository, &Filter { team: Some(key.team.clone()), ..Filter::default() })?;
    let chains: BTreeSet<(PlanId, Id)> =
        points.into_iter().map(|point| (point.plan, point.summary.chain)).collect();
    let newest = repository.newest_key()?;
    let mut document = CheckKeyDocument {
        kind: key.kind,
        repository: key.repository,
        team: key.team.clone(),
        generation: key.generation,
        newest_generation: newest.generation,
        secrets_generation: newest.secrets,
        chains: chains.len() as u64,
        chains_opened: 0,
        problems: Vec::new(),
    };
    if key.kind != KeyKind::Recovery {
        return Ok(document);
    }
    for (plan, chain) in chains {
        repository.environment().cancel.check()?;
        match check_chain_key(repository, &plan, chain) {
            Ok(()) => document.chains_opened += 1,
            Err(error @ EngineError::Store(_)) => return Err(error.into()),
            Err(error) => document.problems.push(KeyProblem { plan, chain, detail: one_line(&error) }),
        }
    }
    Ok(document)
}
