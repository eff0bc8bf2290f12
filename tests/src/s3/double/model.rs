//! What the double holds, and what AWS allows with it. Pure apart from its lock: bytes in, outcomes out, no HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use s3s::crypto::{Checksum, Crc32c, Crc64Nvme, Md5};

/// AWS: the least length of a part that is not the last.
const PART_LEN_MIN: usize = 5 << 20;

/// An object.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) body: Bytes,
    pub(super) modified: SystemTime,
    pub(super) e_tag: String,
    pub(super) crc: String,
}

/// An upload in parts.
#[derive(Debug, Clone)]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) started: SystemTime,
    pub(super) parts: BTreeMap<i32, Bytes>,
}

/// A part as a client names it when it completes an upload.
#[derive(Debug, Clone)]
pub(super) struct NamedPart {
    pub(super) number: i32,
    pub(super) e_tag: String,
    pub(super) crc: Option<String>,
}

/// Why AWS would say no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    BadDigest,
    EntityTooSmall,
    InvalidPart,
    InvalidPartOrder,
    MalformedParts,
    NoSuchKey,
    NoSuchUpload,
    Precondition,
}

#[derive(Debug, Default)]
pub(super) struct Model(Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    objects: BTreeMap<String, Object>,
    uploads: BTreeMap<String, Upload>,
    uploads_begun: u64,
    /// All names there ever were.
    used: BTreeSet<String>,
}

/// CRC-64/NVME as S3 writes it.
pub(super) fn crc(body: &[u8]) -> String {
    BASE64.encode(&Crc64Nvme::checksum(body))
}

/// MD5 as S3's entity tags show it.
pub(super) fn e_tag(body: &[u8]) -> String {
    HEXLOWER.encode(Md5::checksum(body).as_ref())
}

/// Whether the checksum that a client sent is right.
pub(super) fn check_crc(body: &[u8], sent: Option<&str>) -> Result<String, Refusal> {
    let found = crc(body);
    if sent.is_none_or(|sent| sent == found) { Ok(found) } else { Err(Refusal::BadDigest) }
}

/// The same for CRC-32C.
pub(super) fn check_crc32c(body: &[u8], sent: Option<&str>) -> Result<Option<String>, Refusal> {
    let found = BASE64.encode(&Crc32c::checksum(body));
    match sent {
        None => Ok(None),
        Some(sent) if sent == found => Ok(Some(found)),
        Some(_) => Err(Refusal::BadDigest),
    }
}

impl Model {
    /// Whether there ever was such an object.
    pub(super) fn was_used(&self, key: &str) -> bool {
        self.lock().used.contains(key)
    }

    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn put(
        &self,
        key: &str,
        body: Bytes,
        sent_crc: Option<&str>,
        once: bool,
    ) -> Result<Object, Refusal> {
        let (crc, e_tag) = (check_crc(&body, sent_crc)?, e_tag(&body));
        self.lock().insert(key, Object { body, modified: SystemTime::now(), e_tag, crc }, once)
    }

    pub(super) fn get(&self, key: &str) -> Result<Object, Refusal> {
        self.lock().objects.get(key).cloned().ok_or(Refusal::NoSuchKey)
    }

    pub(super) fn delete(&self, key: &str) {
        self.lock().objects.remove(key);
    }

    /// At most `max` objects after `after`, and whether there are more.
    pub(super) fn list(&self, prefix: &str, after: &str, max: usize) -> (Vec<(String, Object)>, bool) {
        let from = if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) };
        let content = self.lock();
        let mut found: Vec<_> = content
            .objects
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(max + 1)
            .map(|(key, object)| (key.clone(), object.clone()))
            .collect();
        let more = found.len() > max;
        found.truncate(max);
        (found, more)
    }

    pub(super) fn start_upload(&self, key: &str) -> String {
        let mut content = self.lock();
        content.uploads_begun += 1;
        let id = format!("upload-{:08}", content.uploads_begun);
        let upload = Upload { key: key.to_owned(), started: SystemTime::now(), parts: BTreeMap::new() };
        content.uploads.insert(id.clone(), upload);
        id
    }

    pub(super) fn put_part(&self, key: &str, id: &str, number: i32, body: Bytes) -> Result<(), Refusal> {
        self.lock().upload(key, id)?.parts.insert(number, body);
        Ok(())
    }

    pub(super) fn upload(&self, key: &str, id: &str) -> Result<Upload, Refusal> {
        self.lock().upload(key, id).cloned()
    }

    /// Uploads of keys with `prefix` behind the marker, in the order of S3: by key, then by id.
    pub(super) fn uploads(&self, prefix: &str, after: (&str, &str)) -> Vec<(String, Upload)> {
        let content = self.lock();
        let mut found: Vec<_> = content
            .uploads
            .iter()
            .filter(|(id, upload)| {
                upload.key.starts_with(prefix) && (upload.key.as_str(), id.as_str()) > after
            })
            .map(|(id, upload)| (id.clone(), upload.clone()))
            .collect();
        found.sort_by(|a, b| (&a.1.key, &a.0).cmp(&(&b.1.key, &b.0)));
        found
    }

    pub(super) fn complete(
        &self,
        key: &str,
        id: &str,
        named: &[NamedPart],
        sent_crc: Option<&str>,
        once: bool,
    ) -> Result<Object, Refusal> {
        let mut content = self.lock();
        let body = content.upload(key, id)?.join(named)?;
        let crc = check_crc(&body, sent_crc)?;
        let e_tag = format!("{}-{}", e_tag(&body), named.len());
        let object = Object { body, modified: SystemTime::now(), e_tag, crc };
        let object = content.insert(key, object, once)?;
        content.uploads.remove(id);
        Ok(object)
    }

    pub(super) fn abort(&self, key: &str, id: &str) -> Result<(), Refusal> {
        let mut content = self.lock();
        content.upload(key, id)?;
        content.uploads.remove(id);
        Ok(())
    }
}

impl Content {
    fn insert(&mut self, key: &str, object: Object, once: bool) -> Result<Object, Refusal> {
        if once && self.objects.contains_key(key) {
            return Err(Refusal::Precondition);
        }
        self.objects.insert(key.to_owned(), object.clone());
        self.used.insert(key.to_owned());
        Ok(object)
    }

    fn upload(&mut self, key: &str, id: &str) -> Result<&mut Upload, Refusal> {
        self.uploads.get_mut(id).filter(|upload| upload.key == key).ok_or(Refusal::NoSuchUpload)
    }
}

impl Upload {
    fn join(&self, named: &[NamedPart]) -> Result<Bytes, Refusal> {
        if named.is_empty() {
            return Err(Refusal::MalformedParts);
        }
        if named.windows(2).any(|pair| pair[0].number >= pair[1].number) {
            return Err(Refusal::InvalidPartOrder);
        }
        let mut whole = Vec::new();
        for (index, part) in named.iter().enumerate() {
            let body = self.parts.get(&part.number).ok_or(Refusal::InvalidPart)?;
            if e_tag(body) != part.e_tag {
                return Err(Refusal::InvalidPart);
            }
            check_crc(body, part.crc.as_deref()).map_err(|_| Refusal::InvalidPart)?;
            if index + 1 < named.len() && body.len() < PART_LEN_MIN {
                return Err(Refusal::EntityTooSmall);
            }
            whole.extend_from_slice(body);
        }
        Ok(whole.into())
    }
}
