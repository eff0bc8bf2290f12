//! One finished pack of an incomplete run, believed only after its header and its whole trailer were checked with the metadata key.
//!
//! No manifest vouches for such a pack. The footer's tag binds header, number of frames and length together, each trailer page has a tag of
//! its own, and all are bound to the pack's name: so the pack is complete and its writer held a key of the team. No block is opened here,
//! and no reading of a reusable pack may ever fail a backup: whoever calls this does without the pack.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use coffer_format::{
    BlockSize, Codec, Digest, FOOTER_LEN, Footer, FormatError, MetadataCipher, ObjectContext,
    PACK_HEADER_LEN, PackHeader, PackInfo, RepositoryId, Suite, TeamSecrets, TrailerEntry, VolumePath,
    decode_trailer_page, object_key, trailer_page_range,
};
use coffer_store::ObjectStore;

use super::block_states::Trailers;
use super::map_page::get_range;
use crate::EngineError;

/// Where the packs of one incomplete run lie, and what they must be.
pub(crate) struct ReusableRun {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) repository: RepositoryId,
    pub(crate) suite: Suite,
    pub(crate) secrets: TeamSecrets,
    pub(crate) block_size: BlockSize,
    pub(crate) path: VolumePath,
    /// Index of the run in the lineage of the map that is being written.
    pub(crate) lineage: u16,
}

/// A pack whose header and trailer were checked.
pub(crate) struct ReusablePack {
    pub(crate) number: u32,
    pub(crate) info: PackInfo,
    pages: Vec<PageStart>,
    used: AtomicBool,
}

/// Where a trailer page's entries begin.
struct PageStart {
    first_block: u32,
    offset: u64,
}

/// One block of a reusable pack.
pub(crate) struct ReusableFrame {
    pub(crate) block: u32,
    pub(crate) ordinal: u32,
    pub(crate) offset: u64,
    pub(crate) entry: TrailerEntry,
}

impl ReusableRun {
    /// Reads and checks header, footer and all trailer pages of a pack of `object_len` bytes.
    pub(crate) fn open(
        &self,
        trailers: &Trailers,
        number: u32,
        object_len: u64,
    ) -> Result<ReusablePack, EngineError> {
        let key = object_key::pack(&self.path, number);
        let mut header = [0; PACK_HEADER_LEN];
        self.get(&key, 0, &mut header)?;
        let sealed_key = self.check_header(&key, number, &header)?;
        let mut footer = [0; FOOTER_LEN];
        self.get(&key, object_len.saturating_sub(FOOTER_LEN as u64), &mut footer)?;
        let footer = Footer::decode(&self.cipher(&key), object_len, &header, &footer)
            .map_err(EngineError::object(&key))?;
        let mut pack = ReusablePack {
            number,
            info: PackInfo {
                object_len,
                frames: footer.frames,
                first_block: 0,
                last_block: 0,
                trailer_offset: footer.trailer_offset,
                page_digests: Vec::new(),
                sealed_key,
            },
            pages: Vec::new(),
            used: AtomicBool::new(false),
        };
        self.read_trailer(trailers, &key, &mut pack)?;
        Ok(pack)
    }

    /// The blocks of `pack` from `first` to before `end`, in block order.
    pub(crate) fn frames(
        &self,
        trailers: &Trailers,
        pack: &ReusablePack,
        first: u32,
        end: u32,
    ) -> Result<Vec<ReusableFrame>, EngineError> {
        let key = object_key::pack(&self.path, pack.number);
        let from = pack.pages.partition_point(|page| page.first_block <= first).saturating_sub(1);
        let mut found = Vec::new();
        for (number, start) in (0..).zip(&pack.pages).skip(from) {
            if start.first_block >= end {
                break;
            }
            let entries = trailers.page(self.lineage, pack.number, number, || {
                self.trailer_page(&key, pack, number).map(|(_, entries)| Arc::new(entries))
            })?;
            let mut offset = start.offset;
            let ordinals = number * coffer_format::TRAILER_PAGE_ENTRIES as u32..;
            for (ordinal, entry) in ordinals.zip(entries.iter()) {
                if (first..end).contains(&entry.block) {
                    found.push(ReusableFrame { block: entry.block, ordinal, offset, entry: *entry });
                }
                offset += u64::from(entry.frame_len());
            }
        }
        Ok(found)
    }

