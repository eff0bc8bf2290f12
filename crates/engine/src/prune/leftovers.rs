//! Small records that nobody needs any more.

use std::collections::BTreeSet;

use coffer_format::{Label, object_key};

use crate::forget::delete_all;
use crate::pins::Pins;
use crate::repository::store_key;
use crate::walk::walk;
use crate::{EngineError, Repository, records};

/// Removes pins of killed restores and records of points whose manifest is gone. Returns how many.
pub(super) fn drop_leftovers(repository: &Repository, team: &Label, pins: Pins) -> Result<u64, EngineError> {
    let mut keys = pins.stale;
    let mut confirmed = Vec::new();
    let prefix = object_key::confirmed_prefix(team, None, None, None);
    walk(repository, &prefix, object_key::parse_confirmed, |(plan, id, _), object| {
        confirmed.push((plan, id, object.key.clone()));
    })?;
    let mut standing = BTreeSet::new();
    let prefix = object_key::points_prefix(team, None, None, None);
    walk(repository, &prefix, object_key::parse_manifest, |point, _| {
        standing.insert(point);
    })?;
    for (plan, id, key) in confirmed {
        repository.environment().cancel.check()?;
        // A manifest that is gone without a word was lost: the record is what tells.
        let is_over = !standing.contains(&(plan.clone(), id))
            && records::may_be_ending(repository, team, &id)?
            && !repository.store().exists(&store_key(&object_key::manifest(&plan, &id))?)?;
        if is_over {
            keys.push(key);
        }
    }
    delete_all(repository, &keys)?;
    Ok(keys.len() as u64)
}
