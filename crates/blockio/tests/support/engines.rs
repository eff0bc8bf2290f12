//! Every read engine that works here, so that one test holds for all. Without io_uring it says so.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::path::Path;
use std::sync::{Arc, OnceLock};

use coffer_blockio::{
    Arena, BlockSource, EngineWish, OpenError, ReadBatch, ReadEngine, ReadError, SourceOpener,
};

struct Engines {
    arena: Arc<Arena>,
    openers: Vec<SourceOpener>,
}

fn engines() -> &'static Engines {
    static ENGINES: OnceLock<Engines> = OnceLock::new();
    ENGINES.get_or_init(|| {
        let arena = Arena::new(64 << 20).unwrap();
        let mut openers = vec![SourceOpener::new(EngineWish::Pread, &arena).unwrap()];
        match SourceOpener::new(EngineWish::Uring, &arena) {
            Ok(opener) => openers.extend([opener, SourceOpener::new(EngineWish::Auto, &arena).unwrap()]),
            Err(error) => eprintln!("SKIPPED io_uring: {error}"),
        }
        Engines { arena, openers }
    })
}

/// Runs `check` on the volume at `path`, opened with each engine.
#[track_caller]
pub(crate) fn with_each_engine(path: impl AsRef<Path>, mut check: impl FnMut(&dyn BlockSource)) {
    for source in open_with_each(path.as_ref()) {
        check(source.unwrap().as_ref());
    }
}

/// What each engine says to opening this.
pub(crate) fn open_with_each(path: &Path) -> Vec<Result<Box<dyn BlockSource>, OpenError>> {
    let expected = [ReadEngine::Pread, ReadEngine::Uring];
    let opened: Vec<_> = engines().openers.iter().map(|opener| opener.open(path)).collect();
    for (source, engine) in opened.iter().zip(expected) {
        assert!(source.as_ref().map_or(true, |source| source.engine() == engine));
    }
    opened
}

/// Reads into memory that begins `shift` bytes after a page boundary: once into a lent buffer and once as a batch, which
/// must come to the same.
#[track_caller]
pub(crate) fn read(
    source: &dyn BlockSource,
    offset: u64,
    len: usize,
    shift: usize,
) -> Result<Vec<u8>, ReadError> {
    let arena = &engines().arena;
    let mut buf = arena.alloc(shift + len).unwrap();
    buf.fill(0xaa);
    let lent = source.read_exact_at(offset, &mut buf[shift..]).map(|()| buf[shift..].to_vec());
    buf.fill(0xbb);
    let mut batch = ReadBatch::new(buf);
    if shift as u64 <= source.size_bytes() {
        batch.push(0, shift).unwrap();
    } else {
        return lent;
    }
    let place = batch.push(offset, len).unwrap();
    let batched = source.finish_read(source.start_read(batch)).map(|batch| batch.bytes()[place].to_vec());
    match (&lent, &batched) {
        (Ok(lent), Ok(batched)) => assert!(lent == batched, "{offset} {len} {shift}"),
        // Where the range before it touches, they are one request, and the error names that.
        (Err(lent), Err(batched)) => {
            assert!(shift > 0 || lent.to_string() == batched.to_string(), "{batched}")
        }
        (lent, batched) => panic!("{:?} {:?}", lent.as_ref().err(), batched.as_ref().err()),
    }
    lent
}
