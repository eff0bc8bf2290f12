//! Small records: what a run announces, confirms, holds or found. Signed documents like all others, so that nobody who can only write makes
//! one that counts.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Document, check_format};
use crate::error::{check, check_range};
use crate::object_key::{self, PACKS_MAX};
use crate::pack::PACK_BLOCKS_MAX;
use crate::{Digest, FormatError, Id, Label, PlanId, RepositoryId, Summary, Timestamp, VolumeName};

/// `repository`, `team`, and what ties a record to its key.
macro_rules! record_document {
    ($name:ty, $kind:literal) => {
        impl Document for $name {
            type Nested = Self;

            const KIND: &'static str = $kind;

            fn repository(&self) -> &RepositoryId {
                &self.repository
            }

            fn team(&self) -> &Label {
                &self.team
            }

            fn check(&self) -> Result<(), FormatError> {
                check_format($kind, self.format)?;
                self.check_values()
            }

            fn check_key(&self, key: &str) -> Result<(), FormatError> {
                check(self.key() == key, $kind, "belongs under another key")
            }
        }
    };
}
pub(crate) use record_document;

/// `plan_id` of a record that has the fields.
macro_rules! plan_of_record {
    ($name:ty) => {
        impl $name {
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
        }
    };
}
pub(crate) use plan_of_record;

/// Forget or prune is about to end a point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ending {
    /// Version of the format: 1.
    pub format: u32,
    /// Repository.
    pub repository: RepositoryId,
    /// Team.
    pub team: Label,
    /// Cluster.
    pub cluster: Label,
    /// Namespace.
    pub namespace: Label,
    /// Plan.
    pub plan: Label,
    /// The point.
    pub point: Id,
    /// The forget or prune run.
    pub run: Id,
    /// When.
    pub time: Timestamp,
}

record_document!(Ending, "ending");
plan_of_record!(Ending);

impl Ending {
    /// The key it belongs under.
    #[must_use]
    pub fn key(&self) -> String {
        object_key::ending(&self.team, &self.point)
    }

    fn check_values(&self) -> Result<(), FormatError> {
        Ok(())
    }
}

/// A run got through its checks: its point counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmed {
    /// Version of the format: 1.
    pub format: u32,
    /// Repository.
    pub repository: RepositoryId,
    /// Team.
    pub team: Label,
    /// Cluster.
    pub cluster: Label,
    /// Namespace.
    pub namespace: Label,
    /// Plan.
    pub plan: Label,
    /// The point.
    pub point: Id,
    /// The summary's text, as it stands in the key.
    pub summary: String,
    /// BLAKE3 of the manifest's payload line: the digest in its seal.
    pub manifest: Digest,
}

record_document!(Confirmed, "confirmed");
plan_of_record!(Confirmed);

impl Confirmed {
    /// The key it belongs under.
    #[must_use]
    pub fn key(&self) -> String {
        object_key::confirmed_by_text(&self.plan_id(), &self.point, &self.summary)
    }

    fn check_values(&self) -> Result<(), FormatError> {
        let summary = Summary::decode(&self.summary)?;
        check(summary.encode() == self.summary, Self::KIND, "its summary is not in canonical form")
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
    /// Repository.
    pub repository: RepositoryId,
    /// Team.
    pub team: Label,
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

record_document!(Pin, "pin");

impl Pin {
    /// The key it belongs under.
    #[must_use]
    pub fn key(&self) -> String {
        object_key::pin(&self.team, &self.point, &self.run)
    }

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
    /// Repository.
    pub repository: RepositoryId,
    /// Team.
    pub team: Label,
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

record_document!(Damaged, "damaged");

impl Damaged {
    /// The key it belongs under.
    #[must_use]
    pub fn key(&self) -> String {
        object_key::damaged(&self.team, &self.point, &self.volume, self.pack, &self.run)
    }

    /// Whether the block with `ordinal` is damaged.
    #[must_use]
    pub fn contains(&self, ordinal: u32) -> bool {
        match &self.ordinals {
            DamagedOrdinals::All => true,
            DamagedOrdinals::Some(ordinals) => ordinals.binary_search(&ordinal).is_ok(),
        }
    }

    fn check_values(&self) -> Result<(), FormatError> {
        const WHAT: &str = Damaged::KIND;
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
