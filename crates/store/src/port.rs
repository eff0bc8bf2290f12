//! The port: what Coffer asks of any object store, with the rules that every adapter keeps.
//!
//! Objects are write-once and appear whole or not at all. Nothing here may promise what S3 cannot give.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use crate::counts::RequestCounts;
use crate::error::StoreError;
use crate::key::Key;
pub use crate::operation::Operation;

/// The most keys of one page of [`ObjectStore::list`], and of one [`ObjectStore::delete`].
pub const PAGE_LEN_MAX: usize = 1_000;
/// The highest number of a part: S3's limit.
pub const PART_NUMBER_MAX: u32 = 10_000;

/// A store of named, immutable objects. Calls block; any number of threads may call at once.
///
/// Whoever gets an error from a request that changes something does not know whether it took effect. Every such
/// request may be repeated with the same arguments.
///
/// Keys of which one is a directory of another (`a` and `a/b`) are not used by Coffer, and a store may refuse them with
/// [`StoreError::InvalidKey`].
pub trait ObjectStore: Send + Sync {
    /// Stores `body` under `key`, which must not exist. Durable when it returns.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if `key` holds other bytes; the same bytes are a success, as the answer to an earlier try
    /// may have been lost.
    fn put(&self, key: &Key, body: Bytes) -> Result<PutOutcome, StoreError>;

    /// Begins an upload of `key` in parts, of which all but the last have exactly `part_len` bytes (S3: 5 MiB at least).
    ///
    /// Whether `key` is free shows at [`ObjectStore::complete_upload`].
    fn start_upload(&self, key: &Key, part_len: u64) -> Result<UploadId, StoreError>;

    /// Stores part `number`, counted from 1 to 10,000. Parts may come in any order and from several threads.
    ///
    /// A part that is stored again must have the same bytes. Parts are not durable until the upload is complete, and
    /// are taken only by the store value that began the upload.
    fn put_part(&self, upload: &UploadId, number: u32, body: Bytes) -> Result<PartTag, StoreError>;

    /// Makes the object of all `parts`, ascending and without gaps. It appears atomically and is durable on return.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if the key holds other bytes. [`StoreError::NoSuchUpload`] also when an earlier try
    /// succeeded and its answer was lost: look whether the object is there, as names are never used twice.
    fn complete_upload(&self, upload: &UploadId, parts: &[PartTag]) -> Result<(), StoreError>;

    /// Gives an upload up and frees its space. An upload that is gone is fine.
    fn abort_upload(&self, upload: &UploadId) -> Result<(), StoreError>;

    /// The unfinished uploads, of any process, whose key starts with `prefix`.
    fn list_uploads(&self, prefix: &str) -> Result<Vec<UploadInfo>, StoreError>;

    /// A whole small object of at most `len_max` bytes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::TooLarge`].
    fn get(&self, key: &Key, len_max: u64) -> Result<Vec<u8>, StoreError>;

    /// Fills `out` from byte `offset` of the object.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Short`] if the object ends first, and `out` then holds anything.
    fn get_range(&self, key: &Key, offset: u64, out: &mut [u8]) -> Result<(), StoreError>;

    /// The length and time of an object.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    fn head(&self, key: &Key) -> Result<ObjectInfo, StoreError>;

    /// The next at most `max` (1 to 1,000) objects after the key `start_after` whose key starts with `prefix`, in byte
    /// order of their keys. Objects whose names are no [`Key`] are not shown.
    ///
    /// A list may tell what is there, and never that something is absent.
    fn list(&self, prefix: &str, start_after: Option<&str>, max: usize) -> Result<ListPage, StoreError>;

    /// Deletes up to 1,000 objects, in any order. An absent one is fine. Durable when it returns: what the caller
    /// deletes next cannot vanish before these. After an error, any of them may be gone.
    fn delete(&self, keys: &[Key]) -> Result<(), StoreError>;

    /// The store's own clock, which is not ours.
    fn now(&self) -> Result<SystemTime, StoreError>;

    /// Frees a little space that the store keeps so that a full one can be pruned. Whether there was any.
    fn give_up_reserve(&self) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Keeps that space free again, or as much of it as there is. Nothing to do for a store that keeps none.
    fn restore_reserve(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// The requests made through this value so far.
    fn requests(&self) -> RequestCounts;

    /// The store's address for people, without secrets.
    fn describe(&self) -> String;

    /// What kind of requests serve it best. A hint: any others work too.
    fn shape(&self) -> RequestShape {
        RequestShape::default()
    }

    /// The name of the checksum that the store keeps with the object, if it keeps and tells one.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    fn checksum_kept(&self, key: &Key) -> Result<Option<&'static str>, StoreError> {
        self.head(key).map(|_| None)
    }

