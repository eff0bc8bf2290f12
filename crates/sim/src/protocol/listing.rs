//! What a LIST may answer: exact, or stale within what is assumed of a store.
//!
//! The assumption on a stale LIST, without which no rule helps: where a manifest stands, the LIST of manifests or the
//! LIST of data that follows it shows at least one name of that point. [`Listing::Blind`] drops the assumption.

use super::names::{Objects, PointId, Points};
use super::store::Store;

/// How far a LIST can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// A LIST shows what is there.
    Exact,
    /// A LIST may hide any names, but two LISTs in a row do not hide all names of a point whose manifest stands.
    Stale,
    /// The same, for prune alone; everyone else's LISTs show what is there.
    StaleForPrune,
    /// A LIST may hide anything.
    Blind,
}

impl Listing {
    /// How far anyone but prune can trust a LIST.
    #[must_use]
    pub const fn outside_prune(self) -> Self {
        match self {
            Self::StaleForPrune => Self::Exact,
            other => other,
        }
    }

    /// The answers that a LIST of manifests may give.
    pub fn points(self, store: &Store) -> Vec<Points> {
        match self {
            Self::Exact => vec![store.manifests],
            Self::Stale | Self::StaleForPrune | Self::Blind => store.manifests.subsets().collect(),
        }
    }

    /// The answers that a LIST of all data may give, after a LIST of manifests that showed `shown`.
    pub fn data(self, store: &Store, shown: Points) -> Vec<Objects> {
        let owed = store.manifests.without(shown).only(store.objects.owners());
        match self {
            Self::Exact => vec![store.objects],
            Self::Stale | Self::StaleForPrune => {
                store.objects.subsets().filter(|seen| owed.without(seen.owners()).is_empty()).collect()
            }
            Self::Blind => store.objects.subsets().collect(),
        }
    }

    /// The answers that a LIST of what `point` wrote may give.
    pub fn leftovers(self, store: &Store, point: PointId) -> Vec<Objects> {
        let objects = store.objects.only(Objects::of(point));
        match self {
            Self::Exact => vec![objects],
            Self::Stale | Self::StaleForPrune | Self::Blind => objects.subsets().collect(),
        }
    }

    /// The answers that a LIST under `ended/` may give.
    pub fn ended(self, store: &Store) -> Vec<Objects> {
        match self {
            Self::Stale | Self::StaleForPrune | Self::Blind if !store.ended.is_empty() => {
                vec![store.ended, Objects::NONE]
            }
            _ => vec![store.ended],
        }
    }
}
