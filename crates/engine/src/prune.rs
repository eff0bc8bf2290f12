//! Prune: deletes the objects that no standing manifest names.
//!
//! # Problem
//! Objects become free by forget and by runs that died, while other runs store objects that no manifest names *yet*. No clock tells the two
//! apart, no lock can be relied on, and a LIST proves nothing by what it leaves out.
//!
//! # Order
//! 1. Survey: objects, manifests, confirmations. A manifest that cannot be read leaves the whole plan alone.
//! 2. Free is what no manifest names, of ids before the newest confirmed point, or that a person called abandoned (`end_only_after_later`).
//! 3. `ending` is put for every such id (`ending_before_reread`). It stays for ever: a run of this id fails its commit from now on.
//! 4. All manifests are read again until nothing moves (`reread_after_ending`). What one of them names is taken back.
//! 5. `ended` lists exactly what goes (`ended_before_delete`): a manifest that names one of these, and comes late, is void.
//! 6. The listed objects are deleted.
//!
//! # Why it is safe
//! A run that commits puts its manifest and then looks for `ending`; prune puts `ending` and then reads manifests. In every order one of both sees
//! the other. The remaining case, a manifest that the network delivers a second time after both, is what `ended` is for.
//!
//! # Interruption
//! Every step may be the last. Announced ids stay announced, listed objects stay listed, and the next prune goes on from what it finds. Nothing is
//! rewritten. The rules and their names are those of the protocol's model (`coffer-sim`).

mod free;
mod leftovers;

use std::collections::BTreeSet;

use coffer_format::{Ended, Id, Label, Manifest, PlanId, Signed, object_key};
use coffer_store::{Key, RequestCounts};

use self::free::{Free, FreeByOwner, take_back};
use self::leftovers::drop_leftovers;
use crate::artefacts::keep_in_sight;
use crate::catalog::{Filter, list_points};
use crate::forget::{delete_all, place_taken};
use crate::inventory::{PlanObjects, list_objects, unnamed};
use crate::pins::{Pins, read_pins};
use crate::records::{self, Announced, announce};
use crate::repository::{MANIFEST_BYTES_MAX, find_object, list_teams, store_key};
use crate::request_error::SignedRequest;
use crate::reserve::with_reserve;
use crate::survey::Survey;
use crate::voids::all_objects_stand;
use crate::{EngineError, Repository};

/// What to prune.
#[derive(Default)]
pub struct PruneRequest {
    /// Only this team.
    pub team: Option<Label>,
    /// Only say what would go.
    pub dry_run: bool,
    /// Unfinished runs that a person says will never finish.
    pub abandoned: BTreeSet<Id>,
}

/// What prune did.
#[derive(Debug, Clone, Default)]
pub struct PruneReport {
    /// Objects deleted, small records included.
    pub objects_deleted: u64,
    /// Bytes of deleted data objects.
    pub bytes_deleted: u64,
    /// Bytes that only later points of a chain keep alive, their own points being forgotten.
    pub bytes_kept_for_chains: u64,
    /// Unfinished uploads aborted.
    pub uploads_aborted: u64,
    /// What was left alone and why.
    pub notices: Vec<String>,
    /// Requests to the store.
    pub requests: RequestCounts,
}

/// Prunes every plan of the chosen teams.
///
/// Stopped in the middle it leaves what any other death of a prune leaves: the next one goes on.
pub fn run_prune(repository: &Repository, request: &PruneRequest) -> Result<PruneReport, EngineError> {
    let prune = || prune_teams(repository, request);
    let pruned = if request.dry_run { prune() } else { with_reserve(repository, prune) };
    repository.environment().cancel.explain(pruned)
}

fn prune_teams(repository: &Repository, request: &PruneRequest) -> Result<PruneReport, EngineError> {
    let teams = match request.team.as_ref().or(repository.team()) {
        Some(team) => vec![team.clone()],
        None => list_teams(repository.store().as_ref())?,
    };
    let mut report = PruneReport::default();
    for team in &teams {
        repository.environment().cancel.check()?;
        if !request.dry_run {
            repository.needs_key(SignedRequest::Prune, team)?;
        }
        let mut plans = list_objects(repository, team)?;
        for point in list_points(repository, &Filter { team: Some(team.clone()), ..Filter::default() })? {
            plans.entry(point.plan).or_default();
        }
        let pins = read_pins(repository, team)?;
        for (plan, objects) in &plans {
            repository.environment().cancel.check()?;
            let run = PlanPrune { repository, request, plan, objects, pins: &pins };
            run.prune(&mut report)?;
        }
        if !request.dry_run {
            report.objects_deleted += drop_leftovers(repository, team, pins)?;
        }
    }
    report.requests = repository.store().requests();
    Ok(report)
}

