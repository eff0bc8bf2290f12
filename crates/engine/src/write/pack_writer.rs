//! Puts encoded blocks into packs: one open pack per thread, its blocks in volume order, closed at its limits, of which
//! one is what can be sent in about a minute.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use coffer_format::{
    BlockSize, ChainPublicKey, Codec, Compression, Compressor, FRAME_OVERHEAD, FrameSealer, FreshPackKey,
    MetadataCipher, ObjectContext, PACK_BLOCKS_MAX, PACK_HEADER_LEN, PackHeader, PackInfo, PackKey,
    RepositoryId, Suite, TeamSecrets, TrailerBuilder, TrailerEntry, VolumePath, object_key, seal_pack_key,
};
use zeroize::Zeroizing;

use super::compression_policy::CompressionPolicy;
use super::object_writer::{ObjectSink, ObjectWriter};
use super::uploader::UploadGroup;
use crate::read::frame_run::FramePlace;
use crate::repository::store_key;
use crate::{EngineError, Environment};

/// What all packs of one volume in one run have in common.
pub(crate) struct PackContext {
    pub(crate) sink: ObjectSink,
    pub(crate) group: Arc<UploadGroup>,
    pub(crate) environment: Environment,
    pub(crate) repository: RepositoryId,
    pub(crate) suite: Suite,
    pub(crate) secrets: TeamSecrets,
    pub(crate) chain: Option<ChainPublicKey>,
    pub(crate) path: VolumePath,
    pub(crate) block_size: BlockSize,
    pub(crate) compression: Compression,
    /// Length at which a pack is closed, at most the format's limit.
    pub(crate) pack_bytes_max: u64,
    /// Number of the next pack.
    pub(crate) next_number: AtomicU32,
    /// Descriptions of packs that were closed and not yet entered into the pack table.
    pub(crate) closed: Mutex<Vec<(u32, PackInfo)>>,
    /// Bytes of all trailers.
    pub(crate) trailer_bytes: AtomicU64,
}

/// Where an appended block lies.
pub(crate) struct Placed {
    pub(crate) pack: u32,
    pub(crate) ordinal: u32,
    pub(crate) offset: u64,
    pub(crate) len: u32,
}

impl Placed {
    /// As a place of the lineage entry that the pack belongs to.
    pub(crate) fn in_lineage(self, lineage: u16) -> FramePlace {
        let Placed { pack, ordinal, offset, len } = self;
        FramePlace { lineage, pack, ordinal, offset, len }
    }
}

/// One thread's packs.
pub(crate) struct PackWriter<'a> {
    context: &'a PackContext,
    compressor: AdaptiveCompressor,
    open: Option<OpenPack>,
}

/// Compresses what is worth it.
struct AdaptiveCompressor {
    compressor: Compressor,
    compression: CompressionPolicy,
}

struct OpenPack {
    number: u32,
    /// Whether it measures the line.
    is_probe: bool,
    object: ObjectWriter,
    header: [u8; PACK_HEADER_LEN],
    sealer: FrameSealer,
    cipher: MetadataCipher,
    trailer: TrailerBuilder,
    sealed_key: Option<coffer_format::SealedSecret>,
    first_block: u32,
    last_block: u32,
    frames: u32,
}

impl<'a> PackWriter<'a> {
    pub(crate) fn new(context: &'a PackContext) -> Result<Self, EngineError> {
        let compressor = AdaptiveCompressor {
            compressor: Compressor::new(context.compression).map_err(EngineError::Limit)?,
            compression: CompressionPolicy::new(context.compression),
        };
        Ok(PackWriter { context, compressor, open: None })
    }

    /// Compresses, encrypts and appends one block. Blocks come in ascending order.
    pub(crate) fn append(&mut self, block: u32, plain: &[u8], hash: [u8; 32]) -> Result<Placed, EngineError> {
        self.close_if_full(plain.len())?;
        if self.open.is_none() {
            self.open = Some(OpenPack::create(self.context, block)?);
        }
        let pack = self.open.as_mut().expect("opened above");
        let placed = pack.append(&mut self.compressor, block, plain, hash)?;
        Ok(placed)
    }

    /// Closes the open pack, if any.
    pub(crate) fn finish(mut self) -> Result<(), EngineError> {
        self.close()
    }

    fn close_if_full(&mut self, next_len: usize) -> Result<(), EngineError> {
        let full = self.open.as_ref().is_some_and(|pack| {
            let worst = (next_len + FRAME_OVERHEAD) as u64;
            let most =
                self.context.pack_bytes_max.min(self.context.sink.uploader.pack_bytes_max(pack.is_probe));
            pack.frames >= PACK_BLOCKS_MAX || pack.object.offset() + worst > most
        });
        if full { self.close() } else { Ok(()) }
    }

