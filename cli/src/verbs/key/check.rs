//! `coffer key check`: does the key fit the repository, and does it open every chain that points use?

use std::collections::BTreeSet;

use clap::Args;
use coffer_engine::catalog::{Filter, list_points};
use coffer_engine::{Access, EngineError, Repository};
use coffer_format::{
    ChainKeyDocument, Id, KeyFile, KeyKind, ObjectContext, PlanId, Signed, object_key, open_chain_key,
};

use super::key_path;
use crate::documents::key::{CheckKeyDocument, KeyProblem};
use crate::error::{CliError, ExitStatus, one_line};
use crate::options::{KeyOptions, RepositoryOptions};
use crate::session::Session;
use crate::verbs::cat::object::{DOCUMENT_LEN_MAX, read_object};

const EXAMPLES: &str = "\
Examples:
  coffer key check --repo file:///srv/backup --key recovery.key
  coffer key check --repo file:///srv/backup --key writer.key --json

Run it on every copy of the recovery key from time to time: it opens the key of every chain, so that a restore can too.";

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
    let mut document = CheckKeyDocument {
        kind: key.kind,
        repository: key.repository,
        team: key.team.clone(),
        generation: key.generation,
        newest_generation: repository.recipient().map_or(key.generation, |(generation, _)| generation),
        chains: chains.len() as u64,
        chains_opened: 0,
        problems: Vec::new(),
    };
    if key.kind == KeyKind::Writer {
        return Ok(document);
    }
    for (plan, chain) in chains {
        repository.environment().cancel.check()?;
        match open_chain(repository, key, &plan, chain) {
            Ok(()) => document.chains_opened += 1,
            Err(error @ EngineError::Store(_)) => return Err(error.into()),
            Err(error) => document.problems.push(KeyProblem { plan, chain, detail: one_line(&error) }),
        }
    }
    Ok(document)
}

/// Opens one of the chain's sealed keys.
fn open_chain(repository: &Repository, key: &KeyFile, plan: &PlanId, chain: Id) -> Result<(), EngineError> {
    let recovery = key.recovery("opening a chain key").map_err(EngineError::Limit)?;
    let objects =
        coffer_store::list_all(repository.store().as_ref(), &object_key::chain_keys_prefix(plan, &chain))?;
    for object in objects {
        let name = object.key.as_str();
        let wrong = |source| EngineError::Object { key: name.to_owned(), source };
        let bytes = read_object(repository, name, DOCUMENT_LEN_MAX)?;
        let signed = Signed::<ChainKeyDocument>::decode_at(name, &bytes).map_err(wrong)?;
        repository.verifier().verify(&signed).map_err(wrong)?;
        let document = signed.payload;
        let mut ours = document.recipients.iter().filter(|recipient| recipient.generation == key.generation);
        if let Some(recipient) = ours.next() {
            let context = ObjectContext::new(&document.repository, name);
            return open_chain_key(&recovery.x25519, &recipient.sealed, &context).map(drop).map_err(wrong);
        }
    }
    Err(EngineError::Usage(format!("no key of it is sealed to generation {}", key.generation)))
}
