//! The table of packs reused from one incomplete run, as its pages become known: what is kept is one page, whatever the run left.
//!
//! Pack numbers of an incomplete run have gaps, and of its packs only those are described that the map uses.

use coffer_format::{Id, PACK_TABLE_PAGE_PACKS, PackInfo, PackRanges, PageRef, TakenPacksPage};

use crate::EngineError;

/// What 256 pack numbers stand for; `None` for packs that are not used.
pub(crate) type TakenPage = Vec<Option<PackInfo>>;

/// One incomplete run of whose packs a volume uses some.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TakenPacks {
    /// The packs that the map uses.
    pub(crate) packs: PackRanges,
    /// Bytes of these.
    pub(crate) bytes: u64,
}

/// A table being written. Its pages come in order.
pub(crate) struct TakenTable {
    pub(crate) run: Id,
    pub(crate) taken: TakenPacks,
    pub(crate) pages: Vec<PageRef>,
    /// The last page that describes a pack: where the table ends is not known before the next one does.
    held: Option<TakenPage>,
    /// Pages after it that describe none.
    empty: u32,
    next_page: u32,
}

impl TakenTable {
    pub(crate) fn new(run: Id) -> Self {
        let taken = TakenPacks::default();
        TakenTable { run, taken, pages: Vec::new(), held: None, empty: 0, next_page: 0 }
    }

    /// Takes the next page. Returns those that are to be written now, in order.
    pub(crate) fn push(&mut self, mut page: TakenPage) -> Vec<TakenPacksPage> {
        let first = self.next_page * PACK_TABLE_PAGE_PACKS;
        self.next_page += 1;
        for (number, info) in (first..).zip(&page) {
            if let Some(info) = info {
                self.taken.packs.push(number);
                self.taken.bytes += info.object_len;
            }
        }
        if page.iter().all(Option::is_none) {
            self.empty += 1;
            return Vec::new();
        }
        page.resize(PACK_TABLE_PAGE_PACKS as usize, None);
        let gap = vec![None; PACK_TABLE_PAGE_PACKS as usize];
        let empty = std::mem::take(&mut self.empty) as usize;
        let due = self.held.replace(page).into_iter().chain(std::iter::repeat_n(gap, empty));
        due.map(TakenPacksPage).collect()
    }

    /// The last page, cut behind the last pack; `None` where no pack is used.
    pub(crate) fn last(&mut self) -> Option<TakenPacksPage> {
        let mut page = self.held.take()?;
        let used = page.iter().rposition(Option::is_some).map_or(0, |at| at + 1);
        page.truncate(used);
        Some(TakenPacksPage(page))
    }

    /// An error unless the pages written are those that the packs need.
    pub(crate) fn check(&self) -> Result<(), EngineError> {
        let needed = self.taken.packs.end().div_ceil(PACK_TABLE_PAGE_PACKS) as usize;
        if needed == self.pages.len() {
            return Ok(());
        }
        Err(EngineError::Bug(format!(
            "{} pages describe the packs of run {} instead of {needed}",
            self.pages.len(),
            self.run
        )))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn info(object_len: u64) -> PackInfo {
        PackInfo {
            object_len,
            frames: 1,
            first_block: 0,
            last_block: 0,
            trailer_offset: 0,
            page_digests: Vec::new(),
            sealed_key: None,
        }
    }

    fn page(numbers: &[usize]) -> TakenPage {
        let mut page = vec![None; 256];
        numbers.iter().for_each(|number| page[*number] = Some(info(10)));
        page
    }

    /// What is written of pages that describe these packs each: the numbers on each page written, and its length.
    fn written(pages: &[&[usize]]) -> (TakenTable, Vec<(Vec<usize>, usize)>) {
        let mut table = TakenTable::new(Id::from_bytes([1; 16]));
        let mut out = Vec::new();
        for numbers in pages {
            out.extend(table.push(page(numbers)));
        }
        out.extend(table.last());
        let used = |page: &TakenPacksPage| (0..page.0.len()).filter(|at| page.0[*at].is_some()).collect();
        let shape = out.iter().map(|page| (used(page), page.0.len())).collect();
        (table, shape)
    }

    #[test]
    fn the_table_ends_with_the_last_pack_and_gaps_are_kept() {
        let (table, pages) = written(&[&[], &[3, 255], &[], &[], &[0, 7], &[], &[]]);
        let expected = [(vec![], 256), (vec![3, 255], 256), (vec![], 256), (vec![], 256), (vec![0, 7], 8)];
        assert_eq!(pages, expected);
        assert_eq!(table.taken.packs.numbers().collect::<Vec<_>>(), [259, 511, 1024, 1031]);
        assert_eq!((table.taken.bytes, table.taken.packs.end()), (40, 1032));
    }

    #[test]
    fn of_a_run_that_nothing_is_used_of_nothing_is_written() {
        let (mut table, pages) = written(&[&[], &[], &[]]);
        assert_eq!((pages.len(), table.taken.packs.is_empty()), (0, true));
        assert!(table.last().is_none());
        table.check().unwrap();
    }
}
