//! Fetches frames: which ranges to ask for (pure), and how a range becomes blocks.
//!
//! A block leaves this file only after its tag was checked; a range that holds a frame that is bad when read a second time yields an error,
//! never a guess.

use std::sync::Arc;

use coffer_format::{
    ChainPrivateKey, Codec, FormatError, FrameOpener, Id, ObjectContext, PackKey, PlanId, Suite, decompress,
    open_pack_key,
};
use coffer_store::ObjectStore;
use quick_cache::sync::Cache;

use super::frame_run::{FramePlace, FrameRun};
use super::map_page::get_range;
use super::volume_map::VolumeMap;
use crate::chain_keys::open_chain_key;
use crate::{EngineError, Repository};

/// Bytes in between that are cheaper to read than to ask again for.
const GAP_BYTES_MAX: u64 = 1 << 20;
/// Openers kept; each costs one HPKE opening to make.
const OPENERS_MAX: usize = 512;

/// One request: a range of a pack and the runs that are wanted of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FetchRange {
    pub(crate) lineage: u16,
    pub(crate) pack: u32,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) runs: Vec<FrameRun>,
}

/// Sorts runs by pack and offset and joins them to ranges of at most `range_bytes`, of which a single run is never more.
pub(crate) fn plan_ranges(mut runs: Vec<FrameRun>, range_bytes: u64) -> Vec<FetchRange> {
    runs.sort_by_key(|run| (run.place.lineage, run.place.pack, run.place.offset));
    let mut ranges: Vec<FetchRange> = Vec::new();
    for run in runs {
        let FramePlace { lineage, pack, offset, len, .. } = run.place;
        let end = offset + u64::from(len);
        match ranges.last_mut() {
            Some(range)
                if (range.lineage, range.pack) == (lineage, pack)
                    && offset <= range.end + GAP_BYTES_MAX
                    && end.max(range.end) - range.start <= range_bytes =>
            {
                range.end = range.end.max(end);
                range.runs.push(run);
            }
            _ => ranges.push(FetchRange { lineage, pack, start: offset, end, runs: vec![run] }),
        }
    }
    ranges
}

/// Opens frames of the packs of one volume.
pub(crate) struct PackReader<'a> {
    pub(crate) map: &'a VolumeMap,
    store: Arc<dyn ObjectStore>,
    chain_key: Arc<Option<ChainPrivateKey>>,
    openers: Cache<(u16, u32), Arc<FrameOpener>>,
}

impl<'a> PackReader<'a> {
    /// Opens the chain's key with the recovery key.
    pub(crate) fn open(
        repository: &Repository,
        map: &'a VolumeMap,
        plan: &PlanId,
        chain: Id,
    ) -> Result<Self, EngineError> {
        Ok(PackReader::new(repository, map, Arc::new(open_chain_key(repository, plan, chain)?)))
    }

    /// With the chain's key as it was opened before.
    pub(crate) fn new(
        repository: &Repository,
        map: &'a VolumeMap,
        chain_key: Arc<Option<ChainPrivateKey>>,
    ) -> Self {
        let store = repository.store().clone();
        PackReader { map, store, chain_key, openers: Cache::new(OPENERS_MAX) }
    }

    /// Opens the first frame of a run, with one read of at most a block and its frame, and drops what it holds.
    pub(crate) fn check_first_frame(&self, run: &FrameRun) -> Result<(), EngineError> {
        let FramePlace { lineage, pack, offset, len, .. } = run.place;
        let key = self.map.pack_key(lineage, pack)?;
        let opener = self.opener(lineage, pack)?;
        let longest = self.map.block_size().bytes() as usize + coffer_format::FRAME_OVERHEAD;
        let mut bytes = vec![0; longest.min(len as usize)];
        let mut sink = Nowhere(vec![0; self.map.block_size().bytes() as usize]);
        self.map.rereads.reread_damage(|| {
            get_range(self.store.as_ref(), &self.map.volume, &key, offset, &mut bytes)?;
            self.open_frame(&opener, run, 0, (&key, offset), &mut bytes, &mut sink).map(drop)
        })
    }

    /// The length of the frame at `offset` of a pack, by its header alone; the frame itself is still to be checked.
    pub(crate) fn frame_len(&self, run: &FrameRun, offset: u64) -> Result<u32, EngineError> {
        let key = self.map.pack_key(run.place.lineage, run.place.pack)?;
        let opener = self.opener(run.place.lineage, run.place.pack)?;
        let mut header = [0; coffer_format::FRAME_HEADER_LEN];
        get_range(self.store.as_ref(), &self.map.volume, &key, offset, &mut header)?;
        let header = opener.peek(&header).map_err(EngineError::object(&key))?;
        u32::try_from(header.frame_len()).map_err(|_| EngineError::Bug("a frame of 4 GiB".into()))
    }

    /// Fetches a range into `buffer` and hands each wanted block, in order, to `sink`.
    ///
    /// `sink` gets the block and its length, and returns where to put it; the block is complete and checked when the next call or the
    /// return comes.
    pub(crate) fn fetch(
        &self,
        range: &FetchRange,
        buffer: &mut [u8],
        sink: &mut dyn BlockSink,
    ) -> Result<(), EngineError> {
        let key = self.map.pack_key(range.lineage, range.pack)?;
        let len = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let bytes = buffer.get_mut(..len).ok_or_else(|| EngineError::Bug("range buffer too small".into()))?;
        self.map
            .rereads
            .reread_damage(|| get_range(self.store.as_ref(), &self.map.volume, &key, range.start, bytes))?;
        let opener = self.opener(range.lineage, range.pack)?;
        for run in &range.runs {
            let start = usize::try_from(run.place.offset - range.start).unwrap_or(usize::MAX);
            let run_bytes = bytes.get_mut(start..).and_then(|rest| rest.get_mut(..run.place.len as usize));
            let run_bytes = run_bytes.ok_or_else(|| EngineError::Bug("run outside of its range".into()))?;
            self.open_run(&opener, run, run_bytes, &key, sink)?;
        }
        Ok(())
    }

