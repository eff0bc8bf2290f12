//! Pages of objects, and uploads that nobody finished.

use super::S3Store;
use super::failure::{Failure, Kind};
use super::objects::whole_seconds;
use crate::checks;
use crate::error::StoreError;
use crate::key::Key;
use crate::port::{ListPage, ObjectInfo, Operation, UploadId, UploadInfo};

/// Pages of uploads that are read at most: a million uploads are a fault, not a backlog.
const UPLOAD_PAGES_MAX: usize = 1_000;

/// Where the next page of uploads begins.
#[derive(Default, Clone, PartialEq, Eq)]
struct Marker {
    key: Option<String>,
    id: Option<String>,
}

impl S3Store {
    pub(super) fn list_objects(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        max: usize,
    ) -> Result<ListPage, StoreError> {
        checks::page(max)?;
        self.request(Operation::List, prefix, async |_| {
            let list = self.connected.client.list_objects_v2().bucket(&self.address.bucket);
            let list = list.prefix(self.name(prefix)).max_keys(i32::try_from(max).unwrap_or(i32::MAX));
            let answer = list.set_start_after(start_after.map(|after| self.name(after))).send().await?;
            let mut page = ListPage::default();
            for object in answer.contents() {
                let key = object.key().and_then(|name| self.key_of(name)).unwrap_or_default();
                page.next = Some(key.to_owned());
                let len = object.size().and_then(|len| u64::try_from(len).ok());
                if let (Ok(key), Some(len)) = (Key::new(key), len) {
                    let modified = whole_seconds(object.last_modified());
                    page.objects.push(ObjectInfo { key, len, modified });
                }
            }
            if answer.is_truncated() != Some(true) {
                page.next = None;
            } else if page.next.is_none() {
                return Err(Failure::new(Kind::Broken, "an empty page of a list that goes on"));
            }
            // Some servers walk directories: their order is not trusted.
            page.objects.sort_by(|a, b| a.key.cmp(&b.key));
            Ok(page)
        })
    }

    pub(super) fn find_uploads(&self, prefix: &str) -> Result<Vec<UploadInfo>, StoreError> {
        let mut found = Vec::new();
        let mut marker = Some(Marker::default());
        for _ in 0..UPLOAD_PAGES_MAX {
            let Some(from) = marker else { break };
            marker = self.page_of_uploads(prefix, &from, &mut found)?;
            if marker.as_ref() == Some(&from) {
                break;
            }
        }
        for upload in &mut found {
            upload.bytes = self.bytes_of(&upload.upload)?;
        }
        Ok(found)
    }

    fn page_of_uploads(
        &self,
        prefix: &str,
        from: &Marker,
        found: &mut Vec<UploadInfo>,
    ) -> Result<Option<Marker>, StoreError> {
        let (uploads, next) = self.request(Operation::ListUploads, prefix, async |_| {
            let list = self.connected.client.list_multipart_uploads().bucket(&self.address.bucket);
            let list = list.set_key_marker(from.key.clone()).set_upload_id_marker(from.id.clone());
            let answer = list.prefix(self.name(prefix)).send().await?;
            let uploads = answer.uploads().iter().filter_map(|upload| {
                let key = Key::new(self.key_of(upload.key()?)?).ok()?;
                let upload_id = UploadId { key, id: upload.upload_id()?.to_owned() };
                Some(UploadInfo { upload: upload_id, started: whole_seconds(upload.initiated()), bytes: 0 })
            });
            let uploads: Vec<_> = uploads.collect();
            let next = (answer.is_truncated() == Some(true)).then(|| Marker {
                key: answer.next_key_marker().map(Into::into),
                id: answer.next_upload_id_marker().map(Into::into),
            });
            Ok((uploads, next))
        })?;
        found.extend(uploads);
        Ok(next)
    }

    /// Bytes of the first 1,000 parts; none if the upload ended meanwhile.
    fn bytes_of(&self, upload: &UploadId) -> Result<u64, StoreError> {
        let key = upload.key.as_str();
        let bytes = self.call(Operation::ListUploads, key, async |_| {
            let list = self.connected.client.list_parts().bucket(&self.address.bucket).key(self.name(key));
            let answer = list.upload_id(&upload.id).send().await?;
            let sizes = answer.parts().iter().filter_map(|part| part.size());
            Ok(sizes.filter_map(|size| u64::try_from(size).ok()).sum())
        });
        match bytes {
            Err(Failure { kind: Kind::NoSuchUpload | Kind::NotFound, .. }) => Ok(0),
            bytes => bytes.map_err(|failure| self.error(Operation::ListUploads, key, failure)),
        }
    }
}
