//! A run of `restore`: where it stands, and what it told its caller.

use super::names::{Objects, PointId};

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// There is no such run.
    Absent,
    /// About to read the manifest of the point that it was asked for.
    Pick,
    /// About to put its pin.
    PutPin,
    /// About to look for an `ending` record.
    LookForEnding,
    /// About to see whether the point is confirmed.
    AskConfirmed,
    /// About to read the manifest again.
    GetManifest,
    /// Reading objects.
    Read,
    /// An object has vanished; about to read the manifest again.
    MissedGetManifest,
    /// The manifest still stands; about to see whether the point is confirmed.
    MissedAskConfirmed,
    /// The point is confirmed; about to read the `ended` lists.
    MissedListEnded,
    /// About to remove its pin, then over.
    Unpin,
    /// Ended, or died.
    Over,
}

/// What a run told its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Said {
    /// Nothing yet, or it died.
    Nothing,
    /// Everything was read.
    Success,
    /// The point is not there any more, or never was complete.
    Forgotten,
    /// The repository has lost something.
    Damaged,
}

/// One run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reader {
    /// Where it stands.
    pub phase: Phase,
    /// The point that it restores.
    pub point: PointId,
    /// Objects not read yet.
    pub left: Objects,
    /// Whether the pin is sure to be seen by every forget that may still delete the manifest.
    pub protected: bool,
    /// Whether something that could not be read was taken for zeroes.
    pub hollow: bool,
    /// What it told its caller.
    pub said: Said,
}

impl Reader {
    /// A run that is about to start.
    pub const START: Self = Self {
        phase: Phase::Pick,
        point: PointId::new(0),
        left: Objects::NONE,
        protected: false,
        hollow: false,
        said: Said::Nothing,
    };
    /// No run.
    pub const ABSENT: Self = Self { phase: Phase::Absent, ..Self::START };

    /// Whether the run has ended.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Absent | Phase::Over)
    }

    /// Whether its pin must keep the point now.
    pub fn relies_on_pin(&self) -> bool {
        self.protected && self.phase == Phase::Read
    }

    pub(super) fn end(&mut self, said: Said) {
        *self = Self { phase: Phase::Unpin, point: self.point, hollow: self.hollow, said, ..Self::START };
    }
}
