//! The points of a team that stood when a recovery key was replaced: what replaced keys signed counts by this list only.

use serde::{Deserialize, Serialize};

use super::{DOCUMENT_LEN_MAX, Document, Issuer, check_format};
use crate::error::{check, check_range};
use crate::{Digest, FormatError, Id, Label, RepositoryId, object_key};

/// Most bytes of one entry: an id, a digest, and their names.
const ENTRY_LEN: usize = 120;
/// Bytes that are kept for the other fields and the seal.
const HEAD_LEN: usize = 4 << 10;

/// What a rotation found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotationPoints {
    /// Version of the format: 1.
    pub format: u32,
    /// Repository.
    pub repository: RepositoryId,
    /// Team.
    pub team: Label,
    /// Generation of the new recovery key, which signs the list; from 2.
    pub generation: u32,
    /// The points, ascending by id, then by digest.
    pub points: Vec<StandingPoint>,
}

/// A point that stood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandingPoint {
    /// Its id.
    pub point: Id,
    /// BLAKE3 of its manifest's payload line: the digest in the manifest's seal.
    pub manifest: Digest,
}

impl RotationPoints {
    /// Most points that fit.
    pub const POINTS_MAX: usize = (DOCUMENT_LEN_MAX - HEAD_LEN) / ENTRY_LEN;
}

impl Document for RotationPoints {
    type Nested = Self;

    const KIND: &'static str = "points";

    fn repository(&self) -> &RepositoryId {
        &self.repository
    }

    fn team(&self) -> &Label {
        &self.team
    }

    fn issuer(&self) -> Issuer {
        Issuer::Recovery(self.generation)
    }

    fn check_key(&self, key: &str) -> Result<(), FormatError> {
        let own = object_key::team_points(&self.team, self.generation);
        check(key == own, Self::KIND, "belongs under another key")
    }

    fn check(&self) -> Result<(), FormatError> {
        let what = Self::KIND;
        check_format(what, self.format)?;
        check_range(what, "generation", self.generation.into(), 2, u32::MAX.into())?;
        check_range(what, "number of points", self.points.len() as u64, 0, Self::POINTS_MAX as u64)?;
        let order = |standing: &StandingPoint| (standing.point, standing.manifest);
        let ascending = self.points.is_sorted_by(|before, after| order(before) < order(after));
        check(ascending, what, "points do not ascend")
    }
}
