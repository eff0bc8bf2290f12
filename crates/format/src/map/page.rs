//! References to pages and lists of children, shared by nodes and the root.

use super::LINEAGE_MAX;
use super::header::MAP_HEADER_LEN;
use crate::crypto::PAGE_LEN_MAX;
use crate::cursor::{Cursor, put_varint};
use crate::error::check_range;
use crate::pack::TAG_LEN;
use crate::{Digest, FormatError};

/// Where a stored page lies and what it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageRef {
    /// Index into the volume's lineage: the point whose map object holds the page.
    pub lineage: u16,
    /// Offset in that object, in bytes.
    pub offset: u64,
    /// Stored length in bytes, tag included.
    pub len: u32,
    /// BLAKE3 of the stored bytes.
    pub digest: Digest,
}

impl PageRef {
    /// The reference to the page `stored` at `offset` of the map object of lineage entry `lineage`.
    #[must_use]
    pub fn of(lineage: u16, offset: u64, stored: &[u8]) -> Self {
        let len = u32::try_from(stored.len()).unwrap_or(u32::MAX);
        Self { lineage, offset, len, digest: Digest::of(stored) }
    }

    /// An error unless `stored` is the page referred to.
    pub fn check(&self, stored: &[u8]) -> Result<(), FormatError> {
        if stored.len() == self.len as usize && Digest::of(stored) == self.digest {
            Ok(())
        } else {
            Err(FormatError::Checksum { what: "map page" })
        }
    }

    pub(super) fn validate(&self, what: &'static str) -> Result<(), FormatError> {
        check_range(what, "lineage index", self.lineage.into(), 0, LINEAGE_MAX as u64 - 1)?;
        check_range(what, "page offset", self.offset, MAP_HEADER_LEN as u64, i64::MAX as u64)?;
        check_range(what, "page length", self.len.into(), TAG_LEN as u64 + 1, PAGE_LEN_MAX.into())?;
        Ok(())
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.lineage.into());
        put_varint(out, self.offset);
        put_varint(out, self.len.into());
        out.extend_from_slice(self.digest.as_bytes());
    }

    pub(super) fn read(what: &'static str, cursor: &mut Cursor<'_>) -> Result<Self, FormatError> {
        let lineage = cursor.varint_u32("lineage index", 0, LINEAGE_MAX as u32 - 1)?;
        let offset = cursor.varint()?;
        let len = cursor.varint_u32("page length", 0, PAGE_LEN_MAX)?;
        let page = Self {
            lineage: u16::try_from(lineage).expect("checked to be below 256"),
            offset,
            len,
            digest: Digest::from_bytes(cursor.array()?),
        };
        page.validate(what)?;
        Ok(page)
    }
}

/// A child of a node (a leaf) or of the root (a node).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Child {
    /// So many children that hold zeroes only.
    Zero(u32),
    /// A page that holds data.
    Page(PageRef),
}

const ZERO: u64 = 0;
const PAGE: u64 = 1;

/// Appends `children`, which must cover `covered` children exactly, with runs of zeroes as long as can be.
pub(super) fn put_children(
    what: &'static str,
    out: &mut Vec<u8>,
    children: &[Child],
    covered: u32,
) -> Result<(), FormatError> {
    let mut cover = Cover::new(what, covered);
    for child in children {
        cover.add(child)?;
        match child {
            Child::Zero(run) => {
                put_varint(out, ZERO);
                put_varint(out, (*run).into());
            }
            Child::Page(page) => {
                page.validate(what)?;
                put_varint(out, PAGE);
                page.put(out);
            }
        }
    }
    cover.finish()
}

/// Children that cover `covered` children exactly.
pub(super) fn read_children(
    what: &'static str,
    cursor: &mut Cursor<'_>,
    covered: u32,
) -> Result<Vec<Child>, FormatError> {
    let mut cover = Cover::new(what, covered);
    let mut children = Vec::new();
    while cover.left > 0 {
        let child = match cursor.varint_in("kind of child", ZERO, PAGE)? {
            ZERO => Child::Zero(cursor.varint_u32("run of zeroes", 1, u32::MAX)?),
            _ => Child::Page(PageRef::read(what, cursor)?),
        };
        cover.add(&child)?;
        children.push(child);
    }
    Ok(children)
}

/// Counts children and holds them to the canonical form.
struct Cover {
    what: &'static str,
    left: u32,
    after_zeroes: bool,
}

impl Cover {
    const fn new(what: &'static str, covered: u32) -> Self {
        Self { what, left: covered, after_zeroes: false }
    }

    fn add(&mut self, child: &Child) -> Result<(), FormatError> {
        let (count, zeroes) = match child {
            Child::Zero(run) => (*run, true),
            Child::Page(_) => (1, false),
        };
        check_range(self.what, "run of children", count.into(), 1, self.left.into())?;
        if zeroes && self.after_zeroes {
            return Err(FormatError::NotCanonical {
                what: self.what,
                detail: "runs of zeroes are not joined",
            });
        }
        self.left -= count;
        self.after_zeroes = zeroes;
        Ok(())
    }

    fn finish(&self) -> Result<(), FormatError> {
        crate::error::check(self.left == 0, self.what, "children do not cover the volume")
    }
}
