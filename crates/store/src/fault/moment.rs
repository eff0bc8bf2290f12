//! When a hook runs.

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before the request takes effect.
    Before,
    /// After it took effect, before the caller knows.
    After,
}
