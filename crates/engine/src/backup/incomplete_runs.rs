//! Which incomplete runs a backup may reuse packs of, and which chain of such runs a full may continue.
//!
//! An incomplete run is an id that owns packs and has no manifest. What a LIST shows is a candidate only: each id is asked for by exact
//! key, first its manifest, then its `ending` record (rule `takeover_skips_ending`), and only then its packs are listed. Prune puts `ending`
//! before it deletes, so a run that is ended after this look is found by the check before success (rule `check_taken_ending`).
//!
//! Nothing here may make a backup fail: whoever cannot look reuses nothing. Nothing here writes or deletes; uploads that a dead run did
//! not complete cannot be used, and prune aborts them.

use coffer_format::{DataObject, Id, PlanId, object_key};

use super::open_chain::{OpenChain, continue_chain};
use crate::pages::first_object;
use crate::records::is_ending;
use crate::repository::store_key;
use crate::walk::walk;
use crate::{EngineError, Repository};

/// Most incomplete runs that one backup reuses packs of: the newest.
const RUNS_MAX: usize = 4;
/// Most ids that are looked at, from the point that is built on onwards: of a longer row of failures the later ones are not seen.
const IDS_MAX: usize = 1_000;
/// Most chains of incomplete runs that are looked at: the newest.
const CHAINS_MAX: usize = 4;

/// What a backup found to continue.
#[derive(Debug, Default)]
pub(crate) struct IncompleteRuns {
    /// Unfinished runs of the chain, oldest first.
    pub(crate) runs: Vec<Id>,
}

/// Looks for incomplete runs of `chain` that began after its newest point: what older ones left, that point had the choice of. `own`, whose
/// other volumes another node may be at, is none of them.
pub(crate) fn of_chain(
    repository: &Repository,
    plan: &PlanId,
    chain: Id,
    newest: Id,
    own: Id,
) -> IncompleteRuns {
    let look = Look { repository, plan, own };
    let runs = look
        .ids(&object_key::chain_prefix(plan, &chain), Some(newest))
        .and_then(|ids| look.usable(&chain, &ids));
    IncompleteRuns { runs: or_nothing(runs) }
}

/// Looks for a chain that only incomplete runs have and that began after the newest complete point, for a full to continue.
pub(crate) fn chain_to_adopt(
    repository: &Repository,
    plan: &PlanId,
    newest: Option<Id>,
    own: Id,
) -> Option<(OpenChain, IncompleteRuns)> {
    let look = Look { repository, plan, own };
    let chains = or_nothing(look.ids(&object_key::data_prefix(plan), newest));
    chains.iter().rev().take(CHAINS_MAX).find_map(|chain| or_nothing(look.adopt(*chain)))
}

/// The chain, which the opener of point `own` chose to continue, if that can still be done.
///
/// # Errors
/// Other than above: whoever chose the chain counts on it.
pub(crate) fn adopted(
    repository: &Repository,
    plan: &PlanId,
    chain: Id,
    own: Id,
) -> Result<Option<(OpenChain, IncompleteRuns)>, EngineError> {
    Look { repository, plan, own }.adopt(chain)
}

/// One WARN, and the backup goes on without.
fn or_nothing<T: Default>(found: Result<T, EngineError>) -> T {
    found.unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot look at what unfinished runs left; storing everything anew");
        T::default()
    })
}

struct Look<'a> {
    repository: &'a Repository,
    plan: &'a PlanId,
    /// The point that is being made.
    own: Id,
}

impl Look<'_> {
    /// Ids right below a prefix, oldest first, with one request each. They come after `after`.
    fn ids(&self, prefix: &str, after: Option<Id>) -> Result<Vec<Id>, EngineError> {
        let mut ids = Vec::new();
        // '0' follows '/' in ASCII: a page starts behind everything of the id before.
        let behind = |name: &str| format!("{prefix}{name}0");
        let mut start = after.map(|id| behind(&id.to_string()));
        while ids.len() < IDS_MAX {
            self.repository.environment().cancel.check()?;
            let first = first_object(self.repository.store().as_ref(), prefix, start.as_deref())?;
            let Some(object) = first else { break };
            let rest = object.key.as_str().strip_prefix(prefix).unwrap_or_default();
            let name = rest.split('/').next().unwrap_or_default();
            // The chain's keys lie beside its ids.
            ids.extend(name.parse::<Id>());
            start = Some(behind(name));
        }
        Ok(ids)
    }

    /// The newest of `ids` that packs may be reused of, oldest first.
    fn usable(&self, chain: &Id, ids: &[Id]) -> Result<Vec<Id>, EngineError> {
        let mut usable = Vec::new();
        for id in ids.iter().rev().filter(|id| **id != self.own) {
            if usable.len() == RUNS_MAX {
                break;
            }
            // Rule takeover_skips_ending. The order is that of the model: manifest, `ending`, list.
            if !self.has_manifest(id)? && !self.is_ending(id)? && self.has_packs(chain, id)? {
                usable.push(*id);
            }
        }
        usable.reverse();
        Ok(usable)
    }

    /// The chain, if no run in it ever wrote a manifest and its key is there, genuine, and sealed to the recovery key that a new chain's
    /// would be sealed to, with the secrets that a new chain would have.
    fn adopt(&self, chain: Id) -> Result<Option<(OpenChain, IncompleteRuns)>, EngineError> {
        let mut ids = self.ids(&object_key::chain_prefix(self.plan, &chain), None)?;
        if ids.len() >= IDS_MAX {
            return Ok(None);
        }
        if !ids.contains(&chain) {
            ids.push(chain);
        }
        for id in &ids {
            if self.has_manifest(id)? {
                return Ok(None);
            }
        }
        // Its keys go with the id that opened it.
        if self.is_ending(&chain)? {
            return Ok(None);
        }
        let Some(open) = self.open(chain)? else { return Ok(None) };
        ids.sort_unstable();
        let runs = self.usable(&chain, &ids)?;
        let adopted = IncompleteRuns { runs };
        Ok((!adopted.runs.is_empty()).then_some((open, adopted)))
    }

    fn open(&self, chain: Id) -> Result<Option<OpenChain>, EngineError> {
        continue_chain(self.repository, self.plan, chain)
    }

    fn has_manifest(&self, id: &Id) -> Result<bool, EngineError> {
        Ok(self.repository.store().exists(&store_key(&object_key::manifest(self.plan, id))?)?)
    }

    fn is_ending(&self, id: &Id) -> Result<bool, EngineError> {
        is_ending(self.repository, &self.plan.team, id)
    }

    fn has_packs(&self, chain: &Id, id: &Id) -> Result<bool, EngineError> {
        let prefix = object_key::point_data_prefix(self.plan, chain, id);
        let mut has_packs = false;
        walk(self.repository, &prefix, object_key::parse_data, |(_, _, object), _| {
            has_packs |= matches!(object, DataObject::Pack { .. });
        })?;
        Ok(has_packs)
    }
}
