//! Whether everything that manifests name is there in its full length.

use std::collections::{BTreeMap, BTreeSet};

use coffer_format::{Label, LineageEntry, Manifest, PlanId, VolumeName, VolumeState, object_key};

use super::report::VerifyReport;
use crate::inventory::{PlanObjects, list_objects_and_strange};
use crate::{EngineError, Repository};

/// The objects of a team. What is not ours among them is noted: prune stays away from its chain.
pub(crate) fn list(
    repository: &Repository,
    team: &Label,
    report: &mut VerifyReport,
) -> Result<BTreeMap<PlanId, PlanObjects>, EngineError> {
    let (listed, strange) = list_objects_and_strange(repository, team)?;
    report.strange(strange);
    Ok(listed)
}

/// What was checked already, for another point that shares it.
pub(crate) type Done = BTreeSet<(PlanId, LineageEntry, VolumeName)>;

/// Every object that manifests name is listed, and each run's objects have together the length that the record states.
pub(crate) fn check_lengths(
    manifests: &[Manifest],
    listed: &BTreeMap<PlanId, PlanObjects>,
    done: &mut Done,
    report: &mut VerifyReport,
) {
    for manifest in manifests {
        let plan = manifest.plan_id();
        let chain = listed.get(&plan).and_then(|plan| plan.chains.get(&manifest.chain));
        for record in manifest.volumes.iter().map(|volume| &volume.payload) {
            if record.state == VolumeState::Failed {
                continue;
            }
            for entry in &record.lineage {
                if !done.insert((plan.clone(), entry.clone(), record.name.clone())) {
                    continue;
                }
                let objects = chain.and_then(|chain| chain.volumes.get(&(entry.point, record.name.clone())));
                let path = coffer_format::VolumePath {
                    plan: plan.clone(),
                    chain: manifest.chain,
                    point: entry.point,
                    volume: record.name.clone(),
                };
                let have = objects.cloned().unwrap_or_default();
                let named = entry.named_packs();
                for number in named.numbers().filter(|number| !have.packs.contains_key(number)) {
                    report.problem(
                        "missing",
                        object_key::pack(&path, number),
                        "the object is missing",
                        [manifest.point],
                    );
                }
                let map = if entry.names_map() { have.map } else { Some(0) };
                if map.is_none() {
                    report.problem(
                        "missing",
                        object_key::map(&path),
                        "the object is missing",
                        [manifest.point],
                    );
                }
                let packs = have.packs.iter().filter(|(number, _)| named.contains(**number));
                let bytes = packs.map(|(_, len)| len).sum::<u64>() + map.unwrap_or(0);
                if bytes != entry.bytes {
                    let detail = format!("map and packs have {bytes} bytes, the record says {}", entry.bytes);
                    report.problem("length", object_key::map(&path), detail, [manifest.point]);
                }
            }
        }
    }
}
