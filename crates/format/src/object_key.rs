//! Keys of objects, relative to the repository's prefix (`docs/format.md` section 2), built here and parsed in
//! `parse`. Every key is at most 900 bytes, every component at most 255, by the limits of the names in it. A key is
//! never a file path: that is the store's business.

mod parse;

pub use parse::{
    parse_artefacts, parse_confirmed, parse_damaged, parse_data, parse_data_chain, parse_ended, parse_ending,
    parse_manifest, parse_pin, parse_team, parse_team_points, parse_unsigned_ending,
};

use crate::{Id, Label, PlanId, Summary, VolumeName};

/// Packs of one volume in one point are numbered below this.
pub const PACKS_MAX: u32 = 1 << 24;

/// Where the map and the packs lie that one point wrote for one volume.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumePath {
    /// Plan.
    pub plan: PlanId,
    /// Chain of the point.
    pub chain: Id,
    /// The point, owner of the objects.
    pub point: Id,
    /// The volume.
    pub volume: VolumeName,
}

/// What an object below `data/` of a chain is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DataObject {
    /// Sealed chain key number `n`, from 1.
    ChainKey(u32),
    /// The map of a volume.
    Map {
        /// Point that wrote it.
        point: Id,
        /// Volume.
        volume: VolumeName,
    },
    /// A pack of a volume.
    Pack {
        /// Point that wrote it.
        point: Id,
        /// Volume.
        volume: VolumeName,
        /// Number of the pack, from 0.
        number: u32,
    },
}

impl DataObject {
    /// The point that owns the object; `None` for a chain key, which its chain owns.
    #[must_use]
    pub fn owner(&self) -> Option<Id> {
        match self {
            Self::ChainKey(_) => None,
            Self::Map { point, .. } | Self::Pack { point, .. } => Some(*point),
        }
    }

    /// The object's key.
    #[must_use]
    pub fn key(&self, plan: &PlanId, chain: &Id) -> String {
        let path = |point: &Id, volume: &VolumeName| VolumePath {
            plan: plan.clone(),
            chain: *chain,
            point: *point,
            volume: volume.clone(),
        };
        match self {
            Self::ChainKey(number) => chain_key(plan, chain, *number),
            Self::Map { point, volume } => map(&path(point, volume)),
            Self::Pack { point, volume, number } => pack(&path(point, volume), *number),
        }
    }
}

/// Key of the repository's configuration.
#[must_use]
pub fn config() -> String {
    "coffer.json".to_owned()
}

/// Prefix of everything that belongs to teams.
#[must_use]
pub fn teams_prefix() -> String {
    "t/".to_owned()
}

/// Prefix of everything that belongs to `team`.
#[must_use]
pub fn team_prefix(team: &Label) -> String {
    format!("t/{team}/")
}

/// Key of the team statement of `generation`, from 1.
#[must_use]
pub fn team(team: &Label, generation: u32) -> String {
    if generation == 1 { format!("t/{team}/team.json") } else { format!("t/{team}/team.{generation}.json") }
}

/// Key of the list of points that stood when `generation`, from 2, replaced the key before.
#[must_use]
pub fn team_points(team: &Label, generation: u32) -> String {
    format!("t/{team}/team.{generation}.points")
}

/// Prefix of a team's statements and of the lists that rotations left.
#[must_use]
pub fn team_statements_prefix(team: &Label) -> String {
    format!("t/{team}/team.")
}

/// The narrowest prefix of manifests of a team that match what is given. A value after the first missing one does not narrow it.
#[must_use]
pub fn points_prefix(
    team: &Label,
    cluster: Option<&Label>,
    namespace: Option<&Label>,
    plan: Option<&Label>,
) -> String {
    narrowed(format!("t/{team}/points/"), [cluster, namespace, plan])
}

/// As [`points_prefix`], of summaries.
#[must_use]
pub fn confirmed_prefix(
    team: &Label,
    cluster: Option<&Label>,
    namespace: Option<&Label>,
    plan: Option<&Label>,
) -> String {
    narrowed(format!("t/{team}/confirmed/"), [cluster, namespace, plan])
}

fn narrowed(mut prefix: String, parts: [Option<&Label>; 3]) -> String {
    for part in parts.into_iter().map_while(|part| part) {
        prefix.push_str(part.as_ref());
        prefix.push('/');
    }
    prefix
}

/// Prefix of the manifests of a plan.
#[must_use]
pub fn plan_points_prefix(plan: &PlanId) -> String {
    points_prefix(&plan.team, Some(&plan.cluster), Some(&plan.namespace), Some(&plan.plan))
}

/// Key of a point's manifest.
#[must_use]
pub fn manifest(plan: &PlanId, point: &Id) -> String {
    format!("{}{point}", plan_points_prefix(plan))
}

/// Key of the record that confirms `point`, whose name tells what a list of points shows of it.
#[must_use]
pub fn confirmed(plan: &PlanId, point: &Id, summary: &Summary) -> String {
    confirmed_by_text(plan, point, &summary.encode())
}

/// As [`confirmed`], from the summary's text.
pub(crate) fn confirmed_by_text(plan: &PlanId, point: &Id, summary: &str) -> String {
    let prefix = confirmed_prefix(&plan.team, Some(&plan.cluster), Some(&plan.namespace), Some(&plan.plan));
    format!("{prefix}{point}.{summary}")
}

