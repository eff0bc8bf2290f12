//! Sealing of the pages of one metadata object: maps, pack tables, trailers and the tags of footers.
//!
//! One cipher is for one write-once object and the nonce is the page's offset in it. It must never seal two pages at
//! one offset: sealed offsets only ascend, and a violation panics, since the alternative is a broken cipher.

use std::sync::atomic::{AtomicU64, Ordering};

use super::aead::{Aead, NONCE_LEN, TAG_LEN};
use super::{ObjectContext, TeamSecrets, derive};
use crate::{FormatError, Suite};

/// Largest stored page in bytes, tag included.
pub const PAGE_LEN_MAX: u32 = 4 << 20;
const AAD_LEN: usize = 33;
const FOOTER_KIND: u8 = b'F';
const HEADER_LEN: usize = 192;
const FOOTER_BODY_LEN: usize = 48;
const FOOTER_AAD_LEN: usize = AAD_LEN + HEADER_LEN + FOOTER_BODY_LEN;
const MAP_FOOTER_KIND: u8 = b'M';
const MAP_HEADER_LEN: usize = 64;
const MAP_FOOTER_BODY_LEN: usize = 56;

/// What a sealed page is; part of what its tag covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PageKind {
    /// Leaf of a map.
    Leaf = 1,
    /// Node of a map.
    Node = 2,
    /// Root of a map.
    Root = 3,
    /// Page of a pack table.
    PackTable = 4,
    /// Index of a pack table.
    PackTableIndex = 5,
    /// Page of a pack's trailer.
    Trailer = b'T',
}

impl PageKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Leaf => "leaf",
            Self::Node => "node",
            Self::Root => "root",
            Self::PackTable => "pack table page",
            Self::PackTableIndex => "pack table index",
            Self::Trailer => "trailer page",
        }
    }
}

/// Seals and opens the pages of one object.
#[derive(Debug)]
pub struct MetadataCipher {
    aead: Aead,
    context: ObjectContext,
    /// First offset at which nothing has been sealed.
    unsealed_from: AtomicU64,
}

impl MetadataCipher {
    /// The cipher of the object that `context` names.
    #[must_use]
    pub fn new(suite: Suite, secrets: &TeamSecrets, context: &ObjectContext) -> Self {
        let key = derive("coffer v1 metadata object", [secrets.metadata.expose(), context.as_bytes()]);
        Self { aead: Aead::new(suite, &key), context: *context, unsealed_from: AtomicU64::new(0) }
    }

    /// `payload` sealed for `offset` of the object, 16 bytes longer.
    ///
    /// # Panics
    /// When `offset` lies before the end of a page that this cipher sealed: the nonce would repeat.
    #[must_use]
    pub fn seal_page(&self, kind: PageKind, offset: u64, payload: &[u8]) -> Vec<u8> {
        self.reserve(offset, (payload.len() + TAG_LEN) as u64);
        let mut stored = Vec::with_capacity(payload.len() + TAG_LEN);
        stored.extend_from_slice(payload);
        let tag = self.aead.seal(page_nonce(offset), &self.aad(kind as u8), &mut stored);
        stored.extend_from_slice(&tag);
        stored
    }

    /// The payload of the page `stored` at `offset`.
    pub fn open_page(&self, kind: PageKind, offset: u64, stored: &[u8]) -> Result<Vec<u8>, FormatError> {
        let what = kind.name();
        crate::error::check_range(what, "bytes", stored.len() as u64, TAG_LEN as u64, PAGE_LEN_MAX.into())?;
        let Some((sealed, tag)) = stored.split_last_chunk::<TAG_LEN>() else {
            return Err(FormatError::Truncated { what, needed: TAG_LEN, left: stored.len() });
        };
        let mut payload = vec![0; sealed.len()];
        self.aead
            .open_into(page_nonce(offset), &self.aad(kind as u8), sealed, tag, &mut payload)
            .map_err(|_| FormatError::Authentication { what, position: offset })?;
        Ok(payload)
    }

    /// The tag of a pack's footer at `offset` whose first 48 bytes are `body`, and of the pack's `header`.
    pub(crate) fn seal_footer(
        &self,
        offset: u64,
        header: &[u8; HEADER_LEN],
        body: &[u8; FOOTER_BODY_LEN],
    ) -> [u8; TAG_LEN] {
        self.reserve(offset, 1);
        self.aead.seal(page_nonce(offset), &self.footer_aad(header, body), &mut [])
    }

    /// Checks the tag of a pack's footer, which covers its `header`.
    pub(crate) fn open_footer(
        &self,
        offset: u64,
        header: &[u8; HEADER_LEN],
        body: &[u8; FOOTER_BODY_LEN],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), FormatError> {
        self.aead
            .open(page_nonce(offset), &self.footer_aad(header, body), &mut [], tag)
            .map_err(|_| FormatError::Authentication { what: "pack footer", position: offset })
    }

    /// The tag of a map's footer at `offset` whose first 56 bytes are `body`, and of the map's `header`.
    pub(crate) fn seal_map_footer(
        &self,
        offset: u64,
        header: &[u8; MAP_HEADER_LEN],
        body: &[u8; MAP_FOOTER_BODY_LEN],
    ) -> [u8; TAG_LEN] {
        self.reserve(offset, 1);
        self.aead.seal(page_nonce(offset), &self.map_footer_aad(header, body), &mut [])
    }

    /// Checks the tag of a map's footer, which covers its `header`.
    pub(crate) fn open_map_footer(
        &self,
        offset: u64,
        header: &[u8; MAP_HEADER_LEN],
        body: &[u8; MAP_FOOTER_BODY_LEN],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), FormatError> {
        self.aead
            .open(page_nonce(offset), &self.map_footer_aad(header, body), &mut [], tag)
            .map_err(|_| FormatError::Authentication { what: "map footer", position: offset })
    }

    fn reserve(&self, offset: u64, len: u64) {
        let end = offset.checked_add(len).expect("an object is shorter than 2^64 bytes");
        let before = self.unsealed_from.fetch_max(end, Ordering::Relaxed);
        assert!(before <= offset, "two pages sealed at one offset: {offset} lies before {before}");
    }

    fn aad(&self, kind: u8) -> [u8; AAD_LEN] {
        let mut aad = [kind; AAD_LEN];
        let (_, context) = aad.split_at_mut(1);
        context.copy_from_slice(self.context.as_bytes());
        aad
    }

    fn footer_aad(&self, header: &[u8; HEADER_LEN], body: &[u8; FOOTER_BODY_LEN]) -> [u8; FOOTER_AAD_LEN] {
        let mut aad = [0; FOOTER_AAD_LEN];
        let (kind, rest) = aad.split_at_mut(AAD_LEN);
        let (head, tail) = rest.split_at_mut(HEADER_LEN);
        kind.copy_from_slice(&self.aad(FOOTER_KIND));
        head.copy_from_slice(header);
        tail.copy_from_slice(body);
        aad
    }

    fn map_footer_aad(&self, header: &[u8; MAP_HEADER_LEN], body: &[u8; MAP_FOOTER_BODY_LEN]) -> Vec<u8> {
        [self.aad(MAP_FOOTER_KIND).as_slice(), header, body].concat()
    }
}

fn page_nonce(offset: u64) -> [u8; NONCE_LEN] {
    let mut nonce = [0; NONCE_LEN];
    let (head, _) = nonce.split_at_mut(8);
    head.copy_from_slice(&offset.to_le_bytes());
    nonce
}
