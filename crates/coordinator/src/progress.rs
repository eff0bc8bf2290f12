//! What a caller hears of work at agents.

/// Where the operations of one call stand, all agents together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// What is being worked on, or waited for; for people.
    pub doing: String,
    /// Bytes of all volumes begun so far.
    pub total_bytes: u64,
    /// Bytes of these that are done.
    pub done_bytes: u64,
    /// Bytes stored or fetched.
    pub moved_bytes: u64,
    /// Stored bytes of incomplete runs that are reused.
    pub resumed_bytes: u64,
}

/// Hears where the operations of one call stand, on the threads of the connections: it must not block.
pub trait Progress: Send + Sync {
    /// This is how it stands from now on.
    fn show(&self, standing: Standing);
}

/// For callers that do not want to hear of it.
impl Progress for () {
    fn show(&self, _: Standing) {}
}
