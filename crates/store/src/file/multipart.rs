//! Uploads in parts: begin, write, finish, drop, find.
//!
//! The object's name appears only when every part is written and synced; a failed sync ends the upload, because the
//! kernel may have dropped the bytes and a second sync would not say so.

use std::io;

use super::content::Content;
use super::direct::{self, byte_count};
use super::fs::{Fs, WriteMode};
use super::names::{SIDECAR_SUFFIX, TEMP_DIR};
use super::temp::{self, TempKind};
use super::uploads::{Stage, Upload, gone};
use super::{FileStore, dirs, failed, publish, sidecar};
use crate::checks;
use crate::error::StoreError;
use crate::key::Key;
use crate::port::{Operation, PartTag, PutOutcome, UploadId, UploadInfo};

impl<F: Fs> FileStore<F> {
    pub(super) fn begin_upload(&self, key: &Key, part_len: u64) -> Result<UploadId, StoreError> {
        let fail = |error| failed(Operation::StartUpload, key.as_str(), error);
        // Parts that end within a page would be written through the cache and past it in one page.
        let is_aligned = part_len.is_multiple_of(byte_count(direct::alignment()));
        let mode = if is_aligned { WriteMode::Direct } else { WriteMode::Buffered };
        let (dir, name, file) = self.create_temp(TempKind::Upload, mode).map_err(fail)?;
        if let Err(error) = sidecar::write(&self.fs, &dir, &name, key) {
            let _ = self.fs.unlink(&dir, &name);
            return Err(fail(error));
        }
        let upload = UploadId { key: key.clone(), id: name };
        self.uploads.insert(upload.clone(), part_len, file);
        Ok(upload)
    }

    pub(super) fn write_part(&self, id: &UploadId, number: u32, body: &[u8]) -> Result<PartTag, StoreError> {
        self.write_part_of(&*self.uploads.get(id)?, number, body)
    }

    /// Writes a part of an upload that was open when it was looked up, and may have ended since.
    fn write_part_of(
        &self,
        upload: &Upload<F::File>,
        number: u32,
        body: &[u8],
    ) -> Result<PartTag, StoreError> {
        let id = &upload.id;
        let len = byte_count(body.len());
        checks::part(number, len, upload.part_len)?;
        upload.check_again(number, len)?;
        let stage = upload.stage();
        if *stage != Stage::Open {
            return Err(gone(id));
        }
        let fail = |error| failed(Operation::PutPart, id.key.as_str(), error);
        let offset = upload.offset(number).ok_or_else(|| fail(io::ErrorKind::FileTooLarge.into()))?;
        self.fs.write_at(&upload.file, offset, body).map_err(fail)?;
        Ok(upload.record(number, len))
    }

    pub(super) fn finish_upload(&self, id: &UploadId, parts: &[PartTag]) -> Result<(), StoreError> {
        let upload = self.uploads.get(id)?;
        upload.check_all(parts)?;
        let mut stage = upload.stage_mut();
        match *stage {
            Stage::Open => self.name_object(id, &upload, &mut stage)?,
            // An earlier try failed after the object had its name.
            Stage::Named => self.sync_upload_name(id)?,
            Stage::Closed => return Err(gone(id)),
        }
        *stage = Stage::Closed;
        self.uploads.remove(id);
        // The object stands; a sidecar that stays lists an upload that can be aborted without harm.
        let _ = self.remove_scratch(id);
        Ok(())
    }

    fn name_object(
        &self,
        id: &UploadId,
        upload: &Upload<F::File>,
        stage: &mut Stage,
    ) -> Result<(), StoreError> {
        let fail = |error| failed(Operation::CompleteUpload, id.key.as_str(), error);
        let (stat, len) = (self.fs.stat_file(&upload.file).map_err(fail)?, upload.len_bytes());
        if stat.len != len {
            let detail = format!("the parts have {len} bytes, the scratch file {}", stat.len);
            return Err(StoreError::Misuse { operation: Operation::CompleteUpload, detail });
        }
        self.fs.sync_file(&upload.file).map_err(|error| {
            *stage = Stage::Closed;
            fail(error)
        })?;
        let content = Content::File(&upload.file);
        match self
            .publish_as(Operation::CompleteUpload, &id.id, &id.key, &content, || *stage = Stage::Named)?
        {
            PutOutcome::Stored | PutOutcome::AlreadyThere => Ok(()),
        }
    }

