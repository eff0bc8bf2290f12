//! What is known of an upload until it is complete.

use std::collections::BTreeMap;

use super::checksum::Crc;
use crate::url::Checksum;

/// An upload that this value began.
#[derive(Debug)]
pub(super) struct OpenUpload {
    pub(super) part_len: u64,
    pub(super) checksum: Checksum,
    pub(super) parts: BTreeMap<u32, SentPart>,
}

/// A part that the server took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SentPart {
    pub(super) len: u64,
    pub(super) e_tag: String,
    pub(super) crc: Crc,
    /// CRC32C as it was sent.
    pub(super) crc32c: Option<String>,
}
