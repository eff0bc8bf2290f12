//! From the map and the packs' trailers to the place and hash of each block; what compare and in-place restore go by.

use std::sync::Arc;

use coffer_format::{Digest, LEAF_BLOCKS, PackInfo, TrailerEntry, decode_trailer_page, trailer_page_range};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::frame_run::{FramePlace, FrameRun, frame_run};
use super::map_page::get_range;
use super::volume_map::VolumeMap;
use crate::EngineError;

/// Entries of a trailer page.
pub(crate) const TRAILER_PAGE: u32 = coffer_format::TRAILER_PAGE_ENTRIES as u32;

/// Where one block of a point lies, and its hash.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockState {
    pub(crate) place: BlockPlace,
    pub(crate) hash: [u8; 32],
}

/// Where one block lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockPlace {
    /// It reads as zeroes.
    Zero,
    /// One frame of a pack.
    Data(FramePlace),
    /// Nothing usable is known: beyond the volume's end, or known to be damaged.
    Unknown,
}

/// Most trailer pages that one request brings: with the page that is wanted come those behind it, which are wanted next.
const PAGES_AT_ONCE_MAX: usize = 8;

/// What one trailer page says.
type Entries = Arc<Vec<TrailerEntry>>;

/// Trailer pages, shared by all readers of one map.
pub(crate) struct Trailers {
    cache: Cache<(u16, u32, u32), Entries, TrailerWeight>,
    /// Whole pages that fit.
    pages: usize,
}

#[derive(Clone)]
struct TrailerWeight;

impl Weighter<(u16, u32, u32), Entries> for TrailerWeight {
    fn weight(&self, _key: &(u16, u32, u32), page: &Entries) -> u64 {
        (page.len() * size_of::<TrailerEntry>()) as u64 + 64
    }
}

impl Trailers {
    pub(crate) fn new(cache_bytes: u64) -> Trailers {
        let page_bytes = (coffer_format::TRAILER_PAGE_ENTRIES * size_of::<TrailerEntry>()) as u64;
        let pages = usize::try_from(cache_bytes / page_bytes).unwrap_or(usize::MAX);
        Trailers { cache: Cache::with_weighter(256, cache_bytes, TrailerWeight), pages }
    }

    /// How many pages of a pack are read at once where `packs_at_once` packs are read side by side: what is read ahead is of no use if it is
    /// driven out before it is wanted.
    fn pages_at_once(&self, packs_at_once: usize) -> u32 {
        (self.pages / (2 * packs_at_once.max(1))).clamp(1, PAGES_AT_ONCE_MAX) as u32
    }

    /// The entries of a page, from the cache or by `read`. `lineage` is an index of the map being read or written.
    pub(crate) fn page(
        &self,
        lineage: u16,
        pack: u32,
        page: u32,
        read: impl FnOnce() -> Result<Entries, EngineError>,
    ) -> Result<Entries, EngineError> {
        self.cache.get_or_insert_with(&(lineage, pack, page), read)
    }
}

impl VolumeMap {
    /// Place and hash of `count` blocks from `first` on; those beyond the volume's end are unknown.
    ///
    /// The blocks lie within one leaf.
    pub(crate) fn blocks(
        &self,
        trailers: &Trailers,
        first: u32,
        count: u32,
    ) -> Result<Vec<BlockState>, EngineError> {
        let zero = BlockState { place: BlockPlace::Zero, hash: [0; 32] };
        let unknown = BlockState { place: BlockPlace::Unknown, hash: [0; 32] };
        let known = self.block_count.saturating_sub(first).min(count);
        let mut states = vec![zero; known as usize];
        states.resize(count as usize, unknown);
        if known == 0 {
            return Ok(states);
        }
        let Some(leaf) = self.leaf(first / LEAF_BLOCKS)? else { return Ok(states) };
        let from = leaf.extents.partition_point(|extent| extent.first + extent.count <= first);
        for extent in leaf.extents.iter().skip(from).take_while(|extent| extent.first < first + known) {
            if let Some(run) = frame_run(extent) {
                self.fill_run(trailers, &run, first, &mut states)?;
            }
        }
        Ok(states)
    }

