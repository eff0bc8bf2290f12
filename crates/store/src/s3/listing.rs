//! Pages of objects, and uploads that nobody finished.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;

use super::S3Store;
use super::failure::{Failure, Kind};
use super::lookup::whole_seconds;
use crate::checks;
use crate::error::StoreError;
use crate::key::Key;
use crate::port::{ListPage, ObjectInfo, Operation, UploadId, UploadInfo};

/// Pages of uploads that are read at most: a million uploads are a fault, not a backlog.
const UPLOAD_PAGES_MAX: usize = 1_000;

/// Pages whose continuation is remembered: many more lists at once than anybody makes.
const PAGES_MAX: usize = 256;

/// How to continue lists after their last page.
///
/// A list may be continued from any name, and S3 does so. MinIO loses names then, where one directory's name begins another's (`web/` and
/// `web-2/`); continued by its own token it does not.
#[derive(Debug, Default)]
pub(super) struct Pages(Mutex<VecDeque<Page>>);

#[derive(Debug)]
struct Page {
    prefix: String,
    last: String,
    token: String,
}

impl Pages {
    fn remember(&self, prefix: &str, last: &str, token: &str) {
        let mut pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pages.retain(|page| page.prefix != prefix || page.last != last);
        if pages.len() >= PAGES_MAX {
            pages.pop_front();
        }
        pages.push_back(Page { prefix: prefix.into(), last: last.into(), token: token.into() });
    }

    fn token(&self, prefix: &str, last: &str) -> Option<String> {
        let pages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pages.iter().find(|page| page.prefix == prefix && page.last == last).map(|page| page.token.clone())
    }
}

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
        if !may_begin_a_key(prefix) {
            return Ok(ListPage::default());
        }
        self.request(Operation::List, prefix, async |_| {
            let answer = self.answer_of_list(prefix, start_after, max).await?;
            let mut page = ListPage::default();
            for object in answer.contents() {
                let key = object.key().and_then(|name| self.key_of(name)).unwrap_or_default();
                if !key.starts_with(prefix) {
                    let detail = "a list with a name that does not begin with what was asked for";
                    return Err(Failure::new(Kind::Broken, detail));
                }
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
            if let (Some(last), Some(token)) = (&page.next, answer.next_continuation_token()) {
                self.pages.remember(prefix, last, token);
            }
            // Some servers walk directories: their order is not trusted.
            page.objects.sort_by(|a, b| a.key.cmp(&b.key));
            Ok(page)
        })
    }

    /// Continues by the token of the page before, if it is known and still good, else from the name.
    async fn answer_of_list(
        &self,
        prefix: &str,
        start_after: Option<&str>,
        max: usize,
    ) -> Result<ListObjectsV2Output, Failure> {
        let list = self.connected.client.list_objects_v2().bucket(&self.address.bucket);
        let list = list.prefix(self.name(prefix)).max_keys(i32::try_from(max).unwrap_or(i32::MAX));
        if let Some(token) = start_after.and_then(|last| self.pages.token(prefix, last)) {
            match list.clone().continuation_token(token).send().await.map_err(Failure::from) {
                Err(Failure { kind: Kind::Refused, .. }) => {}
                answer => return answer,
            }
        }
        Ok(list.set_start_after(start_after.map(|after| self.name(after))).send().await?)
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
                Some(UploadInfo {
                    upload: upload_id,
                    started: whole_seconds(upload.initiated()).unwrap_or(UNIX_EPOCH),
                    bytes: 0,
                })
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

/// Servers refuse some prefixes, such as `//`, with which no key begins.
fn may_begin_a_key(prefix: &str) -> bool {
    prefix.is_empty() || Key::new(prefix).is_ok() || Key::new(format!("{prefix}x")).is_ok()
}
