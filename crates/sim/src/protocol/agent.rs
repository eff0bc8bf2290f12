//! An agent that writes one volume of a point: where it stands.

/// Where an agent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Agent {
    /// Not asked to do anything.
    Idle,
    /// About to list packs that it may take over.
    List,
    /// About to put its packs.
    Put,
    /// Returned its volume record.
    Recorded,
    /// Died, or gave up and said so.
    Dead,
}

impl Agent {
    /// Whether it may still put something.
    pub const fn is_working(&self) -> bool {
        matches!(self, Self::List | Self::Put)
    }
}
