//! Properties of the model, by name.

use std::fmt;

/// Something that must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property {
    /// A point that was reported and that forget has not deleted can be read.
    ReportedIsReadable,
    /// A point that was reported and that forget has not deleted has its manifest and all that it needs, whatever a list under `ended/` says.
    ReportedStands,
    /// What a visible manifest names is there.
    NamedIsKept,
    /// Some complete point can be read, where there ever was one.
    SomethingStays,
    /// A run that was fenced or died has not reported success.
    FencedNeverReports,
    /// A run is fenced only if a person named it as abandoned, or something it builds on has been overtaken.
    FencedWithCause,
    /// A restore never says damaged: nothing in the model damages anything.
    NeverDamaged,
    /// A restore that says success has read everything.
    SuccessIsWhole,
    /// A point whose hold was reported stays until it is released.
    HoldIsHonoured,
    /// A point stays while a restore reads it under a pin that forget is sure to see.
    PinIsHonoured,
    /// A point that was reported and not forgotten counts by its signature.
    ReportedCounts,
    /// The newest key opens what its own writers reported at once, and all that was reported once the rotation is done.
    NewestOpensReported,
    /// Once the rotation is done no data lies in a chain that is sealed to the replaced key only.
    NothingSealedToReplaced,
    /// At rest, one prune removes all that the rules allow it to; after one more backup, all that nobody names.
    GarbageGoes,
    /// At rest, the next backup succeeds.
    NextBackupWorks,
}

impl fmt::Display for Property {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}
