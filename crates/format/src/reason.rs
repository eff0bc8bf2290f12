//! Why a point is a full or an incremental, in a form that fits in a key.

use crate::FormatError;
use crate::point_type::PointType;

/// Why a point has its type (`docs/format.md` section 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Full: no complete point of this plan is there to build on.
    NoParent,
    /// Full: the chain holds as many complete points as permitted; that number.
    ChainFull(u64),
    /// Full: asked for.
    AskedFull,
    /// Full: the newest complete point cannot be built on.
    ParentUnusable,
    /// Full: the team's key was rotated, and the chain's key is not sealed to the newest one, or its secrets were replaced.
    KeyRotated,
    /// Incremental: continues the chain; number of complete points in the chain before this one.
    Continues(u64),
    /// Incremental: asked for; number of complete points in the chain before this one.
    AskedIncremental(u64),
}

impl Reason {
    /// Code and argument as stored.
    #[must_use]
    pub const fn to_code(self) -> (u8, u64) {
        match self {
            Self::NoParent => (0, 0),
            Self::ChainFull(points) => (1, points),
            Self::AskedFull => (2, 0),
            Self::ParentUnusable => (3, 0),
            Self::Continues(points) => (4, points),
            Self::AskedIncremental(points) => (5, points),
            Self::KeyRotated => (6, 0),
        }
    }

    /// The reason that `code` and `argument` stand for.
    pub fn from_code(code: u8, argument: u64) -> Result<Self, FormatError> {
        match (code, argument) {
            (0, 0) => Ok(Self::NoParent),
            (1, points) => Ok(Self::ChainFull(points)),
            (2, 0) => Ok(Self::AskedFull),
            (3, 0) => Ok(Self::ParentUnusable),
            (4, points) => Ok(Self::Continues(points)),
            (5, points) => Ok(Self::AskedIncremental(points)),
            (6, 0) => Ok(Self::KeyRotated),
            (0 | 2 | 3 | 6, _) => {
                Err(FormatError::NotCanonical { what: "reason", detail: "argument is not 0" })
            }
            _ => Err(FormatError::Unknown { what: "reason", field: "code", found: code.into() }),
        }
    }

    /// The type of a point that has this reason.
    #[must_use]
    pub const fn point_type(self) -> PointType {
        match self {
            Self::NoParent
            | Self::ChainFull(_)
            | Self::AskedFull
            | Self::ParentUnusable
            | Self::KeyRotated => PointType::Full,
            Self::Continues(_) | Self::AskedIncremental(_) => PointType::Incremental,
        }
    }

    /// The reason in plain words.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::NoParent => "no complete point to build on".to_owned(),
            Self::ChainFull(points) => {
                format!("the chain holds {}, as many as allowed", complete_points(points))
            }
            Self::AskedFull => "a full was asked for".to_owned(),
            Self::ParentUnusable => "the newest complete point cannot be built on".to_owned(),
            Self::KeyRotated => "the team's key was rotated since the chain was opened".to_owned(),
            Self::Continues(points) => format!("continues a chain of {}", complete_points(points)),
            Self::AskedIncremental(points) => {
                format!("an incremental was asked for; continues a chain of {}", complete_points(points))
            }
        }
    }
}

fn complete_points(count: u64) -> String {
    if count == 1 { "1 complete point".to_owned() } else { format!("{count} complete points") }
}
