//! Gives back the space of what nobody needs. Rules and their names are those of the protocol's model (`coffer-sim`).
//!
//! It deletes only what no standing manifest names and what it has announced; nothing is rewritten, no clock is asked, no lock is taken.

use std::collections::{BTreeMap, BTreeSet};

use coffer_format::{
    Ended, EndedObjects, EndedVolume, Id, Label, Manifest, Names, PlanId, Signed, VolumeName, object_key,
};
use coffer_store::{Key, RequestCounts};

use crate::artefacts::keep_in_sight;
use crate::catalog::{Filter, list_points};
use crate::forget::{delete_all, place_taken};
use crate::inventory::{PlanObjects, VolumeObjects, list_objects, unnamed};
use crate::pins::{Pins, read_pins};
use crate::records::{self, Announced, announce};
use crate::repository::{MANIFEST_BYTES_MAX, find_object, list_teams, store_key};
use crate::request_error::SignedRequest;
use crate::reserve::with_reserve;
use crate::survey::Survey;
use crate::voids::all_objects_stand;
use crate::walk::walk;
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

/// Free objects of one id in one chain.
#[derive(Default, Clone)]
struct Free {
    keys: BTreeMap<u32, u64>,
    volumes: BTreeMap<VolumeName, VolumeObjects>,
}

type FreeByOwner = BTreeMap<(Id, Id), Free>;

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
            drop_leftovers(repository, team, pins, &mut report)?;
        }
    }
    report.requests = repository.store().requests();
    Ok(report)
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
            free.values().for_each(|free| count(free, report));
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
        self.take_back(&mut free, survey.names());
        // Rule ended_before_delete: whoever names one of these from now on is void.
        for ((chain, owner), free) in &free {
            self.repository.environment().cancel.check()?;
            self.put_ended(*chain, *owner, run, free)?;
        }
        for ((chain, owner), free) in &free {
            delete_all(self.repository, &self.keys_of(*chain, *owner, free)?)?;
            count(free, report);
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
        let volumes = free.volumes.iter().map(|(name, objects)| EndedVolume {
            name: name.clone(),
            map: objects.map.is_some(),
            packs: ranges(objects.packs.keys().copied()),
        });
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
            objects: EndedObjects { keys: free.keys.keys().copied().collect(), volumes: volumes.collect() },
        };
        records::put(self.repository, &ended.key(), &ended)
    }

    fn keys_of(&self, chain: Id, owner: Id, free: &Free) -> Result<Vec<Key>, EngineError> {
        let mut keys = Vec::new();
        for (volume, objects) in &free.volumes {
            let path = coffer_format::VolumePath {
                plan: self.plan.clone(),
                chain,
                point: owner,
                volume: volume.clone(),
            };
            if objects.map.is_some() {
                keys.push(store_key(&object_key::map(&path))?);
            }
            for number in objects.packs.keys() {
                keys.push(store_key(&object_key::pack(&path, *number))?);
            }
        }
        for number in free.keys.keys() {
            keys.push(store_key(&object_key::chain_key(self.plan, &chain, *number))?);
        }
        Ok(keys)
    }

    fn take_back(&self, free: &mut FreeByOwner, names: &Names) {
        for ((chain, owner), free) in free.iter_mut() {
            if names.has_chain(self.plan, chain) {
                free.keys.clear();
            }
            for (volume, objects) in &mut free.volumes {
                *objects = unnamed(names, self.plan, chain, &(*owner, volume.clone()), objects);
            }
            free.volumes.retain(|_, objects| objects.count() > 0);
        }
        free.retain(|_, free| !free.keys.is_empty() || !free.volumes.is_empty());
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
                // What was taken over from an unfinished run belongs to the point that uses it.
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

fn count(free: &Free, report: &mut PruneReport) {
    report.objects_deleted +=
        free.keys.len() as u64 + free.volumes.values().map(VolumeObjects::count).sum::<u64>();
    report.bytes_deleted +=
        free.keys.values().sum::<u64>() + free.volumes.values().map(VolumeObjects::bytes).sum::<u64>();
}

/// Joins ascending numbers to inclusive ranges.
fn ranges(numbers: impl Iterator<Item = u32>) -> Vec<(u32, u32)> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    ranges
}

/// Removes pins of killed restores and records of points whose manifest is gone.
fn drop_leftovers(
    repository: &Repository,
    team: &Label,
    pins: Pins,
    report: &mut PruneReport,
) -> Result<(), EngineError> {
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
    report.objects_deleted += keys.len() as u64;
    delete_all(repository, &keys)
}
