//! A person with `hold`: where they stand.

/// Where the person stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// About to put the hold.
    Put,
    /// About to look for an `ending` record.
    LookForEnding,
    /// About to see whether the manifest stands.
    GetManifest,
    /// Was told that the point is held.
    Held,
    /// Was told that it is too late, or has decided to release; about to remove the hold.
    Release,
    /// Ended.
    Over,
}

impl Holder {
    /// About to start.
    pub const START: Self = Self::Put;
    /// Nobody, or somebody who has ended.
    pub const OVER: Self = Self::Over;

    /// Whether the person has ended.
    pub fn is_over(&self) -> bool {
        *self == Self::Over
    }
}
