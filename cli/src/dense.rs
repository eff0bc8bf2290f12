//! A target whose zeroes are written and not punched as holes, for `--sparse never`.
//!
//! It must never call a range zero that it did not write.

use std::io;
use std::path::PathBuf;

use coffer_blockio::{BlockTarget, ReadError, StagedTarget, WriteError};
use coffer_engine::CancelToken;

/// Bytes of zeroes in one write; between two of them a cancel is noticed.
const ZEROES_LEN: usize = 1 << 20;

/// A file without holes.
pub(crate) struct DenseTarget {
    file: StagedTarget,
    path: PathBuf,
    zeroes: Vec<u8>,
    cancel: CancelToken,
}

impl DenseTarget {
    pub(crate) fn new(file: StagedTarget, cancel: CancelToken) -> DenseTarget {
        DenseTarget { path: file.path().to_owned(), file, zeroes: vec![0; ZEROES_LEN], cancel }
    }
}

impl BlockTarget for DenseTarget {
    fn size_bytes(&self) -> u64 {
        self.file.size_bytes()
    }

    fn write_all_at(&self, offset: u64, buf: &[u8]) -> Result<(), WriteError> {
        self.file.write_all_at(offset, buf)
    }

    fn write_zeroes(&self, offset: u64, len_bytes: u64) -> Result<(), WriteError> {
        let mut done = 0;
        while done < len_bytes {
            if self.cancel.is_cancelled() {
                let (path, source) = (self.path.clone(), io::ErrorKind::Interrupted.into());
                return Err(WriteError::Io {
                    path,
                    offset: offset + done,
                    len_bytes: len_bytes - done,
                    source,
                });
            }
            let len = usize::try_from(len_bytes - done).unwrap_or(ZEROES_LEN).min(ZEROES_LEN);
            self.file.write_all_at(offset + done, self.zeroes.get(..len).unwrap_or(&self.zeroes))?;
            done += len as u64;
        }
        Ok(())
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        self.file.read_exact_at(offset, buf)
    }

    fn flush(&self) -> Result<(), WriteError> {
        self.file.flush()
    }

    fn is_fresh(&self) -> bool {
        self.file.is_fresh()
    }

    fn begin(&self) -> Result<(), WriteError> {
        self.file.begin()
    }

    fn finish(&self) -> Result<(), WriteError> {
        self.file.finish()
    }

    fn stays_unfinished(&self) -> bool {
        self.file.stays_unfinished()
    }

    fn cut_bytes(&self) -> u64 {
        self.file.cut_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn zeroes_take_room_and_a_cancel_stops_them() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.img");
        let len = 3 * ZEROES_LEN as u64 + 5;
        let cancel = CancelToken::default();
        let target = DenseTarget::new(StagedTarget::create(&path, len).unwrap(), cancel.clone());
        target.write_zeroes(0, len).unwrap();
        target.finish().unwrap();
        assert!(std::fs::metadata(&path).unwrap().blocks() * 512 >= len);
        cancel.cancel();
        assert!(matches!(target.write_zeroes(0, len), Err(WriteError::Io { .. })));
    }
}