    /// Opens all frames of a run. What fails is read again, with the rest of the run, once for each frame.
    fn open_run(
        &self,
        opener: &FrameOpener,
        run: &FrameRun,
        bytes: &mut [u8],
        key: &str,
        sink: &mut dyn BlockSink,
    ) -> Result<(), EngineError> {
        let mut at = 0;
        for step in 0..run.count {
            let offset = run.place.offset + at as u64;
            let rest = bytes.get_mut(at..).unwrap_or_default();
            at += match self.open_frame(opener, run, step, (key, offset), rest, sink) {
                Err(first) if first.is_damage() => {
                    get_range(self.store.as_ref(), &self.map.volume, key, offset, rest)?;
                    let len = self.open_frame(opener, run, step, (key, offset), rest, sink)?;
                    self.map.rereads.note_recovery(&first);
                    len
                }
                opened => opened?,
            };
        }
        if at == bytes.len() {
            return Ok(());
        }
        Err(EngineError::Damaged {
            volume: self.map.volume.clone(),
            key: key.to_owned(),
            offset: run.place.offset + at as u64,
            detail: "an extent is longer than its frames".into(),
        })
    }

    /// Opens the frame at the front of `bytes`, which hold the rest of a run, and returns its length.
    fn open_frame(
        &self,
        opener: &FrameOpener,
        run: &FrameRun,
        step: u32,
        (key, offset): (&str, u64),
        bytes: &mut [u8],
        sink: &mut dyn BlockSink,
    ) -> Result<usize, EngineError> {
        let block = run.first + step;
        let damaged = |detail: String| EngineError::Damaged {
            volume: self.map.volume.clone(),
            key: key.to_owned(),
            offset,
            detail: format!("block {block}: {detail}"),
        };
        let header = opener.peek(bytes).map_err(|error| damaged(error.to_string()))?;
        let len = header.frame_len();
        let frame = bytes.get_mut(..len);
        let frame = frame.ok_or_else(|| damaged(format!("a frame of {len} bytes does not fit")))?;
        let plain_len = self.map.block_size().block_len(self.map.root.volume_size, block) as usize;
        let out = sink.place(block, plain_len)?;
        open_block(opener, run.place.ordinal + step, header.codec, frame, out)
            .map_err(|error| damaged(error.to_string()))?;
        sink.filled(block, plain_len)?;
        Ok(len)
    }

    /// The opener of a pack; its key comes from the pack table.
    pub(crate) fn opener(&self, lineage: u16, pack: u32) -> Result<Arc<FrameOpener>, EngineError> {
        self.openers.get_or_insert_with(&(lineage, pack), || {
            let key = self.map.pack_key(lineage, pack)?;
            let context = ObjectContext::new(&self.map.repository(), &key);
            let pack_key = match (self.map.suite(), self.chain_key.as_ref()) {
                (Suite::None, _) => PackKey::unencrypted(&context).into(),
                (Suite::Aes256Gcm, Some(chain_key)) => {
                    let info = self.map.pack(lineage, pack)?;
                    let sealed = info.sealed_key.as_ref();
                    let sealed =
                        sealed.ok_or_else(|| EngineError::Bug("an encrypted pack without a key".into()))?;
                    open_pack_key(chain_key, sealed, &context).map_err(EngineError::object(&key))?
                }
                (Suite::Aes256Gcm, None) => {
                    return Err(EngineError::Bug("an encrypted chain without a key".into()));
                }
            };
            Ok(Arc::new(FrameOpener::new(self.map.suite(), &pack_key, &context)))
        })
    }
}

/// Where blocks go.
pub(crate) trait BlockSink {
    /// Where the next block's `len` bytes are to be put.
    fn place(&mut self, block: u32, len: usize) -> Result<&mut [u8], EngineError>;
    /// The block is there and was checked.
    fn filled(&mut self, block: u32, len: usize) -> Result<(), EngineError>;
}

/// Drops blocks that were only to be checked.
struct Nowhere(Vec<u8>);

impl BlockSink for Nowhere {
    fn place(&mut self, _block: u32, len: usize) -> Result<&mut [u8], EngineError> {
        self.0.get_mut(..len).ok_or_else(|| EngineError::Bug("a block is longer than blocks are".into()))
    }

    fn filled(&mut self, _block: u32, _len: usize) -> Result<(), EngineError> {
        Ok(())
    }
}

/// Checks, decrypts and decompresses one frame into `out`, which has the block's length.
pub(crate) fn open_block(
    opener: &FrameOpener,
    ordinal: u32,
    codec: Codec,
    frame: &mut [u8],
    out: &mut [u8],
) -> Result<(), FormatError> {
    if codec == Codec::Raw {
        let (_, len) = opener.open_into(ordinal, frame, out)?;
        return if len == out.len() { Ok(()) } else { Err(wrong_length(len, out.len())) };
    }
    let (codec, stored) = opener.open_in_place(ordinal, frame)?;
    decompress(codec, stored, out)
}

fn wrong_length(actual: usize, expected: usize) -> FormatError {
    FormatError::Length { what: "raw block", expected, actual }
}
