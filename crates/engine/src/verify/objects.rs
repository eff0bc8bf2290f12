//! The small records of a team: statements, pins, endings, damage notes. Each must be signed by the team and lie under the key that it speaks of.

use std::collections::BTreeSet;

use coffer_format::{
    Artefacts, Damaged, Document, Ended, Ending, FormatError, Label, Pin, Verifier, object_key,
};

use super::report::VerifyReport;
use crate::generations::{Listed, Statements, is_strange};
use crate::records;
use crate::walk::walk;
use crate::{EngineError, Repository};

pub(crate) fn check_records(
    repository: &Repository,
    team: &Label,
    report: &mut VerifyReport,
) -> Result<(), EngineError> {
    if repository.is_encrypted() {
        check_statements(repository, team, report)?;
    }
    check_each::<Pin, _>(repository, &object_key::all_pins_prefix(team), object_key::parse_pin, report)?;
    check_each::<Ended, _>(repository, &object_key::ended_prefix(team), object_key::parse_ended, report)?;
    check_each::<Artefacts, _>(
        repository,
        &object_key::artefacts_prefix(team),
        object_key::parse_artefacts,
        report,
    )?;
    check_each::<Damaged, _>(
        repository,
        &object_key::damaged_prefix(team),
        object_key::parse_damaged,
        report,
    )?;
    check_endings(repository, team, report)
}

/// Announcements; those that a forget without a key made are not signed, and only make a prune look again.
fn check_endings(
    repository: &Repository,
    team: &Label,
    report: &mut VerifyReport,
) -> Result<(), EngineError> {
    let mut unsigned = 0_u64;
    let parse = |key: &str| {
        object_key::parse_ending(key).or_else(|error| {
            let parsed = object_key::parse_unsigned_ending(key).map_err(|_| error)?;
            Ok(parsed)
        })
    };
    let mut keys = Vec::new();
    let strange = walk(repository, &object_key::ending_prefix(team), parse, |_, object| {
        let key = object.key.as_str();
        match object_key::parse_ending(key) {
            Ok(_) => keys.push(key.to_owned()),
            Err(_) => unsigned += 1,
        }
    })?;
    report.strange(strange);
    if unsigned > 0 {
        report.notice(format!(
            "{unsigned} points were given up without a key; that is not signed, and nothing relies on it"
        ));
    }
    check_keys::<Ending>(repository, keys, report)
}

/// Statements and lists of rotations: those of generations that are known are there, and whatever else lies under such a name is named.
fn check_statements(
    repository: &Repository,
    team: &Label,
    report: &mut VerifyReport,
) -> Result<(), EngineError> {
    let statements = repository.statements(team);
    let verifier = repository.verifier_of(team);
    let mut known: BTreeSet<u32> = verifier.generations().collect();
    known.insert(1);
    let mut numbers = statements.listed()?;
    numbers.extend(&known);
    for generation in numbers {
        repository.environment().cancel.check()?;
        let key = object_key::team(team, generation);
        match statements.statement(generation, |statement| verifier.clone().learn(statement)) {
            Ok(Some(_)) => {}
            Ok(None) if known.contains(&generation) => {
                let detail = format!(
                    "the statement of generation {generation} is lost: who has only older keys goes on with those"
                );
                report.problem("team", key, detail, []);
            }
            Ok(None) => {}
            Err(EngineError::Object { source, .. }) => report.problem("team", key, source, []),
            Err(error) if is_strange(&error) => report.problem("team", key, error, []),
            Err(error) => return Err(error),
        }
    }
    check_lists(&statements, verifier, report)?;
    statements.for_each_name(|key| {
        let of_rotation = object_key::parse_team_points(key).is_ok_and(|(_, number)| known.contains(&number));
        if object_key::parse_team(key).is_err() && !of_rotation {
            report.notice(format!("object {key} is none of ours"));
        }
    })
}

/// The lists of what rotations found. The newest is what points of replaced keys are held against.
fn check_lists(
    statements: &Statements<'_>,
    verifier: &Verifier,
    report: &mut VerifyReport,
) -> Result<(), EngineError> {
    let newest = verifier.generations().next_back();
    for generation in verifier.generations().filter(|generation| *generation > 1) {
        let key = object_key::team_points(statements.team, generation);
        match statements.learn_points(generation, &mut verifier.clone())? {
            Listed::Known => {}
            Listed::Missing if newest == Some(generation) => {
                let detail =
                    "the list of the points that stood is missing: the rotation was not finished; finish it";
                report.problem("team", key, detail, []);
            }
            Listed::Missing => report
                .notice(format!("{key}, the list of an earlier rotation, is not there; a later one stands")),
            Listed::Strange(error) => report.problem("team", key, error, []),
        }
    }
    Ok(())
}

fn check_each<T: Document, P>(
    repository: &Repository,
    prefix: &str,
    parse: impl Fn(&str) -> Result<P, FormatError>,
    report: &mut VerifyReport,
) -> Result<(), EngineError> {
    let mut keys = Vec::new();
    let strange = walk(repository, prefix, parse, |_, object| keys.push(object.key.as_str().to_owned()))?;
    report.strange(strange);
    check_keys::<T>(repository, keys, report)
}

fn check_keys<T: Document>(
    repository: &Repository,
    keys: Vec<String>,
    report: &mut VerifyReport,
) -> Result<(), EngineError> {
    for key in keys {
        repository.environment().cancel.check()?;
        match records::read::<T>(repository, &key) {
            Ok(_) => {}
            Err(EngineError::Object { source, .. }) => report.problem(T::KIND, key, source, []),
            Err(EngineError::Store(error)) => report.problem(T::KIND, key, error, []),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
