//! Looking objects up: whether they are there, how long they are, and what time it is at the server.
//!
//! That something is absent decides about data, so it is believed only where S3 itself says it: an answer to HEAD has no body, and any
//! gateway can say 404.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::ChecksumMode;

use super::S3Store;
use super::checksum::{Crc, Running};
use super::failure::{Failure, Kind};
use super::objects::next;
use crate::error::StoreError;
use crate::key::Key;
use crate::port::{ObjectInfo, Operation};
use crate::url::Checksum;

/// What is looked up to hear the server's clock; it need not exist.
const CLOCK_KEY: &str = "coffer.json";

impl S3Store {
    /// One HEAD. It cannot say why it fails, so where that matters a GET asks for the words.
    async fn look_up(&self, key: &str, checksum: bool) -> Result<HeadObjectOutput, Failure> {
        let head = self.client().head_object().bucket(&self.address.bucket).key(self.name(key));
        let head = head.set_checksum_mode(checksum.then_some(ChecksumMode::Enabled));
        let failure = match head.send().await.map_err(Failure::from) {
            Err(failure)
                if matches!(
                    failure.kind,
                    Kind::NotOurs404 | Kind::NotS3 | Kind::Denied | Kind::Refused | Kind::OtherRegion
                ) =>
            {
                failure
            }
            answer => return answer,
        };
        match self.start_get(key, Some("bytes=0-0")).await {
            Err(said) if said.kind != Kind::Range => Err(said),
            _ if failure.kind == Kind::NotOurs404 => {
                Err(Failure::new(Kind::Broken, "an object that HEAD does not find and GET does"))
            }
            _ => Err(failure),
        }
    }

    /// Whether `key` holds an object of this length and checksum.
    pub(super) fn holds(&self, key: &Key, len: u64, crc: Crc) -> Result<bool, StoreError> {
        let found =
            self.call(Operation::Head, key.as_str(), async |_| self.look_up(key.as_str(), true).await);
        let found = match found {
            Ok(found) => found,
            Err(Failure { kind: Kind::NotFound, .. }) => return Ok(false),
            Err(failure) => return Err(self.error(Operation::Head, key.as_str(), failure)),
        };
        let length = found.content_length().and_then(|len| u64::try_from(len).ok());
        if length.is_some_and(|length| length != len) {
            return Ok(false);
        }
        match found.checksum_crc64_nvme() {
            Some(text) => Ok(crc.agrees_with(Some(text))),
            None => Ok(self.crc_of_stored(key)? == crc),
        }
    }

    /// Which of the checksums that Coffer can send the server keeps with an object.
    pub(super) fn find_checksum(&self, key: &Key) -> Result<Option<&'static str>, StoreError> {
        self.request(Operation::Head, key.as_str(), async |_| {
            let found = self.look_up(key.as_str(), true).await?;
            let crc32c = found.checksum_crc32_c().map(|_| Checksum::Crc32c.name());
            Ok(found.checksum_crc64_nvme().map(|_| Checksum::Crc64Nvme.name()).or(crc32c))
        })
    }

    /// Reads an object for its checksum: the way out where the server keeps none.
    fn crc_of_stored(&self, key: &Key) -> Result<Crc, StoreError> {
        self.request(Operation::Get, key.as_str(), async |_| {
            let mut answer = self.start_get(key.as_str(), None).await?;
            let mut running = Running::new();
            while let Some(bytes) = next(&mut answer).await? {
                running.add(&bytes);
            }
            Ok(running.crc())
        })
    }

    pub(super) fn head_object(&self, key: &Key) -> Result<ObjectInfo, StoreError> {
        self.request(Operation::Head, key.as_str(), async |_| {
            let found = self.look_up_object(key).await?;
            let len = match found.content_length().and_then(|len| u64::try_from(len).ok()) {
                Some(len) => len,
                None => self.length_by_get(key).await?,
            };
            Ok(ObjectInfo { key: key.clone(), len, modified: whole_seconds(found.last_modified()) })
        })
    }

    /// That it exists needs no length.
    pub(super) fn object_exists(&self, key: &Key) -> Result<bool, StoreError> {
        let found = self.call(Operation::Head, key.as_str(), async |_| self.look_up_object(key).await);
        match found {
            Ok(_) => Ok(true),
            Err(Failure { kind: Kind::NotFound, .. }) => Ok(false),
            Err(failure) => Err(self.error(Operation::Head, key.as_str(), failure)),
        }
    }

    async fn look_up_object(&self, key: &Key) -> Result<HeadObjectOutput, Failure> {
        let found = self.look_up(key.as_str(), false).await?;
        match found.e_tag() {
            Some(_) => Ok(found),
            None => Err(Failure::new(Kind::Broken, "an answer without an ETag, which is no object")),
        }
    }

    /// For servers, and proxies before them, that leave the length out of their answers to HEAD.
    async fn length_by_get(&self, key: &Key) -> Result<u64, Failure> {
        let unknown = || Failure::new(Kind::Garbled, "answers to HEAD and GET that tell no length");
        match self.start_get(key.as_str(), Some("bytes=0-0")).await {
            Ok(answer) => {
                let total = answer.content_range().and_then(|range| range.rsplit_once('/')?.1.parse().ok());
                total.ok_or_else(unknown)
            }
            Err(Failure { kind: Kind::Range, .. }) => Ok(0),
            Err(failure) => Err(failure),
        }
    }

    /// Any answer tells the time, also that there is no repository yet.
    pub(super) fn server_time(&self) -> Result<SystemTime, StoreError> {
        self.request(Operation::Now, CLOCK_KEY, async |_| {
            match self.look_up(CLOCK_KEY, false).await {
                Ok(_) | Err(Failure { kind: Kind::NotFound | Kind::Denied, .. }) => {}
                Err(failure) => return Err(failure),
            }
            self.connected
                .http
                .server_time()
                .ok_or_else(|| Failure::new(Kind::Refused, "an answer without a date"))
        })
    }
}

/// The server's times in whole seconds: listings tell milliseconds where look-ups do not.
pub(super) fn whole_seconds(time: Option<&DateTime>) -> Option<SystemTime> {
    let seconds = u64::try_from(time?.secs()).ok()?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}
