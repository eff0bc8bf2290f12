//! The steps of a backup and of a restore, one after the other on one thread, and what each costs.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use coffer_blockio::{Arena, BlockSource, ReadBatch};
use coffer_engine::{EngineError, Environment};
use coffer_format::{
    BlockHasher, Codec, Compression, Compressor, Effort, FRAME_OVERHEAD, FrameOpener, FrameSealer,
    ObjectContext, PACK_BLOCKS_MAX, PackKey, RepositoryId, Suite, TeamSecrets, compress_bound, decompress,
    is_zero,
};
use nix::time::{ClockId, clock_gettime};

use crate::documents::bench::StepSeconds;
use crate::error::CliError;

/// The usual block of a backup.
pub(super) const BLOCK_BYTES: usize = 64 << 10;
/// What TLS sends at a time; the kernel's buffers hold it while nobody reads.
const RECORD_BYTES: usize = 16 << 10;
const FRAME_HEAD: usize = coffer_format::FRAME_HEADER_LEN;

/// What was done, and what it cost.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Done {
    pub(super) seconds: StepSeconds,
    pub(super) bytes: u64,
    pub(super) zero_bytes: u64,
    pub(super) stored_bytes: u64,
}

/// One thread's way through blocks.
pub(super) struct Steps<'a> {
    source: &'a dyn BlockSource,
    batch: Option<ReadBatch>,
    hasher: BlockHasher,
    compressor: Compressor,
    environment: Environment,
    keys: Keys,
    line: Line,
    frame: Vec<u8>,
    received: Vec<u8>,
    plain: Vec<u8>,
    pub(super) done: Done,
}

/// The key of a pack that is never stored.
struct Keys {
    sealer: FrameSealer,
    opener: FrameOpener,
}

/// A connection to ourselves, over loopback.
struct Line {
    to: TcpStream,
    from: TcpStream,
}

impl Done {
    /// Both together.
    pub(super) fn and(self, other: &Done) -> Done {
        Done {
            seconds: self.seconds.zip(&other.seconds, |one, two| one + two),
            bytes: self.bytes + other.bytes,
            zero_bytes: self.zero_bytes + other.zero_bytes,
            stored_bytes: self.stored_bytes + other.stored_bytes,
        }
    }
}