/// Prefix of the data of all plans of a team.
#[must_use]
pub fn team_data_prefix(team: &Label) -> String {
    format!("t/{team}/data/")
}

/// Prefix of the data of a plan.
#[must_use]
pub fn data_prefix(plan: &PlanId) -> String {
    format!("{}{}/{}/{}/", team_data_prefix(&plan.team), plan.cluster, plan.namespace, plan.plan)
}

/// Prefix of the data of a chain.
#[must_use]
pub fn chain_prefix(plan: &PlanId, chain: &Id) -> String {
    format!("{}{chain}/", data_prefix(plan))
}

/// Key of the chain's sealed key number `number`, from 1.
#[must_use]
pub fn chain_key(plan: &PlanId, chain: &Id, number: u32) -> String {
    format!("{}{number}", chain_keys_prefix(plan, chain))
}

/// Prefix of the chain's sealed keys.
#[must_use]
pub fn chain_keys_prefix(plan: &PlanId, chain: &Id) -> String {
    format!("{}keys/", chain_prefix(plan, chain))
}

/// Prefix of what a point wrote, for all its volumes.
#[must_use]
pub fn point_data_prefix(plan: &PlanId, chain: &Id, point: &Id) -> String {
    format!("{}{point}/", chain_prefix(plan, chain))
}

/// Prefix of what a point wrote for one volume.
#[must_use]
pub fn volume_prefix(path: &VolumePath) -> String {
    format!("{}{}/", point_data_prefix(&path.plan, &path.chain, &path.point), path.volume.encoded())
}

/// Key of a volume's map object.
#[must_use]
pub fn map(path: &VolumePath) -> String {
    format!("{}map", volume_prefix(path))
}

/// Key of a volume's pack number `number`, from 0.
#[must_use]
pub fn pack(path: &VolumePath, number: u32) -> String {
    format!("{}p{number:08}", volume_prefix(path))
}

/// Key of the record that prune is about to end `point`.
#[must_use]
pub fn ending(team: &Label, point: &Id) -> String {
    format!("{}{point}", ending_prefix(team))
}

/// Key of what a forget without a key announces, which it cannot sign: it tells a prune to look again, and nobody anything else.
#[must_use]
pub fn unsigned_ending(team: &Label, point: &Id) -> String {
    format!("{}.unsigned", ending(team, point))
}

/// Prefix of the `ending` records of a team.
#[must_use]
pub fn ending_prefix(team: &Label) -> String {
    format!("t/{team}/ending/")
}

/// Key of the list of objects of `point` that prune run `run` will delete.
#[must_use]
pub fn ended(team: &Label, chain: &Id, point: &Id, run: &Id) -> String {
    format!("{}{point}/{run}", ended_chain_prefix(team, chain))
}

/// Prefix of the `ended` lists of a team.
#[must_use]
pub fn ended_prefix(team: &Label) -> String {
    format!("t/{team}/ended/")
}

/// Prefix of the `ended` lists of a chain.
#[must_use]
pub fn ended_chain_prefix(team: &Label, chain: &Id) -> String {
    format!("{}{chain}/", ended_prefix(team))
}

/// Key of the pin that `run` holds on `point`.
#[must_use]
pub fn pin(team: &Label, point: &Id, run: &Id) -> String {
    format!("{}{run}", pins_prefix(team, point))
}

/// Prefix of the pins on `point`.
#[must_use]
pub fn pins_prefix(team: &Label, point: &Id) -> String {
    format!("{}{point}/", all_pins_prefix(team))
}

/// Prefix of all pins of a team.
#[must_use]
pub fn all_pins_prefix(team: &Label) -> String {
    format!("t/{team}/pins/")
}

/// Key of the artefacts of `point` that plugins have to delete, as run `run` left them.
#[must_use]
pub fn artefacts(team: &Label, point: &Id, run: &Id) -> String {
    format!("{}{point}/{run}", artefacts_prefix(team))
}

/// Prefix of all artefacts of a team that plugins have to delete.
#[must_use]
pub fn artefacts_prefix(team: &Label) -> String {
    format!("t/{team}/artefacts/")
}

/// Key of what run `run` found damaged in pack `number` that `point` wrote for `volume`.
#[must_use]
pub fn damaged(team: &Label, point: &Id, volume: &VolumeName, number: u32, run: &Id) -> String {
    format!("{}{run}", damaged_pack_prefix(team, point, volume, number))
}

/// Prefix of the damage records of one pack.
#[must_use]
pub fn damaged_pack_prefix(team: &Label, point: &Id, volume: &VolumeName, number: u32) -> String {
    format!("{}{point}/{}/p{number:08}/", damaged_prefix(team), volume.encoded())
}

/// Prefix of the damage records of a team.
#[must_use]
pub fn damaged_prefix(team: &Label) -> String {
    format!("t/{team}/damaged/")
}

/// Key of what the endpoint was found to honour from `cluster`. Never needed to read.
#[must_use]
pub fn capabilities(cluster: &Label) -> String {
    format!("capabilities/{cluster}")
}

/// Key of the heartbeat of `cluster`. Never needed to read.
#[must_use]
pub fn cluster(cluster: &Label) -> String {
    format!("clusters/{cluster}")
}
