//! Somebody who can write to the bucket, perhaps with a stolen writer key, and wants a point gone: puts a made-up list under `ended/`.

/// Where the forger stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Forger {
    /// About to put the list.
    Put,
    /// Nobody, or done.
    Over,
}

impl Forger {
    /// Whether nothing more comes.
    pub fn is_over(self) -> bool {
        self == Forger::Over
    }
}
