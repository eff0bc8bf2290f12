//! Volume records: what one agent did for one volume of a point.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Attributes, Document, PackRanges, Seal, Signed, SignedBy, check_format};
use crate::crypto::PAGE_LEN_MAX;
use crate::error::{check, check_range};
use crate::map::{LINEAGE_MAX, MAP_HEADER_LEN};
use crate::object_key::PACKS_MAX;
use crate::pack::TAG_LEN;
use crate::{
    BlockSize, Digest, FormatError, Id, Label, PageRef, PlanId, PointType, RepositoryId, VolumeName,
    VolumePath,
};

/// Most warnings of a volume in one point.
pub const WARNINGS_MAX: usize = 16;
/// Most bytes of a warning.
pub const WARNING_LEN_MAX: usize = 512;

/// What a volume is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VolumeKind {
    /// Block device.
    Device,
    /// Disk image file.
    Image,
    /// Directory.
    Directory,
    /// Kubernetes objects.
    Resources,
}

impl fmt::Display for VolumeKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Device => "device",
            Self::Image => "image",
            Self::Directory => "directory",
            Self::Resources => "resources",
        })
    }
}

/// Whether a volume is in its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VolumeState {
    /// It is.
    Available,
    /// It failed.
    Failed,
}

/// Where the changes came from: `hash` (every block read and its hash compared), `fiemap` (the file system's extent map),
/// `list` (from the user's change tracker), and others that later programs add: 1 to 32 characters of `a-z0-9-`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChangeSource(String);

impl ChangeSource {
    /// Every block was read.
    #[must_use]
    pub fn hash() -> Self {
        Self("hash".to_owned())
    }

    /// Blocks in holes were not read.
    #[must_use]
    pub fn fiemap() -> Self {
        Self("fiemap".to_owned())
    }

    /// Blocks that a list from the user's change tracker did not name were not read.
    #[must_use]
    pub fn list() -> Self {
        Self("list".to_owned())
    }
}

impl TryFrom<String> for ChangeSource {
    type Error = FormatError;

    fn try_from(name: String) -> Result<Self, FormatError> {
        const WHAT: &str = "source of changes";
        check_range(WHAT, "bytes", name.len() as u64, 1, 32)?;
        let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        check(name.bytes().all(is_plain), WHAT, "holds other characters than a-z, 0-9 and -")?;
        Ok(Self(name))
    }
}

impl From<ChangeSource> for String {
    fn from(source: ChangeSource) -> Self {
        source.0
    }
}

impl fmt::Display for ChangeSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A point whose objects a volume uses, or an incomplete run of whose packs it uses some.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineageEntry {
    /// The point, or the incomplete run.
    pub point: Id,
    /// Number of packs it wrote for the volume; of an incomplete run one more than the largest number in `taken`.
    pub packs: u32,
    /// Bytes of the packs that are named and, of a point, of its map object.
    pub bytes: u64,
    /// The packs reused from an incomplete run, which alone are named; `None` for a point. Empty where none was needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<PackRanges>,
}

impl LineageEntry {
    /// The packs that it names.
    #[must_use]
    pub fn named_packs(&self) -> PackRanges {
        self.taken.clone().unwrap_or_else(|| PackRanges::first(self.packs))
    }

    /// Whether it names a map object: a point's is, an incomplete run's never.
    #[must_use]
    pub const fn names_map(&self) -> bool {
        self.taken.is_none()
    }

    fn check(&self) -> Result<(), FormatError> {
        const WHAT: &str = VolumeRecord::KIND;
        check_range(WHAT, "number of packs", self.packs.into(), 0, PACKS_MAX.into())?;
        let Some(taken) = &self.taken else { return Ok(()) };
        taken.check(WHAT)?;
        check(taken.end() == self.packs, WHAT, "number of packs and packs taken over disagree")
    }
}

/// Where the root page is in the own map object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootRef {
    /// Offset in bytes.
    pub offset: u64,
    /// Stored length in bytes.
    pub length: u32,
    /// BLAKE3 of the stored bytes.
    pub digest: Digest,
}

