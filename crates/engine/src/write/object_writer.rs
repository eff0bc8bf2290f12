//! Writes one object of unknown length front to back: fills arena buffers, hands each full part over, keeps only the one being filled.

use std::sync::Arc;

use bytes::Bytes;
use coffer_blockio::{Arena, Buf};
use coffer_store::Key;

use super::uploader::{ObjectUpload, UploadGroup, Uploader};
use crate::resources::{PART_SLACK_BYTES, alloc};
use crate::{CancelToken, EngineError};

/// Where objects go and what they are made in.
#[derive(Clone)]
pub(crate) struct ObjectSink {
    /// The sending threads.
    pub(crate) uploader: Arc<Uploader>,
    /// Where buffers come from.
    pub(crate) arena: Arc<Arena>,
    /// Length of all parts but the last.
    pub(crate) part_len: usize,
    /// Ends the wait for a buffer.
    pub(crate) cancel: CancelToken,
}

/// One object being written.
pub(crate) struct ObjectWriter {
    sink: ObjectSink,
    upload: Arc<ObjectUpload>,
    buffer: Option<Buf>,
    used: usize,
    parts: u32,
    flushed_bytes: u64,
}

impl ObjectSink {
    /// Starts an object under `key`.
    pub(crate) fn create(&self, key: Key, group: &Arc<UploadGroup>) -> ObjectWriter {
        let upload = self.uploader.open(key, self.part_len as u64, group);
        ObjectWriter { sink: self.clone(), upload, buffer: None, used: 0, parts: 0, flushed_bytes: 0 }
    }
}

impl ObjectWriter {
    /// Offset of the next byte in the object.
    pub(crate) fn offset(&self) -> u64 {
        self.flushed_bytes + self.used as u64
    }

    /// A place for up to `len` bytes at the object's end; what is used of it is kept by [`ObjectWriter::advance`].
    ///
    /// `len` is at most the slack behind a part; longer data goes through [`ObjectWriter::write_all`].
    pub(crate) fn room(&mut self, len: usize) -> Result<&mut [u8], EngineError> {
        if len > PART_SLACK_BYTES {
            return Err(EngineError::Bug(format!("{len} bytes do not fit behind a part")));
        }
        if self.buffer.is_none() {
            self.buffer = Some(self.sink.alloc()?);
        }
        let used = self.used;
        let buffer = self.buffer.as_mut().expect("filled above");
        buffer
            .get_mut(used..used + len)
            .ok_or_else(|| EngineError::Bug("a part buffer is shorter than a part".into()))
    }

    /// Keeps the first `len` bytes of the last [`ObjectWriter::room`], and sends the part if it is full.
    pub(crate) fn advance(&mut self, len: usize) -> Result<(), EngineError> {
        self.used += len;
        if self.used >= self.sink.part_len { self.flush_part() } else { Ok(()) }
    }

    /// Appends bytes of any length.
    pub(crate) fn write_all(&mut self, bytes: &[u8]) -> Result<(), EngineError> {
        for chunk in bytes.chunks(PART_SLACK_BYTES) {
            self.room(chunk.len())?.copy_from_slice(chunk);
            self.advance(chunk.len())?;
        }
        Ok(())
    }

    /// Sends what is left. The object exists once the group's wait has returned. Returns its length.
    pub(crate) fn finish(mut self) -> Result<u64, EngineError> {
        let len = self.offset();
        let body = match self.buffer.take() {
            Some(mut buffer) => {
                buffer.truncate(self.used);
                Bytes::from_owner(buffer)
            }
            None => Bytes::new(),
        };
        self.sink.uploader.last(&self.upload, self.parts + 1, body);
        Ok(len)
    }

    fn flush_part(&mut self) -> Result<(), EngineError> {
        let part_len = self.sink.part_len;
        let Some(buffer) = self.buffer.take() else { return Ok(()) };
        // The rest is copied out before the next buffer is asked for: who waits for memory must not hold any that others wait for.
        let rest = buffer.get(part_len..self.used).unwrap_or_default().to_vec();
        self.parts += 1;
        self.flushed_bytes += part_len as u64;
        self.used = rest.len();
        let body = Bytes::from_owner(buffer).slice(..part_len);
        self.sink.uploader.part(&self.upload, self.parts, body);
        if !rest.is_empty() {
            let mut next = self.sink.alloc()?;
            next[..rest.len()].copy_from_slice(&rest);
            self.buffer = Some(next);
        }
        Ok(())
    }
}

impl ObjectSink {
    fn alloc(&self) -> Result<Buf, EngineError> {
        alloc(&self.arena, self.part_len + PART_SLACK_BYTES, &self.cancel)
    }
}
