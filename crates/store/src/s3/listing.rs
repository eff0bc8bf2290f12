//! Pages of objects, and uploads that nobody finished.

use std::fmt;
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

/// Empty pages in a row that are followed: more are a fault.
const EMPTY_PAGES_MAX: usize = 100;

/// Where a page begins.
enum From<'a> {
    /// Where the server said.
    Token(String),
    /// After a name.
    Name(Option<&'a str>),
}

/// Where the next page of uploads begins.
#[derive(Default, Clone, PartialEq, Eq)]
struct Marker {
    key: Option<String>,
    id: Option<String>,
}

impl Marker {
    /// By key, and of one key never the same twice: servers order the uploads of a key by time.
    fn is_after(&self, other: &Marker) -> bool {
        self.key > other.key || (self.key == other.key && self.id != other.id)
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, id) = (self.key.as_deref().unwrap_or_default(), self.id.as_deref().unwrap_or_default());
        write!(f, "`{key}` ({id})")
    }
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
            let token = start_after.and_then(|last| self.pages.token(prefix, last));
            let ask = async |from: From<'_>| {
                let page = self.page(prefix, from, max).await?;
                later(page, start_after)
            };
            if let Some(token) = token {
                match ask(From::Token(token)).await {
                    // Tokens do not last for ever, and not every server means them.
                    Err(Failure { kind: Kind::Refused, .. }) => {}
                    page => return page,
                }
            }
            ask(From::Name(start_after)).await
        })
    }

    /// One page. Empty ones that go on, which some servers have between others, are followed.
    async fn page(&self, prefix: &str, mut from: From<'_>, max: usize) -> Result<ListPage, Failure> {
        for _ in 0..EMPTY_PAGES_MAX {
            let answer = self.answer_of_list(prefix, &from, max).await?;
            let mut page = self.objects_of(prefix, &answer)?;
            let token = answer.next_continuation_token();
            match (answer.is_truncated() == Some(true), &page.next, token) {
                (false, ..) => page.next = None,
                (true, Some(last), Some(token)) => self.pages.remember(prefix, last, token),
                (true, Some(_), None) => {}
                (true, None, Some(token)) if !matches!(&from, From::Token(before) if before == token) => {
                    from = From::Token(token.to_owned());
                    continue;
                }
                (true, None, _) => {
                    return Err(Failure::new(
                        Kind::Garbled,
                        "an empty page of a list that goes on, and not where",
                    ));
                }
            }
            return Ok(page);
        }
        Err(Failure::new(Kind::Refused, format!("{EMPTY_PAGES_MAX} empty pages of a list that goes on")))
    }

    /// The objects of an answer in byte order; `next` is the last name of the answer, ours or not.
    fn objects_of(&self, prefix: &str, answer: &ListObjectsV2Output) -> Result<ListPage, Failure> {
        let mut page = ListPage::default();
        for object in answer.contents() {
            let key = object.key().and_then(|name| self.key_of(name)).filter(|key| key.starts_with(prefix));
            let Some(key) = key else {
                // A line may change a name once; a server that does not know prefixes does it always.
                let detail = "a list with a name that does not begin with what was asked for";
                return Err(Failure::new(Kind::Garbled, detail));
            };
            page.next = Some(key.to_owned());
            let len = object.size().and_then(|len| u64::try_from(len).ok());
            if let (Ok(key), Some(len)) = (Key::new(key), len) {
                let modified = whole_seconds(object.last_modified());
                page.objects.push(ObjectInfo { key, len, modified });
            }
        }
        // Some servers walk directories: their order is not trusted.
        page.objects.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(page)
    }

    async fn answer_of_list(
        &self,
        prefix: &str,
        from: &From<'_>,
        max: usize,
    ) -> Result<ListObjectsV2Output, Failure> {
        let list = self.client().list_objects_v2().bucket(&self.address.bucket);
        let list = list.prefix(self.name(prefix)).max_keys(i32::try_from(max).unwrap_or(i32::MAX));
        let list = match from {
            From::Token(token) => list.continuation_token(token),
            From::Name(after) => list.set_start_after(after.map(|after| self.name(after))),
        };
        Ok(list.send().await?)
    }

    pub(super) fn find_uploads(&self, prefix: &str) -> Result<Vec<UploadInfo>, StoreError> {
        let mut found = Vec::new();
        let mut marker = Some(Marker::default());
        for _ in 0..UPLOAD_PAGES_MAX {
            let Some(from) = marker else { break };
            marker = self.page_of_uploads(prefix, &from, &mut found)?;
            if let Some(next) = marker.as_ref().filter(|next| !next.is_after(&from)) {
                let detail = format!(
                    "the server's list of uploads does not go on after {from}: it goes back to {next}"
                );
                return Err(self.error(Operation::ListUploads, prefix, Failure::new(Kind::Refused, detail)));
            }
        }
        if marker.is_some() {
            let detail = format!(
                "more than {UPLOAD_PAGES_MAX} pages of unfinished uploads: abort them with another tool"
            );
            return Err(self.error(Operation::ListUploads, prefix, Failure::new(Kind::Refused, detail)));
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
            let list = self.client().list_multipart_uploads().bucket(&self.address.bucket);
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
            let list = self.client().list_parts().bucket(&self.address.bucket).key(self.name(key));
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

/// A page after a name has only later ones: else the server ignores where a page is to begin, and a list would never end.
fn later(page: ListPage, start_after: Option<&str>) -> Result<ListPage, Failure> {
    let Some(after) = start_after else { return Ok(page) };
    let objects = page.objects.iter().map(|object| object.key.as_str());
    let Some(back) = objects.chain(page.next.as_deref()).find(|name| *name <= after) else { return Ok(page) };
    let detail = format!(
        "the server's list does not go on after `{after}`: it goes back to `{back}`. It ignores start-after and \
         continuation-token, so no list of it can be trusted and no repository can be kept there"
    );
    Err(Failure::new(Kind::Refused, detail))
}

/// Servers refuse some prefixes, such as `//`, with which no key begins.
fn may_begin_a_key(prefix: &str) -> bool {
    prefix.is_empty() || Key::new(prefix).is_ok() || Key::new(format!("{prefix}x")).is_ok()
}
