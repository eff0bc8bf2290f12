//! Small records of prune, restore and verify. They are not signed: who may delete may also write them, and none of
//! them makes a reader trust bytes.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{LineageEntry, Manifest, VolumeRecord, one_line_document};
use crate::error::{check, check_range};
use crate::object_key::{DataObject, PACKS_MAX};
use crate::pack::PACK_BLOCKS_MAX;
use crate::{FormatError, Id, Label, PlanId, Timestamp, VolumeName};

/// Prune is about to end a point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ending {
    /// Version of the format: 1.
    pub format: u32,
    /// The point.
    pub point: Id,
    /// Team.
    pub team: Label,
    /// Cluster.
    pub cluster: Label,
    /// Namespace.
    pub namespace: Label,
    /// Plan.
    pub plan: Label,
    /// The prune run.
    pub run: Id,
    /// When.
    pub time: Timestamp,
}

one_line_document!(Ending, "ending record");

impl Ending {
    /// The plan.
    #[must_use]
    pub fn plan_id(&self) -> PlanId {
        PlanId {
            team: self.team.clone(),
            cluster: self.cluster.clone(),
            namespace: self.namespace.clone(),
            plan: self.plan.clone(),
        }
    }

    fn check_values(&self) -> Result<(), FormatError> {
        Ok(())
    }
}

/// What a prune run deletes of a point: a manifest that names any of it is void.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// Version of the format: 1.
    pub format: u32,
    /// The point that owns the objects, or the chain for its keys.
    pub point: Id,
    /// The prune run.
    pub run: Id,
    /// When.
    pub time: Timestamp,
    /// The chain.
    pub chain: Id,
    /// The objects.
    pub objects: EndedObjects,
}

/// Objects below one chain of one owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndedObjects {
    /// Numbers of sealed chain keys, ascending.
    pub keys: Vec<u32>,
    /// Objects of volumes, ascending by name.
    pub volumes: Vec<EndedVolume>,
}

/// Objects of one volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndedVolume {
    /// The volume.
    pub name: VolumeName,
    /// Whether the map object is among them.
    pub map: bool,
    /// Ranges of pack numbers, first and last, ascending and not adjacent.
    pub packs: Vec<(u32, u32)>,
}

one_line_document!(Ended, "ended list");

impl Ended {
    /// Whether `object` of `chain` is on the list.
    #[must_use]
    pub fn contains(&self, chain: &Id, object: &DataObject) -> bool {
        if *chain != self.chain || object.owner().is_some_and(|owner| owner != self.point) {
            return false;
        }
        match object {
            DataObject::ChainKey(number) => self.objects.keys.binary_search(number).is_ok(),
            DataObject::Map { volume, .. } => self.volume(volume).is_some_and(|volume| volume.map),
            DataObject::Pack { volume, number, .. } => {
                let within = |(first, last): &(u32, u32)| (first..=last).contains(&number);
                self.volume(volume).is_some_and(|volume| volume.packs.iter().any(within))
            }
        }
    }

    /// Whether it makes `manifest` void: the manifest names an object that is on the list.
    #[must_use]
    pub fn voids(&self, manifest: &Manifest) -> bool {
        let named = |record: &VolumeRecord| {
            let entry = record.lineage.iter().find(|entry| entry.point == self.point);
            entry.zip(self.volume(&record.name)).is_some_and(|(entry, ended)| ended.has_any_of(entry))
        };
        manifest.chain == self.chain
            && (!self.objects.keys.is_empty() || manifest.volume_records().any(named))
    }

    /// The listed objects.
    pub fn data_objects(&self) -> impl Iterator<Item = DataObject> + '_ {
        let keys = self.objects.keys.iter().map(|number| DataObject::ChainKey(*number));
        keys.chain(self.objects.volumes.iter().flat_map(|volume| volume.data_objects(self.point)))
    }

    fn volume(&self, name: &VolumeName) -> Option<&EndedVolume> {
        let index = self.objects.volumes.binary_search_by(|volume| volume.name.cmp(name)).ok()?;
        self.objects.volumes.get(index)
    }

    fn check_values(&self) -> Result<(), FormatError> {
        const WHAT: &str = "ended list";
        let EndedObjects { keys, volumes } = &self.objects;
        check(keys.is_sorted_by(|before, after| before < after), WHAT, "key numbers do not ascend")?;
        check(keys.first().is_none_or(|first| *first > 0), WHAT, "key number 0")?;
        check(volumes.is_sorted_by(|before, after| before.name < after.name), WHAT, "volumes do not ascend")?;
        check(!(keys.is_empty() && volumes.is_empty()), WHAT, "names nothing")?;
        volumes.iter().try_for_each(EndedVolume::check_values)
    }
}

