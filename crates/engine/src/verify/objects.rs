//! The small records of a team: statements, pins, endings, damage notes. Each must decode and lie under the key that it speaks of.

use coffer_format::{Damaged, Ended, Ending, FormatError, Label, Pin, Signed, TeamStatement, object_key};

use super::report::VerifyReport;
use crate::inventory::for_each_object;
use crate::repository::{DOCUMENT_BYTES_MAX, find_object};
use crate::{EngineError, Repository};

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

fn check_statements(
    repository: &Repository,
    team: &Label,
    report: &mut VerifyReport,
) -> Result<(), EngineError> {
    let own = repository.team().is_none_or(|own| own == team);
    for generation in 1.. {
        let key = object_key::team(team, generation);
        let Some(bytes) = find_object(repository.store().as_ref(), &key, DOCUMENT_BYTES_MAX)? else {
            if generation == 1 {
                report.problem("team", key, "the team's statement is missing", []);
            }
            return Ok(());
        };
        let checked = Signed::<TeamStatement>::decode(&bytes).and_then(|statement| {
            let fits = statement.payload.team == *team && statement.payload.generation == generation;
            let verifier = repository.verifier();
            if own { verifier.verify(&statement).map(|()| fits) } else { Ok(fits) }
        });
        match checked {
            Ok(true) => {}
            Ok(false) => report.problem("team", key, "the statement is of another team or generation", []),
            Err(error) => report.problem("team", key, error, []),
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
        let bytes = match find_object(repository.store().as_ref(), &key, DOCUMENT_BYTES_MAX) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => continue,
            Err(EngineError::Store(error)) => {
                report.problem(kind, key, error, []);
                continue;
            }
            Err(error) => return Err(error),
        };
        match check(&key, &bytes) {
            Ok(true) => {}
            Ok(false) => report.problem(kind, key, "the record speaks of something other than its key", []),
            Err(error) => report.problem(kind, key, error, []),
        }
    }
    Ok(())
}
