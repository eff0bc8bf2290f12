//! Who holds which point: a person, or a restore that reads it. Judged by the store's clock, since pins come from many machines.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use coffer_format::{Id, Label, Pin, PinKind, object_key};
use coffer_store::Key;

use crate::records;
use crate::walk::walk;
use crate::{EngineError, Repository};

/// A restore's pin that is older is left over from a killed restore.
const RESTORE_PIN_AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);

/// The pins of a team.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    /// Points with a hold, or with a restore that is not older than 7 days.
    pub(crate) pinned: BTreeSet<Id>,
    /// Pins of killed restores.
    pub(crate) stale: Vec<Key>,
}

/// Reads the pins of a team. What is no pin of ours is reported and holds nothing.
pub(crate) fn read_pins(repository: &Repository, team: &Label) -> Result<Pins, EngineError> {
    let mut found = Vec::new();
    walk(repository, &object_key::all_pins_prefix(team), object_key::parse_pin, |(_, point, _), object| {
        found.push((point, object.clone()));
    })?;
    let mut pins = Pins::default();
    if found.is_empty() {
        return Ok(pins);
    }
    let now = repository.store().now()?;
    for (point, object) in found {
        repository.environment().cancel.check()?;
        match records::find::<Pin>(repository, object.key.as_str())? {
            Some(pin) if is_stale(pin.kind, object.modified, now) => pins.stale.push(object.key),
            Some(_) => {
                pins.pinned.insert(point);
            }
            None => {}
        }
    }
    Ok(pins)
}

/// Whether a pin is left over from a killed restore. `modified` and `now` are of the store's clock; a store that does not tell when an object
/// was written keeps every pin.
fn is_stale(kind: PinKind, modified: Option<SystemTime>, now: SystemTime) -> bool {
    let age = modified.and_then(|modified| now.duration_since(modified).ok()).unwrap_or_default();
    kind == PinKind::Restore && age > RESTORE_PIN_AGE_MAX
}