impl<'a> Steps<'a> {
    pub(super) fn new(
        source: &'a dyn BlockSource,
        arena: &Arc<Arena>,
        read_bytes: usize,
        environment: Environment,
    ) -> Result<Steps<'a>, CliError> {
        let repository = RepositoryId::from_bytes([0; 16]);
        let buffer = arena.alloc(read_bytes).map_err(|error| EngineError::Bug(error.to_string()))?;
        let bound = compress_bound(BLOCK_BYTES).max(BLOCK_BYTES) + FRAME_OVERHEAD;
        Ok(Steps {
            source,
            batch: Some(ReadBatch::new(buffer)),
            hasher: BlockHasher::new(&TeamSecrets::unencrypted(&repository), &repository),
            compressor: Compressor::new(Compression::Lz4).map_err(EngineError::Limit)?,
            keys: Keys::make(&environment)?,
            environment,
            line: Line::open()?,
            frame: vec![0; bound],
            received: vec![0; bound],
            plain: vec![0; BLOCK_BYTES],
            done: Done::default(),
        })
    }

    /// Reads `len` bytes, which is no more than one read, and takes each block through all steps.
    pub(super) fn take(&mut self, offset: u64, len: usize) -> Result<(), CliError> {
        let mut batch = self.batch.take().ok_or_else(|| EngineError::Bug("a read failed before".into()))?;
        let mut watch = Watch::start()?;
        batch.clear();
        if batch.push(offset, len).is_none() {
            return Err(EngineError::Bug("a read is longer than its buffer".into()).into());
        }
        let read = self.source.finish_read(self.source.start_read(batch));
        let batch = read.map_err(|source| EngineError::Source { volume: "bench".into(), source })?;
        self.done.seconds.read += watch.lap()?;
        for block in batch.bytes().chunks(BLOCK_BYTES) {
            self.block(block, &mut watch)?;
        }
        self.done.bytes += batch.bytes().len() as u64;
        self.batch = Some(batch);
        Ok(())
    }

    fn block(&mut self, block: &[u8], watch: &mut Watch) -> Result<(), CliError> {
        let empty = is_zero(block);
        self.done.seconds.zero_scan += watch.lap()?;
        if empty {
            self.done.zero_bytes += block.len() as u64;
            return Ok(());
        }
        std::hint::black_box(self.hasher.hash(block));
        self.done.seconds.hash += watch.lap()?;
        let compressed = self.compressor.compress(Effort::Full, block, &mut self.frame[FRAME_HEAD..]);
        self.done.seconds.compress += watch.lap()?;
        if self.keys.sealer.frames() >= PACK_BLOCKS_MAX {
            self.keys = Keys::make(&self.environment)?;
            watch.lap()?;
        }
        let (codec, stored_len) = compressed.unwrap_or((Codec::Raw, block.len()));
        let frame = &mut self.frame[..stored_len + FRAME_OVERHEAD];
        let sealed = match codec {
            Codec::Raw => self.keys.sealer.seal_from(codec, block, frame),
            _ => self.keys.sealer.seal_in_place(codec, frame),
        };
        let ordinal = sealed.map_err(EngineError::Limit)?.ordinal;
        self.done.seconds.encrypt += watch.lap()?;
        self.done.stored_bytes += frame.len() as u64;
        let received = &mut self.received[..frame.len()];
        for (piece, place) in frame.chunks(RECORD_BYTES).zip(received.chunks_mut(RECORD_BYTES)) {
            self.line.send(piece)?;
            self.done.seconds.send += watch.lap()?;
            self.line.receive(place)?;
            self.done.seconds.receive += watch.lap()?;
        }
        let (codec, stored) =
            self.keys.opener.open_in_place(ordinal, received).map_err(EngineError::Limit)?;
        self.done.seconds.decrypt += watch.lap()?;
        let plain = &mut self.plain[..block.len()];
        decompress(codec, stored, plain).map_err(EngineError::Limit)?;
        self.done.seconds.decompress += watch.lap()?;
        if *plain == *block {
            watch.lap()?;
            return Ok(());
        }
        Err(EngineError::Bug("a block did not come back as it was".into()).into())
    }
}

impl Keys {
    fn make(environment: &Environment) -> Result<Keys, EngineError> {
        let context = ObjectContext::new(&RepositoryId::from_bytes([0; 16]), "bench");
        let key = PackKey::from_entropy(environment.entropy32()?);
        let opener = FrameOpener::new(Suite::Aes256Gcm, &key, &context);
        let sealer = FrameSealer::new(Suite::Aes256Gcm, key, &context).map_err(EngineError::Limit)?;
        Ok(Keys { sealer, opener })
    }
}

impl Line {
    fn open() -> Result<Line, CliError> {
        let opened = || {
            let listener = TcpListener::bind(("127.0.0.1", 0))?;
            let to = TcpStream::connect(listener.local_addr()?)?;
            let (from, peer) = listener.accept()?;
            if peer != to.local_addr()? {
                return Err(std::io::Error::other("somebody else connected"));
            }
            // Each record goes at once, and none waits for room that only we could make.
            to.set_nodelay(true)?;
            to.set_nonblocking(true)?;
            Ok((to, from))
        };
        let (to, from) = opened().map_err(|error| trouble("open", error))?;
        Ok(Line { to, from })
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.to.write_all(bytes).map_err(|error| trouble("send to", error))
    }

    fn receive(&mut self, place: &mut [u8]) -> Result<(), CliError> {
        self.from.read_exact(place).map_err(|error| trouble("receive from", error))
    }
}

fn trouble(step: &'static str, source: std::io::Error) -> CliError {
    CliError::File { step, path: "a connection over loopback".into(), source }
}

/// Processor time of this thread.
struct Watch(f64);

impl Watch {
    fn start() -> Result<Watch, CliError> {
        Ok(Watch(Self::now()?))
    }

    /// Seconds since the last look.
    fn lap(&mut self) -> Result<f64, CliError> {
        let before = std::mem::replace(&mut self.0, Self::now()?);
        Ok(self.0 - before)
    }

    fn now() -> Result<f64, CliError> {
        let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_err(|error| CliError::File {
            step: "ask for",
            path: "processor time".into(),
            source: error.into(),
        })?;
        Ok(time.tv_sec() as f64 + time.tv_nsec() as f64 / 1e9)
    }
}