impl EndedVolume {
    /// Whether an object that `entry` names is on the list.
    fn has_any_of(&self, entry: &LineageEntry) -> bool {
        let named = entry.named_packs();
        (self.map && entry.names_map()) || self.packs.iter().any(|range| named.overlaps(*range))
    }

    fn data_objects(&self, point: Id) -> impl Iterator<Item = DataObject> + '_ {
        let map = self.map.then(|| DataObject::Map { point, volume: self.name.clone() });
        let numbers = self.packs.iter().flat_map(|(first, last)| *first..=*last);
        let packs = numbers.map(move |number| DataObject::Pack { point, volume: self.name.clone(), number });
        map.into_iter().chain(packs)
    }

    fn check_values(&self) -> Result<(), FormatError> {
        const WHAT: &str = "ended list";
        check(self.map || !self.packs.is_empty(), WHAT, "a volume names nothing")?;
        for (first, last) in &self.packs {
            check_range(
                WHAT,
                "last pack of a range",
                (*last).into(),
                (*first).into(),
                u64::from(PACKS_MAX) - 1,
            )?;
        }
        let apart = self.packs.is_sorted_by(|(_, last), (first, _)| last.saturating_add(1) < *first);
        check(apart, WHAT, "ranges of packs do not ascend or could be one")
    }
}

/// Why a point is pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PinKind {
    /// A person holds it.
    Hold,
    /// A restore reads it.
    Restore,
}

/// A reason not to forget a point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// Version of the format: 1.
    pub format: u32,
    /// The point.
    pub point: Id,
    /// The run that pins it.
    pub run: Id,
    /// Why.
    pub kind: PinKind,
    /// When.
    pub time: Timestamp,
    /// Words for people.
    pub note: String,
}

one_line_document!(Pin, "pin");

impl Pin {
    fn check_values(&self) -> Result<(), FormatError> {
        Ok(())
    }
}

/// Which blocks of a pack are damaged; in JSON `"all"` or the ordinals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DamagedOrdinals {
    /// The whole pack.
    All,
    /// These ordinals, ascending, at least one.
    Some(Vec<u32>),
}

impl Serialize for DamagedOrdinals {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str("all"),
            Self::Some(ordinals) => ordinals.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for DamagedOrdinals {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Word(String),
            List(Vec<u32>),
        }
        match Either::deserialize(deserializer)? {
            Either::Word(word) if word == "all" => Ok(Self::All),
            Either::Word(_) => Err(D::Error::custom("neither \"all\" nor ordinals")),
            Either::List(ordinals) => Ok(Self::Some(ordinals)),
        }
    }
}

/// What verify found damaged: the next backup stores it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Damaged {
    /// Version of the format: 1.
    pub format: u32,
    /// The point that owns the pack.
    pub point: Id,
    /// The volume.
    pub volume: VolumeName,
    /// Number of the pack.
    pub pack: u32,
    /// The run that found it.
    pub run: Id,
    /// When.
    pub time: Timestamp,
    /// Which blocks.
    pub ordinals: DamagedOrdinals,
    /// Words for people.
    pub detail: String,
}

one_line_document!(Damaged, "damage record");

impl Damaged {
    /// Whether the block with `ordinal` is damaged.
    #[must_use]
    pub fn contains(&self, ordinal: u32) -> bool {
        match &self.ordinals {
            DamagedOrdinals::All => true,
            DamagedOrdinals::Some(ordinals) => ordinals.binary_search(&ordinal).is_ok(),
        }
    }

    fn check_values(&self) -> Result<(), FormatError> {
        const WHAT: &str = "damage record";
        check_range(WHAT, "pack number", self.pack.into(), 0, u64::from(PACKS_MAX) - 1)?;
        let DamagedOrdinals::Some(ordinals) = &self.ordinals else { return Ok(()) };
        check(ordinals.is_sorted_by(|before, after| before < after), WHAT, "ordinals do not ascend")?;
        let last = ordinals
            .last()
            .copied()
            .ok_or(FormatError::Inconsistent { what: WHAT, detail: "names nothing" })?;
        check_range(WHAT, "ordinal", last.into(), 0, u64::from(PACK_BLOCKS_MAX) - 1)?;
        Ok(())
    }
}
