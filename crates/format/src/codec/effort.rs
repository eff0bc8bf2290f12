//! How much time an attempt to compress may take.

/// How much time an attempt at a block may take. zstd has levels instead, and makes no difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effort {
    /// What LZ4 does by itself.
    Full,
    /// Looks for matches at fewer places, the fewer the longer it finds none: on pages of a database about twice as fast for a
    /// twelfth more bytes.
    Quick,
}