impl PruneReport {
    fn count(&mut self, free: &Free) {
        self.objects_deleted += free.objects();
        self.bytes_deleted += free.bytes();
    }
}

struct PlanPrune<'a> {
    repository: &'a Repository,
    request: &'a PruneRequest,
    plan: &'a PlanId,
    objects: &'a PlanObjects,
    pins: &'a Pins,
}

impl PlanPrune<'_> {
    fn prune(&self, report: &mut PruneReport) -> Result<(), EngineError> {
        let mut survey = Survey::new(self.repository, self.plan, self.objects.owners());
        survey.read()?;
        if leave_alone(&survey, report) {
            return Ok(());
        }
        for id in &survey.void_but_whole {
            report.notices.push(format!(
                "records say that point {id} was ended, and all its objects stand: it is kept"
            ));
        }
        let newest = survey.newest_confirmed()?;
        let free = self.free(&survey, newest, report);
        report.bytes_kept_for_chains += self.kept_for_chains(&survey);
        if self.request.dry_run {
            free.values().for_each(|free| report.count(free));
            return Ok(());
        }
        if !free.is_empty() {
            self.end_and_delete(free, &mut survey, report)?;
        }
        self.abort_uploads(&survey, newest, report)?;
        self.drop_void(&survey, report)
    }

    /// Rule `end_only_after_later`: ids are in the order in which the runs began.
    fn may_end(&self, id: &Id, newest: Option<Id>) -> bool {
        self.request.abandoned.contains(id) || newest.is_some_and(|newest| *id < newest)
    }

    /// What no manifest names, of ids that may be ended. Of a standing point everything stays, also what its manifest does not name: its end
    /// cannot be announced while it stands, and a run that took such an object over would not be told.
    fn free(&self, survey: &Survey<'_>, newest: Option<Id>, report: &mut PruneReport) -> FreeByOwner {
        let named = survey.names();
        let mut free = FreeByOwner::new();
        for (chain, objects) in &self.objects.chains {
            if let Some(strange) = &objects.strange {
                report
                    .notices
                    .push(format!("chain {chain} is left alone, {strange} is not an object of a chain"));
                continue;
            }
            if !named.has_chain(self.plan, chain) && !objects.keys.is_empty() {
                free.entry((*chain, *chain)).or_default().keys = objects.keys.clone();
            }
            for (owner, have) in &objects.volumes {
                let left = unnamed(named, self.plan, chain, owner, have);
                if left.count() > 0 {
                    let (point, volume) = owner.clone();
                    free.entry((*chain, point)).or_default().volumes.insert(volume, left);
                }
            }
        }
        free.retain(|(_, owner), _| self.may_end(owner, newest) && !survey.standing.contains_key(owner));
        free
    }

    /// Announces, looks again, lists what goes, deletes. The order is what makes it safe.
    fn end_and_delete(
        &self,
        mut free: FreeByOwner,
        survey: &mut Survey<'_>,
        report: &mut PruneReport,
    ) -> Result<(), EngineError> {
        let run = self.repository.environment().new_id()?;
        let owners: BTreeSet<Id> = free.keys().map(|(_, owner)| *owner).collect();
        // Rule ending_before_reread.
        let untold = self.announce_all(owners, run, report)?;
        free.retain(|(_, owner), _| !untold.contains(owner));
        // Rule reread_after_ending: what a run that committed meanwhile names is taken back.
        survey.read_until_still()?;
        if leave_alone(survey, report) {
            return Ok(());
        }
        take_back(&mut free, self.plan, survey.names());
        // Rule ended_before_delete: whoever names one of these from now on is void.
        for ((chain, owner), free) in &free {
            self.repository.environment().cancel.check()?;
            self.put_ended(*chain, *owner, run, free)?;
        }
        for ((chain, owner), free) in &free {
            delete_all(self.repository, &free.keys_of(self.plan, *chain, *owner)?)?;
            report.count(free);
        }
        Ok(())
    }

    /// Announces the end of ids; returns those whose place is taken by something else, which are left alone.
    fn announce_all(
        &self,
        ids: BTreeSet<Id>,
        run: Id,
        report: &mut PruneReport,
    ) -> Result<BTreeSet<Id>, EngineError> {
        let mut untold = BTreeSet::new();
        for id in ids {
            self.repository.environment().cancel.check()?;
            if announce(self.repository, self.plan, id, run)? == Announced::PlaceTaken {
                report.notices.push(format!("run {id} is left alone: {}", place_taken(&self.plan.team, &id)));
                untold.insert(id);
            }
        }
        Ok(untold)
    }

    fn put_ended(&self, chain: Id, owner: Id, run: Id, free: &Free) -> Result<(), EngineError> {
        let PlanId { team, cluster, namespace, plan } = self.plan.clone();
        let ended = Ended {
            format: 1,
            repository: self.repository.id(),
            team,
            cluster,
            namespace,
            plan,
            chain,
            point: owner,
            run,
            time: self.repository.environment().clock.now(),
            objects: free.ended_objects(),
        };
        records::put(self.repository, &ended.key(), &ended)
    }

    /// Uploads that were never completed, of runs that are over: those of a standing point, whose objects are all there, and those of runs
    /// whose end is announced, so that whoever sends them is told.
    fn abort_uploads(
        &self,
        survey: &Survey<'_>,
        newest: Option<Id>,
        report: &mut PruneReport,
    ) -> Result<(), EngineError> {
        let mut uploads = Vec::new();
        for upload in self.repository.store().list_uploads(&object_key::data_prefix(self.plan))? {
            let Ok((_, _, object)) = object_key::parse_data(upload.upload.key.as_str()) else { continue };
            let Some(owner) = object.owner() else { continue };
            if survey.standing.contains_key(&owner) || self.may_end(&owner, newest) {
                uploads.push((owner, upload.upload));
            }
        }
        let ending = uploads.iter().map(|(owner, _)| *owner).filter(|id| !survey.standing.contains_key(id));
        let ending: BTreeSet<Id> = ending.collect();
        if !ending.is_empty() {
            let run = self.repository.environment().new_id()?;
            let untold = self.announce_all(ending, run, report)?;
            uploads.retain(|(owner, _)| !untold.contains(owner));
        }
        for (_, upload) in uploads {
            self.repository.environment().cancel.check()?;
            self.repository.store().abort_upload(&upload)?;
            report.uploads_aborted += 1;
        }
        Ok(())
    }

    /// Removes manifests that an `ended` list made void; they are seen by nobody, and nothing they name counts for them. One that is held, or
    /// of which nothing is gone, stays: a person may want it yet.
    fn drop_void(&self, survey: &Survey<'_>, report: &mut PruneReport) -> Result<(), EngineError> {
        let mut keys: Vec<Key> = Vec::new();
        let run = self.repository.environment().new_id()?;
        for id in &survey.void {
            if self.pins.pinned.contains(id) {
                report.notices.push(format!("point {id} is void and held: its manifest stays"));
                continue;
            }
            let key = object_key::manifest(self.plan, id);
            let bytes = find_object(self.repository.store().as_ref(), &key, MANIFEST_BYTES_MAX)?;
            let Some(bytes) = bytes else { continue };
            // Who signed it was judged by the survey; a key that was replaced since makes it void as well.
            let manifest =
                Signed::<Manifest>::decode_at(&key, &bytes).map_err(EngineError::object(&key))?.payload;
            match all_objects_stand(self.repository, &manifest)? {
                true => {
                    let text = format!("point {id} is void, and all its objects stand: its manifest stays");
                    report.notices.push(text);
                }
                false => {
                    keep_in_sight(self.repository, &manifest, run)?;
                    keys.push(store_key(&key)?);
                }
            }
        }
        report.objects_deleted += keys.len() as u64;
        delete_all(self.repository, &keys)
    }

    fn kept_for_chains(&self, survey: &Survey<'_>) -> u64 {
        let named = survey.names();
        let mut bytes = 0;
        for (chain, objects) in &self.objects.chains {
            for (owner, have) in &objects.volumes {
                // What was reused from an incomplete run belongs to the point that uses it.
                let was_point =
                    named.volume(self.plan, chain, owner.0, &owner.1).is_some_and(|names| names.map);
                if was_point && !survey.standing.contains_key(&owner.0) {
                    bytes += have.bytes() - unnamed(named, self.plan, chain, owner, have).bytes();
                }
            }
        }
        bytes
    }
}

/// Whether something of the plan cannot be read, so that nothing of it is touched.
fn leave_alone(survey: &Survey<'_>, report: &mut PruneReport) -> bool {
    for (id, error) in &survey.unreadable {
        report.notices.push(format!("point {id} cannot be read, its plan is left alone: {error}"));
    }
    !survey.unreadable.is_empty()
}
