//! Object keys back to what they name. A key that the builders would not write is refused.

use super::{DataObject, PACKS_MAX};
use crate::error::shorten;
use crate::{FormatError, Id, Label, PlanId, Summary, VolumeName};

const PACK_DIGITS: usize = 8;

/// Plan and point of a manifest's key.
pub fn parse_manifest(key: &str) -> Result<(PlanId, Id), FormatError> {
    match split::<7>("manifest", key)? {
        ["t", team, "points", cluster, namespace, plan, point] => {
            Ok((plan_id(team, cluster, namespace, plan)?, point.parse()?))
        }
        _ => Err(wrong("manifest", key)),
    }
}

/// Plan, point and summary of a summary's key.
pub fn parse_confirmed(key: &str) -> Result<(PlanId, Id, Summary), FormatError> {
    let ["t", team, "confirmed", cluster, namespace, plan, name] = split::<7>("summary", key)? else {
        return Err(wrong("summary", key));
    };
    let (point, summary) = name.split_once('.').ok_or_else(|| wrong("summary", key))?;
    Ok((plan_id(team, cluster, namespace, plan)?, point.parse()?, Summary::decode(summary)?))
}

/// Plan, chain and kind of an object below `data/`.
pub fn parse_data(key: &str) -> Result<(PlanId, Id, DataObject), FormatError> {
    let wrong = || wrong("data object", key);
    let (plan, chain, rest) = chain_and_rest(key).ok_or_else(wrong)?;
    let rest: Vec<&str> = rest.splitn(4, '/').collect();
    let object = match rest[..] {
        ["keys", number] => {
            DataObject::ChainKey(decimal(number).filter(|number| *number > 0).ok_or_else(wrong)?)
        }
        [point, volume, "map"] => {
            DataObject::Map { point: point.parse()?, volume: VolumeName::decode(volume)? }
        }
        [point, volume, pack] => DataObject::Pack {
            point: point.parse()?,
            volume: VolumeName::decode(volume)?,
            number: pack_number(pack).ok_or_else(wrong)?,
        },
        _ => return Err(wrong()),
    };
    Ok((plan, chain, object))
}

/// Plan and chain of any key below `data/`, also of an object that the format does not know.
#[must_use]
pub fn parse_data_chain(key: &str) -> Option<(PlanId, Id)> {
    chain_and_rest(key).map(|(plan, chain, _)| (plan, chain))
}

fn chain_and_rest(key: &str) -> Option<(PlanId, Id, &str)> {
    let parts: Vec<&str> = key.splitn(8, '/').collect();
    let ["t", team, "data", cluster, namespace, plan, chain, rest] = parts[..] else { return None };
    Some((plan_id(team, cluster, namespace, plan).ok()?, chain.parse().ok()?, rest))
}

/// Team and generation of a team statement's key.
pub fn parse_team(key: &str) -> Result<(Label, u32), FormatError> {
    let wrong = || wrong("team statement", key);
    let ["t", team, name] = split::<3>("team statement", key)? else { return Err(wrong()) };
    if name == "team.json" {
        return Ok((team.parse()?, 1));
    }
    let number = name.strip_prefix("team.").and_then(|name| name.strip_suffix(".json")).and_then(decimal);
    Ok((team.parse()?, number.filter(|number| *number >= 2).ok_or_else(wrong)?))
}

/// Team and generation of the key of the list of points that a rotation found.
pub fn parse_team_points(key: &str) -> Result<(Label, u32), FormatError> {
    let wrong = || wrong("list of a rotation's points", key);
    let ["t", team, name] = split::<3>("list of a rotation's points", key)? else { return Err(wrong()) };
    let number = name.strip_prefix("team.").and_then(|name| name.strip_suffix(".points")).and_then(decimal);
    Ok((team.parse()?, number.filter(|number| *number >= 2).ok_or_else(wrong)?))
}

/// Team and point of an `ending` record's key.
pub fn parse_ending(key: &str) -> Result<(Label, Id), FormatError> {
    match split::<4>("ending record", key)? {
        ["t", team, "ending", point] => Ok((team.parse()?, point.parse()?)),
        _ => Err(wrong("ending record", key)),
    }
}

/// Team and point of the key of an announcement that is not signed.
pub fn parse_unsigned_ending(key: &str) -> Result<(Label, Id), FormatError> {
    parse_ending(key.strip_suffix(".unsigned").ok_or_else(|| wrong("unsigned ending record", key))?)
}

/// Team, chain, point and run of an `ended` list's key.
pub fn parse_ended(key: &str) -> Result<(Label, Id, Id, Id), FormatError> {
    match split::<6>("ended list", key)? {
        ["t", team, "ended", chain, point, run] => {
            Ok((team.parse()?, chain.parse()?, point.parse()?, run.parse()?))
        }
        _ => Err(wrong("ended list", key)),
    }
}

/// Team, point and run of a pin's key.
pub fn parse_pin(key: &str) -> Result<(Label, Id, Id), FormatError> {
    match split::<5>("pin", key)? {
        ["t", team, "pins", point, run] => Ok((team.parse()?, point.parse()?, run.parse()?)),
        _ => Err(wrong("pin", key)),
    }
}

/// Team, point and run of the key of artefacts that are to be deleted.
pub fn parse_artefacts(key: &str) -> Result<(Label, Id, Id), FormatError> {
    match split::<5>("artefacts", key)? {
        ["t", team, "artefacts", point, run] => Ok((team.parse()?, point.parse()?, run.parse()?)),
        _ => Err(wrong("artefacts", key)),
    }
}

/// Team, point, volume, pack number and run of a damage record's key.
pub fn parse_damaged(key: &str) -> Result<(Label, Id, VolumeName, u32, Id), FormatError> {
    let wrong = || wrong("damage record", key);
    match split::<7>("damage record", key)? {
        ["t", team, "damaged", point, volume, pack, run] => Ok((
            team.parse()?,
            point.parse()?,
            VolumeName::decode(volume)?,
            pack_number(pack).ok_or_else(wrong)?,
            run.parse()?,
        )),
        _ => Err(wrong()),
    }
}

fn plan_id(team: &str, cluster: &str, namespace: &str, plan: &str) -> Result<PlanId, FormatError> {
    Ok(PlanId {
        team: team.parse()?,
        cluster: cluster.parse()?,
        namespace: namespace.parse()?,
        plan: plan.parse()?,
    })
}

fn split<'a, const N: usize>(what: &'static str, key: &'a str) -> Result<[&'a str; N], FormatError> {
    let parts: Vec<&str> = key.splitn(N + 1, '/').collect();
    parts.try_into().map_err(|_| wrong(what, key))
}

fn wrong(what: &'static str, key: &str) -> FormatError {
    FormatError::ObjectKey { what, key: shorten(key) }
}

fn pack_number(component: &str) -> Option<u32> {
    let digits = component.strip_prefix('p').filter(|digits| digits.len() == PACK_DIGITS)?;
    digits_only(digits).filter(|number| *number < PACKS_MAX)
}

/// A decimal number without leading zeroes.
fn decimal(text: &str) -> Option<u32> {
    if text.starts_with('0') && text.len() > 1 { None } else { digits_only(text) }
}

fn digits_only(text: &str) -> Option<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}
