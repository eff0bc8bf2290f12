//! The small records of a team: statements, pins, endings, damage notes. Each must be signed by the team and lie under the key that it speaks of.

use coffer_format::{
    Damaged, Document, Ended, Ending, FormatError, Label, Pin, Signed, TeamStatement, object_key,
};

use super::report::VerifyReport;
use crate::records;
use crate::repository::{DOCUMENT_BYTES_MAX, find_object};
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
