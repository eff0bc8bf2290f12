//! A volume that is a document in memory, such as the Kubernetes objects of an application.

use std::ops::Range;
use std::path::PathBuf;

use crate::error::ReadError;
use crate::kind::SourceKind;
use crate::source::BlockSource;

/// A document in memory, read like any other volume.
pub struct DocumentSource {
    name: String,
    bytes: Vec<u8>,
}

impl DocumentSource {
    /// The document; `name` is what errors call it.
    pub fn new(name: String, bytes: Vec<u8>) -> DocumentSource {
        DocumentSource { name, bytes }
    }

    fn len(&self) -> u64 {
        u64::try_from(self.bytes.len()).unwrap_or(u64::MAX)
    }
}

impl BlockSource for DocumentSource {
    fn size_bytes(&self) -> u64 {
        self.len()
    }

    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), ReadError> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.bytes.len());
        let there = self.bytes.get(start..).unwrap_or_default();
        let wanted = there.get(..buf.len()).ok_or_else(|| ReadError::Short {
            path: PathBuf::from(&self.name),
            offset,
            len_bytes: u64::try_from(buf.len()).unwrap_or(u64::MAX),
            read_bytes: u64::try_from(there.len()).unwrap_or(u64::MAX),
        })?;
        buf.copy_from_slice(wanted);
        Ok(())
    }

    fn data_ranges(&self, start: u64, end: u64) -> Result<Vec<Range<u64>>, ReadError> {
        let end = end.min(self.len());
        Ok(if start < end { std::iter::once(start..end).collect() } else { Vec::new() })
    }

    fn next_data(&self, offset: u64) -> Result<Option<u64>, ReadError> {
        Ok((offset < self.len()).then_some(offset))
    }

    fn knows_holes(&self) -> bool {
        false
    }

    fn current_size_bytes(&self) -> Result<u64, ReadError> {
        Ok(self.len())
    }

    fn kind(&self) -> SourceKind {
        SourceKind::Resources
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_past_the_end_is_short_and_never_zeroes() {
        let source = DocumentSource::new("objects".into(), b"hello".to_vec());
        let mut buf = [0; 3];
        source.read_exact_at(2, &mut buf).unwrap();
        assert_eq!(&buf, b"llo");
        assert!(matches!(source.read_exact_at(3, &mut buf), Err(ReadError::Short { read_bytes: 2, .. })));
        assert!(matches!(source.read_exact_at(9, &mut buf), Err(ReadError::Short { read_bytes: 0, .. })));
        assert_eq!(source.data_ranges(1, 9).unwrap().first(), Some(&(1..5)));
        assert_eq!(source.next_data(5).unwrap(), None);
    }
}