    fn close(&mut self) -> Result<(), EngineError> {
        let Some(pack) = self.open.take() else { return Ok(()) };
        let number = pack.number;
        let info = pack.finish()?;
        self.context.trailer_bytes.fetch_add(info.object_len - info.trailer_offset, Ordering::Relaxed);
        self.context.closed.lock().unwrap_or_else(PoisonError::into_inner).push((number, info));
        Ok(())
    }
}

impl AdaptiveCompressor {
    /// As [`Compressor::compress`]; `None` also where no attempt was worth it.
    #[inline]
    fn compress(&mut self, block: u32, plain: &[u8], out: &mut [u8]) -> Option<(Codec, usize)> {
        let effort = self.compression.wants(block)?;
        let compressed = self.compressor.compress(effort, plain, out);
        self.compression.tried(plain.len(), compressed.map_or(plain.len(), |(_, len)| len));
        compressed
    }
}

impl OpenPack {
    fn create(context: &PackContext, first_block: u32) -> Result<OpenPack, EngineError> {
        let number = context.next_number.fetch_add(1, Ordering::Relaxed);
        let key = object_key::pack(&context.path, number);
        let object_context = ObjectContext::new(&context.repository, &key);
        let (pack_key, sealed_key) = make_pack_key(context, &object_context)?;
        let header = PackHeader {
            suite: context.suite,
            block_size: context.block_size,
            number,
            origin: context.repository,
            context: object_context,
            sealed_key,
        };
        let header = header.encode();
        let mut object = context.sink.create(store_key(&key)?, &context.group);
        object.write_all(&header)?;
        Ok(OpenPack {
            number,
            is_probe: context.sink.uploader.begins_probe(),
            object,
            header,
            sealer: FrameSealer::new(context.suite, pack_key, &object_context).map_err(EngineError::Limit)?,
            cipher: MetadataCipher::new(context.suite, &context.secrets, &object_context),
            trailer: TrailerBuilder::default(),
            sealed_key,
            first_block,
            last_block: first_block,
            frames: 0,
        })
    }

    fn append(
        &mut self,
        compressor: &mut AdaptiveCompressor,
        block: u32,
        plain: &[u8],
        hash: [u8; 32],
    ) -> Result<Placed, EngineError> {
        let offset = self.object.offset();
        let bound = coffer_format::compress_bound(plain.len()).max(plain.len()) + FRAME_OVERHEAD;
        let room = self.object.room(bound)?;
        let payload = coffer_format::FRAME_HEADER_LEN;
        let compressed = compressor.compress(block, plain, &mut room[payload..]);
        let (len, sealed) = match compressed {
            Some((codec, stored)) => {
                let len = stored + FRAME_OVERHEAD;
                (len, self.sealer.seal_in_place(codec, &mut room[..len]))
            }
            None => {
                let len = plain.len() + FRAME_OVERHEAD;
                (len, self.sealer.seal_from(Codec::Raw, plain, &mut room[..len]))
            }
        };
        let sealed = sealed.map_err(EngineError::Limit)?;
        self.object.advance(len)?;
        self.trailer
            .push(TrailerEntry { block, word: sealed.word, hash, tag: sealed.tag })
            .map_err(EngineError::Limit)?;
        self.last_block = block;
        self.frames += 1;
        let len = u32::try_from(len).map_err(|_| EngineError::Bug("a frame of 4 GiB".into()))?;
        Ok(Placed { pack: self.number, ordinal: sealed.ordinal, offset, len })
    }

    fn finish(mut self) -> Result<PackInfo, EngineError> {
        let trailer_offset = self.object.offset();
        let trailer =
            self.trailer.finish(&self.cipher, &self.header, trailer_offset).map_err(EngineError::Limit)?;
        self.object.write_all(&trailer.bytes)?;
        Ok(PackInfo {
            object_len: self.object.finish()?,
            frames: self.frames,
            first_block: self.first_block,
            last_block: self.last_block,
            trailer_offset,
            page_digests: trailer.page_digests,
            sealed_key: self.sealed_key,
        })
    }
}

fn make_pack_key(
    context: &PackContext,
    object: &ObjectContext,
) -> Result<(FreshPackKey, Option<coffer_format::SealedSecret>), EngineError> {
    match &context.chain {
        None => Ok((PackKey::unencrypted(object), None)),
        Some(chain) => {
            let secret = Zeroizing::new(context.environment.entropy32()?);
            let key = PackKey::from_entropy(*secret);
            let seal = context.environment.entropy32()?;
            let sealed = seal_pack_key(&key, chain, object, seal).map_err(EngineError::Limit)?;
            Ok((key, Some(sealed)))
        }
    }
}
