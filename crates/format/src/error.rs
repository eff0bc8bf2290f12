//! What can be wrong with stored bytes, names or keys: one variant per thing a person can tell apart.
//!
//! `what` names the structure ("leaf", "pack header"). An error never carries a secret or decrypted bytes.

/// The failure of decoding, checking or opening something of the repository format.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The bytes end before the structure does.
    #[error("{what}: ends too early: {needed} more bytes expected, {left} left")]
    Truncated {
        /// Structure that was read.
        what: &'static str,
        /// Bytes that the next field needs.
        needed: usize,
        /// Bytes that are left.
        left: usize,
    },
    /// Bytes follow where the structure is complete.
    #[error("{what}: {left} bytes follow its end")]
    TrailingBytes {
        /// Structure that was read.
        what: &'static str,
        /// Bytes beyond its end.
        left: usize,
    },
    /// A structure or buffer of fixed length has another length.
    #[error("{what}: {actual} bytes long instead of {expected}")]
    Length {
        /// Structure or buffer.
        what: &'static str,
        /// Length it must have.
        expected: usize,
        /// Length it has.
        actual: usize,
    },
    /// The first bytes are not those of the structure: another kind of object, or another format.
    #[error("{what}: does not start with its magic")]
    Magic {
        /// Structure that was expected.
        what: &'static str,
    },
    /// Written by a version or cipher suite that this program does not know.
    #[error("{what}: {field} {found} is not known to this version")]
    Unknown {
        /// Structure that was read.
        what: &'static str,
        /// Field that selects a version, suite, codec or kind.
        field: &'static str,
        /// Value found.
        found: u64,
    },
    /// Reserved bytes or bits are not zero.
    #[error("{what}: reserved bytes are not zero")]
    Reserved {
        /// Structure that was read.
        what: &'static str,
    },
    /// A number is outside what the format permits.
    #[error("{what}: {field} {actual} is outside {min} to {max}")]
    Range {
        /// Structure that was read.
        what: &'static str,
        /// Field.
        field: &'static str,
        /// Value found.
        actual: u64,
        /// Smallest value permitted.
        min: u64,
        /// Largest value permitted.
        max: u64,
    },
    /// A text value breaks the rule for its kind.
    #[error("{what} {value:?}: {rule}")]
    Text {
        /// Kind of value ("label", "volume name").
        what: &'static str,
        /// The value, shortened to 100 characters.
        value: String,
        /// The rule it breaks.
        rule: &'static str,
    },
    /// A second encoding of a value that has exactly one.
    #[error("{what}: not in canonical form: {detail}")]
    NotCanonical {
        /// Structure that was read.
        what: &'static str,
        /// What deviates.
        detail: &'static str,
    },
    /// Two values that must agree do not.
    #[error("{what}: {detail}")]
    Inconsistent {
        /// Structure that was checked.
        what: &'static str,
        /// What disagrees.
        detail: &'static str,
    },
    /// An unkeyed checksum or digest differs: damaged, torn or mistyped.
    #[error("{what}: checksum differs")]
    Checksum {
        /// Structure that was read.
        what: &'static str,
    },
    /// An authentication tag differs: damaged, forged, at another place, or opened with another key.
    #[error("{what} at {position}: authentication failed (damaged, forged, or another key)")]
    Authentication {
        /// Structure that was opened.
        what: &'static str,
        /// Byte offset of a page, or ordinal of a frame.
        position: u64,
    },
    /// A sealed secret does not open: damaged, or sealed to another key or object.
    #[error("{what}: does not open with this key")]
    SealedSecret {
        /// Which secret.
        what: &'static str,
    },
    /// A public key that cannot be sealed to.
    #[error("{what}: not a usable public key")]
    PublicKey {
        /// Which key.
        what: &'static str,
    },
    /// A frame stands where another one is expected.
    #[error("frame: ordinal {found} instead of {expected}")]
    Ordinal {
        /// Ordinal that the map names.
        expected: u32,
        /// Ordinal in the frame header.
        found: u32,
    },
    /// Stored bytes do not decompress to the block.
    #[error("{codec} block: does not decompress to {expected} bytes")]
    Decompress {
        /// Name of the codec.
        codec: &'static str,
        /// Plain length of the block in bytes.
        expected: usize,
    },
    /// Not JSON, or not of the document's shape.
    #[error("{what}: not the JSON expected")]
    Json {
        /// Document that was read.
        what: &'static str,
        /// What the parser found.
        #[source]
        source: serde_json::Error,
    },
    /// An object key that none of this format's objects has.
    #[error("object key {key:?}: not a {what}")]
    ObjectKey {
        /// Kind of object that was expected.
        what: &'static str,
        /// The key, shortened to 100 characters.
        key: String,
    },
    /// A signature or certificate is missing where one is required, or present where none may be.
    #[error("{what}: {detail}")]
    Seal {
        /// Document that was verified.
        what: &'static str,
        /// What is missing or too much.
        detail: &'static str,
    },
    /// A signature does not verify: changed, or signed by another key.
    #[error("{what}: signature does not verify (changed, or signed by another key)")]
    Signature {
        /// Document or certificate that was verified.
        what: &'static str,
    },
    /// No public key of this recovery key generation is pinned or learnt.
    #[error("{what}: recovery key generation {generation} is not known")]
    Generation {
        /// Document or certificate that was verified.
        what: &'static str,
        /// Generation that the document names.
        generation: u32,
    },
    /// Signed with a key of a generation that was replaced, and not among what stood when that happened.
    #[error(
        "{what}: signed with a key of generation {generation}, which generation {newest} replaced: what such keys sign since then does not count"
    )]
    Replaced {
        /// Document that was verified.
        what: &'static str,
        /// Generation of its certificate.
        generation: u32,
        /// The newest generation.
        newest: u32,
    },
    /// The key file does not hold the secrets of this generation.
    #[error(
        "the key file holds metadata secrets up to generation {held}, those of generation {generation} are needed"
    )]
    SecretsUnknown {
        /// Generation that is needed.
        generation: u32,
        /// The newest that the file holds.
        held: u32,
    },
    /// The document or key belongs to another repository or team.
    #[error("{what}: belongs to another {field}: {found} instead of {expected}")]
    Foreign {
        /// Document that was verified.
        what: &'static str,
        /// "repository" or "team".
        field: &'static str,
        /// Value in the document.
        found: String,
        /// Value expected.
        expected: String,
    },
    /// The operation needs the team's recovery key and this key file is a writer key.
    #[error("{operation} needs the recovery key; this is a writer key")]
    RecoveryKeyNeeded {
        /// What was asked for.
        operation: &'static str,
    },
}

/// `value`, cut so that an error stays readable.
pub(crate) fn shorten(value: &str) -> String {
    value.chars().take(100).collect()
}

/// An error unless `min <= actual <= max`.
pub(crate) fn check_range(
    what: &'static str,
    field: &'static str,
    actual: u64,
    min: u64,
    max: u64,
) -> Result<u64, FormatError> {
    if (min..=max).contains(&actual) {
        Ok(actual)
    } else {
        Err(FormatError::Range { what, field, actual, min, max })
    }
}

/// An error unless `holds`.
pub(crate) fn check(holds: bool, what: &'static str, detail: &'static str) -> Result<(), FormatError> {
    if holds { Ok(()) } else { Err(FormatError::Inconsistent { what, detail }) }
}