/// What became of one volume in a point.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeRecord {
    /// Version of the format: 1.
    pub format: u32,
    /// Repository that wrote it first.
    pub repository: RepositoryId,
    /// Team.
    pub team: Label,
    /// Cluster.
    pub cluster: Label,
    /// Namespace.
    pub namespace: Label,
    /// Plan.
    pub plan: Label,
    /// Chain.
    pub chain: Id,
    /// Point.
    pub point: Id,
    /// Name of the volume.
    pub name: VolumeName,
    /// What it is.
    pub kind: VolumeKind,
    /// Whether it is there.
    pub state: VolumeState,
    /// Full or incremental, for this volume.
    #[serde(rename = "type")]
    pub point_type: PointType,
    /// Why, in words.
    pub type_reason: String,
    /// Bytes of the volume.
    pub size: u64,
    /// Its block size.
    pub block_size: BlockSize,
    /// The points whose objects it uses, each after the incomplete runs that it reused packs of, oldest first, own last; empty if it failed.
    pub lineage: Vec<LineageEntry>,
    /// The map's root page; `None` if it failed.
    pub root: Option<RootRef>,
    /// Bytes read from the source.
    pub read: u64,
    /// Bytes of blocks that differ from the base.
    pub changed: u64,
    /// Number of those blocks.
    pub blocks_changed: u64,
    /// Bytes of objects written.
    pub stored: u64,
    /// Thereof map and trailers.
    pub metadata: u64,
    /// Where the changes came from.
    pub changes: ChangeSource,
    /// Blocks called unchanged that were read and compared.
    pub sampled_blocks: u64,
    /// Those that were not.
    pub sample_mismatches: u64,
    /// What went wrong, if it failed.
    pub error: Option<String>,
    /// What a person should look at though the volume is there: at most 16, of at most 512 bytes each.
    pub warnings: Vec<String>,
    /// What later programs add.
    pub attributes: Attributes,
}

impl VolumeRecord {
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

    /// Where the objects lie that `point` of the lineage wrote for this volume.
    #[must_use]
    pub fn path_of(&self, point: Id) -> VolumePath {
        VolumePath { plan: self.plan_id(), chain: self.chain, point, volume: self.name.clone() }
    }

    /// The root page as a reference of the map; `None` if the volume failed.
    #[must_use]
    pub fn root_page(&self) -> Option<PageRef> {
        let root = self.root?;
        let lineage = u16::try_from(self.lineage.len().checked_sub(1)?).ok()?;
        Some(PageRef { lineage, offset: root.offset, len: root.length, digest: root.digest })
    }

    fn check_available(&self) -> Result<(), FormatError> {
        const WHAT: &str = VolumeRecord::KIND;
        check_range(WHAT, "points in the lineage", self.lineage.len() as u64, 1, LINEAGE_MAX as u64)?;
        let own_last = self.lineage.last().is_some_and(|own| own.point == self.point && own.taken.is_none());
        check(own_last, WHAT, "the own point is not the last of the lineage")?;
        let points: HashSet<Id> = self.lineage.iter().map(|entry| entry.point).collect();
        check(points.len() == self.lineage.len(), WHAT, "a point is twice in the lineage")?;
        self.lineage.iter().try_for_each(LineageEntry::check)?;
        let Some(root) = self.root else {
            return Err(FormatError::Inconsistent { what: WHAT, detail: "an available volume has no root" });
        };
        check_range(WHAT, "offset of the root", root.offset, MAP_HEADER_LEN as u64, i64::MAX as u64)?;
        check_range(WHAT, "length of the root", root.length.into(), TAG_LEN as u64 + 1, PAGE_LEN_MAX.into())?;
        check(self.error.is_none(), WHAT, "an available volume has an error")
    }
}

impl Document for VolumeRecord {
    type Nested = Self;

    const KIND: &'static str = "volume record";
    const SIGNED_BY: SignedBy = SignedBy::NewestOrInListed;

    fn repository(&self) -> &RepositoryId {
        &self.repository
    }

    fn team(&self) -> &Label {
        &self.team
    }

    /// It lies within a manifest and is no object of its own.
    fn check_key(&self, _key: &str) -> Result<(), FormatError> {
        check(false, Self::KIND, "is no object of its own")
    }

    fn check(&self) -> Result<(), FormatError> {
        check_format(Self::KIND, self.format)?;
        check_range(Self::KIND, "warnings", self.warnings.len() as u64, 0, WARNINGS_MAX as u64)?;
        for warning in &self.warnings {
            check_range(Self::KIND, "bytes of a warning", warning.len() as u64, 1, WARNING_LEN_MAX as u64)?;
        }
        self.block_size.block_count(self.size)?;
        match self.state {
            VolumeState::Available => self.check_available(),
            VolumeState::Failed => {
                let nothing = self.lineage.is_empty() && self.root.is_none() && self.error.is_some();
                check(nothing, Self::KIND, "a failed volume has an error, no lineage and no root")
            }
        }
    }
}

#[derive(Serialize)]
struct NestedRef<'a> {
    record: &'a VolumeRecord,
    seal: &'a Seal,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nested {
    record: VolumeRecord,
    seal: Seal,
}

impl Serialize for Signed<VolumeRecord> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        NestedRef { record: &self.payload, seal: &self.seal }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Signed<VolumeRecord> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Nested { record, seal } = Nested::deserialize(deserializer)?;
        Ok(Self { payload: record, seal })
    }
}