    fn sync_upload_name(&self, id: &UploadId) -> Result<(), StoreError> {
        publish::sync_name(&self.fs, &self.dirs, &id.key)
            .map_err(|error| failed(Operation::CompleteUpload, id.key.as_str(), error))
    }

    pub(super) fn drop_upload(&self, id: &UploadId) -> Result<(), StoreError> {
        if let Ok(upload) = self.uploads.get(id) {
            *upload.stage_mut() = Stage::Closed;
            self.uploads.remove(id);
        }
        self.remove_scratch(id).map_err(|error| failed(Operation::AbortUpload, id.key.as_str(), error))
    }

    /// Removes an upload's files, the sidecar last: what is left of a failed attempt is still listed.
    fn remove_scratch(&self, id: &UploadId) -> io::Result<()> {
        if !temp::is_upload_name(&id.id) {
            return Ok(());
        }
        let Some(dir) = dirs::find(&self.fs, TEMP_DIR)? else { return Ok(()) };
        absent_is_fine(self.fs.unlink(&dir, &id.id))?;
        absent_is_fine(sidecar::remove(&self.fs, &dir, &id.id))
    }

    pub(super) fn find_uploads(&self, prefix: &str) -> io::Result<Vec<UploadInfo>> {
        let Some(dir) = dirs::find(&self.fs, TEMP_DIR)? else { return Ok(Vec::new()) };
        let mut uploads = Vec::new();
        for entry in self.fs.read_dir(&dir)? {
            let Some(id) = entry.name.strip_suffix(SIDECAR_SUFFIX).filter(|id| temp::is_upload_name(id))
            else {
                continue;
            };
            let Some(sidecar) =
                sidecar::read(&self.fs, &dir, id)?.filter(|it| it.key.as_str().starts_with(prefix))
            else {
                continue;
            };
            let upload = UploadId { key: sidecar.key, id: id.to_owned() };
            let bytes = self.upload_len(&dir, &upload)?;
            uploads.push(UploadInfo { upload, started: sidecar.started, bytes });
        }
        uploads.sort_by(|a, b| (&a.upload.key, &a.upload.id).cmp(&(&b.upload.key, &b.upload.id)));
        Ok(uploads)
    }

    /// The bytes that an upload holds: what we know of our own, the scratch file's length of others'.
    fn upload_len(&self, dir: &F::Dir, id: &UploadId) -> io::Result<u64> {
        if let Ok(upload) = self.uploads.get(id) {
            return Ok(upload.len_bytes());
        }
        match self.fs.stat(dir, &id.id) {
            Err(error) if dirs::is_absent(&error) => Ok(0),
            stat => Ok(stat?.len),
        }
    }
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::options::OpenOptions;
    use crate::port::ObjectStore;

    #[test]
    fn a_part_that_comes_after_the_end_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let store = FileStore::open(dir.path(), OpenOptions::default()).unwrap();
        let check = |name: &str, end: &dyn Fn(&UploadId, PartTag)| {
            let id = store.start_upload(&Key::new(name).unwrap(), 4).unwrap();
            let tag = store.put_part(&id, 1, Bytes::from_static(b"good")).unwrap();
            // A thread that looked the upload up just before its end.
            let upload = store.uploads.get(&id).unwrap();
            end(&id, tag);
            let late = store.write_part_of(&upload, 1, b"late");
            assert!(matches!(late, Err(StoreError::NoSuchUpload { .. })), "{late:?}");
        };
        check("complete", &|id, tag| store.complete_upload(id, &[tag]).unwrap());
        check("aborted", &|id, _| store.abort_upload(id).unwrap());
        assert_eq!(store.get(&Key::new("complete").unwrap(), 4).unwrap(), b"good");
    }
}