    /// The header's sealed key, if the header is that of this very pack.
    fn check_header(
        &self,
        key: &str,
        number: u32,
        bytes: &[u8; PACK_HEADER_LEN],
    ) -> Result<Option<coffer_format::SealedSecret>, EngineError> {
        let header = PackHeader::decode(bytes).map_err(EngineError::object(key))?;
        let fits = header.suite == self.suite
            && header.number == number
            && header.origin == self.repository
            && header.context == ObjectContext::new(&self.repository, key);
        if !fits {
            return Err(self.damaged(key, 0, "the header belongs to another pack"));
        }
        if header.block_size != self.block_size {
            let detail = format!("blocks of {} bytes", header.block_size.bytes());
            return Err(self.damaged(key, 0, &detail));
        }
        Ok(header.sealed_key)
    }

    /// Reads every page once: their digests go into the pack table, and the frames must fill the pack exactly.
    fn read_trailer(
        &self,
        trailers: &Trailers,
        key: &str,
        pack: &mut ReusablePack,
    ) -> Result<(), EngineError> {
        let pages = pack.info.frames.div_ceil(coffer_format::TRAILER_PAGE_ENTRIES as u32);
        let mut offset = PACK_HEADER_LEN as u64;
        let mut last_block = None;
        for number in 0..pages {
            let (digest, entries) = self.trailer_page(key, pack, number)?;
            let Some(first) = entries.first() else {
                return Err(self.damaged(key, offset, "an empty trailer page"));
            };
            if last_block.is_some_and(|last| first.block <= last) {
                return Err(self.damaged(key, offset, "blocks do not ascend in the trailer"));
            }
            pack.pages.push(PageStart { first_block: first.block, offset });
            pack.info.page_digests.push(digest);
            last_block = entries.last().map(|entry| entry.block);
            offset += entries.iter().map(|entry| u64::from(entry.frame_len())).sum::<u64>();
            trailers.page(self.lineage, pack.number, number, || Ok(Arc::new(entries)))?;
        }
        if offset != pack.info.trailer_offset {
            return Err(self.damaged(key, offset, "the frames do not end where the trailer begins"));
        }
        pack.info.first_block = pack.pages.first().map_or(0, |page| page.first_block);
        pack.info.last_block = last_block.unwrap_or(0);
        Ok(())
    }

    fn trailer_page(
        &self,
        key: &str,
        pack: &ReusablePack,
        page: u32,
    ) -> Result<(Digest, Vec<TrailerEntry>), EngineError> {
        let (offset, len) = trailer_page_range(pack.info.trailer_offset, pack.info.frames, page);
        let mut stored = vec![0; usize::try_from(len).unwrap_or_default()];
        self.get(key, offset, &mut stored)?;
        let entries = decode_trailer_page(&self.cipher(key), offset, &stored);
        Ok((Digest::of(&stored), entries.map_err(EngineError::object(key))?))
    }

    fn cipher(&self, key: &str) -> MetadataCipher {
        MetadataCipher::new(self.suite, &self.secrets, &ObjectContext::new(&self.repository, key))
    }

    fn get(&self, key: &str, offset: u64, out: &mut [u8]) -> Result<(), EngineError> {
        get_range(self.store.as_ref(), self.path.volume.as_ref(), key, offset, out)
    }

    fn damaged(&self, key: &str, offset: u64, detail: &str) -> EngineError {
        let volume = self.path.volume.to_string();
        EngineError::Damaged { volume, key: key.to_owned(), offset, detail: detail.to_owned() }
    }
}

impl ReusablePack {
    /// Marks the pack as one that the new point needs. Returns whether it is the first time.
    pub(crate) fn set_used(&self) -> bool {
        !self.used.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn is_used(&self) -> bool {
        self.used.load(Ordering::Acquire)
    }
}

impl ReusableFrame {
    /// Whether it can hold a block of `len` bytes: the hash says so already, and this that nobody mixed up lengths.
    pub(crate) fn can_hold(&self, len: usize) -> Result<bool, FormatError> {
        let (codec, stored_len) = self.entry.stored()?;
        Ok(if codec == Codec::Raw { stored_len as usize == len } else { (stored_len as usize) < len })
    }
}