    /// What this value found out about its server and made allowance for, one sentence each with the setting that saves finding it out
    /// again. For people.
    fn findings(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether `key` exists: one [`ObjectStore::head`].
    fn exists(&self, key: &Key) -> Result<bool, StoreError> {
        match self.head(key) {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// All objects whose key starts with `prefix`, page by page, in byte order.
pub fn list_all(store: &(impl ObjectStore + ?Sized), prefix: &str) -> Result<Vec<ObjectInfo>, StoreError> {
    let mut objects = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = store.list(prefix, after.as_deref(), PAGE_LEN_MAX)?;
        objects.extend(page.objects);
        match page.next {
            None => return Ok(objects),
            Some(next) if after.as_ref() >= Some(&next) => {
                let what = format!("the store's page after {after:?} ends at `{next}`, which is not later");
                return Err(StoreError::from_io(Operation::List, prefix, io::Error::other(what)));
            }
            next => after = next,
        }
    }
}

/// What kind of requests serve a store best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestShape {
    /// Requests at once.
    pub at_once: usize,
    /// Length of a part, bytes.
    pub part_bytes: u64,
    /// Longest range read at once, bytes.
    pub range_bytes: u64,
}

impl Default for RequestShape {
    /// As a local disk likes it: it is near, and buffers in flight win nothing.
    fn default() -> Self {
        RequestShape { at_once: 4, part_bytes: 2 << 20, range_bytes: 8 << 20 }
    }
}

/// What a successful put found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOutcome {
    /// The object is new.
    Stored,
    /// The object was there with the same bytes.
    AlreadyThere,
}

/// An upload in parts, as the store names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UploadId {
    /// The object it will become.
    pub key: Key,
    /// The store's name for it, opaque to callers.
    pub id: String,
}

/// The store's receipt for a part.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PartTag {
    /// The part's number, from 1.
    pub number: u32,
    /// Its length in bytes.
    pub len: u64,
    /// The store's mark of its content, opaque to callers.
    pub tag: String,
}

/// An unfinished upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadInfo {
    /// Its id, for [`ObjectStore::abort_upload`].
    pub upload: UploadId,
    /// When it began, by the store's clock.
    pub started: SystemTime,
    /// About how many bytes it holds.
    pub bytes: u64,
}

/// An object as a store lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    /// Its name.
    pub key: Key,
    /// Its length in bytes.
    pub len: u64,
    /// When it was written, by the store's clock, in whole seconds on S3; `None` where the store does not tell. Who judges an
    /// object's age takes one without a time for new.
    pub modified: Option<SystemTime>,
}

/// One page of a listing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListPage {
    /// The objects, in byte order of their keys.
    pub objects: Vec<ObjectInfo>,
    /// The `start_after` of the next page; none if this was the last.
    pub next: Option<String>,
}

/// Shares a store: every call goes to the one behind the pointer.
impl<S: ObjectStore + ?Sized> ObjectStore for Arc<S> {
    fn put(&self, key: &Key, body: Bytes) -> Result<PutOutcome, StoreError> {
        (**self).put(key, body)
    }

    fn start_upload(&self, key: &Key, part_len: u64) -> Result<UploadId, StoreError> {
        (**self).start_upload(key, part_len)
    }

    fn put_part(&self, upload: &UploadId, number: u32, body: Bytes) -> Result<PartTag, StoreError> {
        (**self).put_part(upload, number, body)
    }

    fn complete_upload(&self, upload: &UploadId, parts: &[PartTag]) -> Result<(), StoreError> {
        (**self).complete_upload(upload, parts)
    }

    fn abort_upload(&self, upload: &UploadId) -> Result<(), StoreError> {
        (**self).abort_upload(upload)
    }

    fn list_uploads(&self, prefix: &str) -> Result<Vec<UploadInfo>, StoreError> {
        (**self).list_uploads(prefix)
    }

    fn get(&self, key: &Key, len_max: u64) -> Result<Vec<u8>, StoreError> {
        (**self).get(key, len_max)
    }

    fn get_range(&self, key: &Key, offset: u64, out: &mut [u8]) -> Result<(), StoreError> {
        (**self).get_range(key, offset, out)
    }

    fn head(&self, key: &Key) -> Result<ObjectInfo, StoreError> {
        (**self).head(key)
    }

    fn list(&self, prefix: &str, start_after: Option<&str>, max: usize) -> Result<ListPage, StoreError> {
        (**self).list(prefix, start_after, max)
    }

    fn delete(&self, keys: &[Key]) -> Result<(), StoreError> {
        (**self).delete(keys)
    }

    fn now(&self) -> Result<SystemTime, StoreError> {
        (**self).now()
    }

    fn give_up_reserve(&self) -> Result<bool, StoreError> {
        (**self).give_up_reserve()
    }

    fn restore_reserve(&self) -> Result<(), StoreError> {
        (**self).restore_reserve()
    }

    fn requests(&self) -> RequestCounts {
        (**self).requests()
    }

    fn describe(&self) -> String {
        (**self).describe()
    }

    fn shape(&self) -> RequestShape {
        (**self).shape()
    }

    fn checksum_kept(&self, key: &Key) -> Result<Option<&'static str>, StoreError> {
        (**self).checksum_kept(key)
    }

    fn findings(&self) -> Vec<String> {
        (**self).findings()
    }

    fn exists(&self, key: &Key) -> Result<bool, StoreError> {
        (**self).exists(key)
    }
}