    fn fill_run(
        &self,
        trailers: &Trailers,
        run: &FrameRun,
        first: u32,
        states: &mut [BlockState],
    ) -> Result<(), EngineError> {
        let point = self.objects(run.place.lineage)?.path.point;
        let usable = !self.damaged.contains(&(point, run.place.pack));
        let info = self.pack(run.place.lineage, run.place.pack)?;
        let mut offset = run.place.offset;
        let mut page: Option<(u32, Entries)> = None;
        for step in 0..run.count {
            let (block, ordinal) = (run.first + step, run.place.ordinal + step);
            if block as usize >= first as usize + states.len() {
                break;
            }
            let number = ordinal / TRAILER_PAGE;
            let entries = match &page {
                Some((have, entries)) if *have == number => entries,
                _ => {
                    &page
                        .insert((
                            number,
                            self.trailer_page(trailers, run.place.lineage, run.place.pack, &info, number)?,
                        ))
                        .1
                }
            };
            let entry = entries.get((ordinal % TRAILER_PAGE) as usize).filter(|entry| entry.block == block);
            let entry = entry.ok_or_else(|| self.bad_trailer(run, &info, block))?;
            let len = entry.frame_len();
            if let Some(state) = block.checked_sub(first).and_then(|at| states.get_mut(at as usize)) {
                let place = FramePlace { ordinal, offset, len, ..run.place };
                state.place = if usable { BlockPlace::Data(place) } else { BlockPlace::Unknown };
                state.hash = entry.hash;
            }
            offset += u64::from(len);
        }
        Ok(())
    }

    /// One page of a pack's trailer, checked against the pack table.
    pub(crate) fn trailer_page(
        &self,
        trailers: &Trailers,
        lineage: u16,
        pack: u32,
        info: &PackInfo,
        page: u32,
    ) -> Result<Entries, EngineError> {
        trailers.page(lineage, pack, page, || {
            let count = trailers.pages_at_once(self.lineage().len());
            let (wanted, ahead) = self.rereads.reread_damage(|| {
                let pages = match self.read_trailer_pages(lineage, pack, info, page, count) {
                    // Whatever is wrong further on, this page may be right.
                    Err(error) if count > 1 && error.is_damage() => {
                        self.read_trailer_pages(lineage, pack, info, page, 1)?
                    }
                    pages => pages?,
                };
                let mut pages = pages.into_iter();
                let wanted =
                    pages.next().unwrap_or_else(|| Err(self.no_trailer_page(lineage, pack, info)))?;
                Ok((wanted, pages))
            })?;
            for (number, entries) in (page + 1..).zip(ahead) {
                // One that is not right is met again when it is wanted, if ever.
                let Ok(entries) = entries else { break };
                trailers.cache.insert((lineage, pack, number), entries);
            }
            Ok(wanted)
        })
    }

    /// Up to `count` pages of a pack's trailer from `first` on, with one request; each is checked by itself.
    fn read_trailer_pages(
        &self,
        lineage: u16,
        pack: u32,
        info: &PackInfo,
        first: u32,
        count: u32,
    ) -> Result<Vec<Result<Entries, EngineError>>, EngineError> {
        self.cancel.check()?;
        let key = self.pack_key(lineage, pack)?;
        let cipher = self.trailer_cipher(lineage, pack)?;
        let digests = info.page_digests.iter().skip(first as usize).take(count as usize);
        let ranges: Vec<(u64, u64)> = (first..)
            .zip(digests.clone())
            .map(|(page, _)| trailer_page_range(info.trailer_offset, info.frames, page))
            .collect();
        let Some((offset, _)) = ranges.first().copied() else {
            return Err(self.no_trailer_page(lineage, pack, info));
        };
        let mut stored =
            vec![0; usize::try_from(ranges.iter().map(|(_, len)| len).sum::<u64>()).unwrap_or_default()];
        get_range(self.store.as_ref(), &self.volume, &key, offset, &mut stored)?;
        let mut rest = stored.as_slice();
        let pages = ranges.into_iter().zip(digests).map(|((offset, len), digest)| {
            let (page, behind) = rest.split_at(usize::try_from(len).unwrap_or_default().min(rest.len()));
            rest = behind;
            if Digest::of(page) != *digest {
                return Err(EngineError::Damaged {
                    volume: self.volume.clone(),
                    key: key.clone(),
                    offset,
                    detail: "a trailer page is not what the pack table says".into(),
                });
            }
            decode_trailer_page(&cipher, offset, page).map(Arc::new).map_err(EngineError::object(&key))
        });
        Ok(pages.collect())
    }

    fn no_trailer_page(&self, lineage: u16, pack: u32, info: &PackInfo) -> EngineError {
        EngineError::Damaged {
            volume: self.volume.clone(),
            key: self.pack_key(lineage, pack).unwrap_or_default(),
            offset: info.trailer_offset,
            detail: "no such trailer page".into(),
        }
    }

    fn bad_trailer(&self, run: &FrameRun, info: &PackInfo, block: u32) -> EngineError {
        EngineError::Damaged {
            volume: self.volume.clone(),
            key: self.pack_key(run.place.lineage, run.place.pack).unwrap_or_default(),
            offset: info.trailer_offset,
            detail: format!("the trailer does not have block {block} where the map says"),
        }
    }
}
