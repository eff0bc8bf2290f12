//! The small records of a team: statements, pins, endings, damage notes. Each must decode and lie under the key that it speaks of.

use coffer_format::{Damaged, Ended, Ending, FormatError, Label, Pin, Signed, TeamStatement, object_key};

use super::report::VerifyReport;
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

fn check_statements(
    repository: &Repository,
    team: &Label,
    report: &mut VerifyReport,
) -> Result<(), EngineError> {
    let own = repository.team().is_none_or(|own| own == team);
    for generation in 1.. {
        let key = object_key::team(team, generation);
        let checked = repository.looks().twice(|| {
            let Some(bytes) = find_object(repository.store().as_ref(), &key, DOCUMENT_BYTES_MAX)? else {
                return Ok(None);
            };
            let statement =
                Signed::<TeamStatement>::decode_at(&key, &bytes).map_err(EngineError::object(&key))?;
            if own {
                repository.verifier().verify(&statement).map_err(EngineError::object(&key))?;
            }
            Ok(Some(()))
        });
        match checked {
            Ok(Some(())) => {}
            Ok(None) if generation > 1 => return Ok(()),
            Ok(None) => {
                report.problem("team", key, "the team's statement is missing", []);
                return Ok(());
            }
            Err(EngineError::Object { source, .. }) => report.problem("team", key, source, []),
            Err(error) => return Err(error),
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
