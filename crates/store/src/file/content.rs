//! Comparing what is stored with what should be.
//!
//! Reads in pieces: objects may be larger than memory.

use std::io;

use super::direct::byte_count;
use super::fs::Fs;

const PIECE_LEN: usize = 256 * 1_024;

/// Bytes in memory or in a scratch file.
#[derive(Debug)]
pub(super) enum Content<'a, F: Fs> {
    Bytes(&'a [u8]),
    File(&'a F::File),
}

impl<F: Fs> Content<'_, F> {
    /// Whether `file` has exactly these bytes.
    pub(super) fn is_in(&self, fs: &F, file: &F::File) -> io::Result<bool> {
        let (mut theirs, mut ours) = (vec![0; PIECE_LEN], vec![0; PIECE_LEN]);
        let mut offset = 0;
        loop {
            let got = fs.read_at(file, offset, &mut theirs)?;
            let wanted = self.read_at(fs, offset, &mut ours)?;
            if theirs[..got] != ours[..wanted] {
                return Ok(false);
            }
            if got < PIECE_LEN {
                return Ok(true);
            }
            offset += byte_count(got);
        }
    }

    fn read_at(&self, fs: &F, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => fs.read_at(file, offset, out),
            Self::Bytes(bytes) => {
                let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or(&[]);
                let len = rest.len().min(out.len());
                out[..len].copy_from_slice(&rest[..len]);
                Ok(len)
            }
        }
    }
}
