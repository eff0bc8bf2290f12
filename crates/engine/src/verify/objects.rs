//! The small records of a team: statements, pins, endings, damage notes. Each must decode and lie under the key that it speaks of.

use std::collections::BTreeSet;

use coffer_format::{Damaged, Ended, Ending, FormatError, Label, Pin, Verifier, object_key};

use super::report::VerifyReport;
use crate::generations::{Listed, Statements, is_strange};
use crate::inventory::for_each_object;
use crate::repository::{DOCUMENT_BYTES_MAX, find_object};
use crate::{EngineError, Repository};

/// Said of a record that decodes and lies in the wrong place.
const FOREIGN: &str = "the record speaks of something other than its key";

pub(crate) fn check_records(
    repository: &Repository,
    team: &Label,
    report: &mut VerifyReport,
) -> Result<(), EngineError> {
    if repository.is_encrypted() {
        check_statements(repository, team, report)?;
    }
    check_each(repository, &object_key::all_pins_prefix(team), report, "pin", |key, bytes| {
        let (_, point, run) = object_key::parse_pin(key)?;
        let pin = Pin::decode(bytes)?;
        Ok(pin.point == point && pin.run == run)
    })?;
    check_each(repository, &object_key::ending_prefix(team), report, "ending", |key, bytes| {
        let (_, point) = object_key::parse_ending(key)?;
        Ok(Ending::decode(bytes)?.point == point)
    })?;
    check_each(repository, &object_key::ended_prefix(team), report, "ended", |key, bytes| {
        let (_, chain, point, run) = object_key::parse_ended(key)?;
        let ended = Ended::decode(bytes)?;
        Ok(ended.chain == chain && ended.point == point && ended.run == run)
    })?;
    check_each(repository, &object_key::damaged_prefix(team), report, "damaged", |key, bytes| {
        let (_, point, volume, pack, run) = object_key::parse_damaged(key)?;
        let damaged = Damaged::decode(bytes)?;
        Ok(damaged.point == point && damaged.volume == volume && damaged.pack == pack && damaged.run == run)
    })
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
                let detail = "the list of the points that stood is missing: the rotation was not finished, run `coffer key rotate --finish`";
                report.problem("team", key, detail, []);
            }
            Listed::Missing => report
                .notice(format!("{key}, the list of an earlier rotation, is not there; a later one stands")),
            Listed::Strange(error) => report.problem("team", key, error, []),
        }
    }
    Ok(())
}

fn check_each(
    repository: &Repository,
    prefix: &str,
    report: &mut VerifyReport,
    kind: &'static str,
    check: impl Fn(&str, &[u8]) -> Result<bool, FormatError>,
) -> Result<(), EngineError> {
    let mut keys = Vec::new();
    for_each_object(repository, prefix, |object| keys.push(object.key.as_str().to_owned()))?;
    for key in keys {
        repository.environment().cancel.check()?;
        let checked = repository.looks().twice(|| {
            let Some(bytes) = find_object(repository.store().as_ref(), &key, DOCUMENT_BYTES_MAX)? else {
                return Ok(());
            };
            match check(&key, &bytes).map_err(EngineError::object(&key))? {
                true => Ok(()),
                false => {
                    Err(EngineError::object(&key)(FormatError::Inconsistent { what: kind, detail: FOREIGN }))
                }
            }
        });
        match checked {
            Ok(()) => {}
            Err(EngineError::Object { source, .. }) => report.problem(kind, key, source, []),
            Err(EngineError::Store(error)) => report.problem(kind, key, error, []),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
