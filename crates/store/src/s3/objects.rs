//! Whole objects and ranges of them: put once, get, delete.

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use bytes::Bytes;

use super::S3Store;
use super::checksum::Crc;
use super::failure::{Failure, Kind, chain};
use crate::checks;
use crate::error::StoreError;
use crate::key::Key;
use crate::port::{Operation, PutOutcome};
use crate::url::{S3Address, ServerEncryption};

impl S3Store {
    pub(super) fn put_object(&self, key: &Key, body: &Bytes) -> Result<PutOutcome, StoreError> {
        let crc = Crc::of(body);
        let put = self.call(Operation::Put, key.as_str(), async |_| self.put_once(key, body, crc).await);
        match put {
            Ok(()) => Ok(PutOutcome::Stored),
            // Also when an earlier try was done and its answer lost.
            Err(Failure { kind: Kind::Precondition, .. }) => match self.holds(key, body.len() as u64, crc)? {
                true => Ok(PutOutcome::AlreadyThere),
                false => Err(StoreError::Exists { key: key.to_string() }),
            },
            Err(failure) => Err(self.error(Operation::Put, key.as_str(), failure)),
        }
    }

    async fn put_once(&self, key: &Key, body: &Bytes, crc: Crc) -> Result<(), Failure> {
        let address = &self.address;
        let mut put = self.connected.client.put_object();
        put = put.bucket(&address.bucket).key(self.name(key.as_str())).body(ByteStream::from(body.clone()));
        put = put.set_storage_class(address.storage_class.as_deref().map(Into::into));
        put = put.set_tagging(tagging(address));
        if let Some(encryption) = &address.encryption {
            put = put.server_side_encryption(encryption.name()).set_ssekms_key_id(encryption.key());
        }
        if address.conditional_put {
            put = put.if_none_match("*");
        }
        if address.checksum {
            put = put.checksum_crc64_nvme(crc.to_base64());
        }
        let mut put = put.customize();
        if !self.signs_payload() {
            put = put.disable_payload_signing();
        }
        let answer = put.send().await?;
        accepted(answer.e_tag(), answer.checksum_crc64_nvme(), crc)
    }

    pub(super) fn get_object(&self, key: &Key, len_max: u64) -> Result<Vec<u8>, StoreError> {
        let got = self.request(Operation::Get, key.as_str(), async |_| {
            let mut answer = self.start_get(key.as_str(), None).await?;
            let len = length(&answer)?;
            if len > len_max {
                return Ok(Err(len));
            }
            let mut whole = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
            while let Some(bytes) = next(&mut answer).await? {
                if whole.len() as u64 + bytes.len() as u64 > len {
                    return Err(Failure::new(Kind::Broken, format!("more than the {len} bytes announced")));
                }
                whole.extend_from_slice(&bytes);
            }
            complete(whole.len() as u64, len)?;
            Ok(Ok(whole))
        })?;
        got.map_err(|len| StoreError::TooLarge { key: key.to_string(), len, len_max })
    }

    pub(super) fn get_object_range(&self, key: &Key, offset: u64, out: &mut [u8]) -> Result<(), StoreError> {
        let wanted = out.len() as u64;
        let short = |got| StoreError::Short { key: key.to_string(), offset, wanted, got };
        let Some(last) = wanted.checked_sub(1).and_then(|len| offset.checked_add(len)) else {
            // No range can be written down; what can still be said is whether the object is there.
            self.head_object(key)?;
            return if wanted == 0 { Ok(()) } else { Err(short(0)) };
        };
        let range = format!("bytes={offset}-{last}");
        let got = self.call(Operation::GetRange, key.as_str(), async |_| {
            let mut answer = self.start_get(key.as_str(), Some(&range)).await?;
            let len = range_length(&answer, offset, wanted)?;
            let mut filled = 0;
            while let Some(bytes) = next(&mut answer).await? {
                let place = out.get_mut(filled..filled + bytes.len());
                let place = place.ok_or_else(|| Failure::new(Kind::Broken, "more bytes than asked for"))?;
                place.copy_from_slice(&bytes);
                filled += bytes.len();
            }
            complete(filled as u64, len)?;
            Ok(len)
        });
        match got {
            Ok(got) if got == wanted => Ok(()),
            Ok(got) => Err(short(got)),
            Err(Failure { kind: Kind::Range, .. }) => Err(short(0)),
            Err(failure) => Err(self.error(Operation::GetRange, key.as_str(), failure)),
        }
    }

    pub(super) async fn start_get(&self, key: &str, range: Option<&str>) -> Result<GetObjectOutput, Failure> {
        let get = self.connected.client.get_object().bucket(&self.address.bucket).key(self.name(key));
        let answer = get.set_range(range.map(Into::into)).send().await?;
        // Every object has one: an answer without it is some other server's page.
        if answer.e_tag().is_none() {
            return Err(Failure::new(Kind::Broken, "an answer without an ETag, which is no object"));
        }
        Ok(answer)
    }

    pub(super) fn delete_objects(&self, keys: &[Key]) -> Result<(), StoreError> {
        checks::delete(keys)?;
        let Some(first) = keys.first() else { return Ok(()) };
        let mut names: Vec<_> = keys.iter().map(|key| self.name(key.as_str())).collect();
        names.sort();
        names.dedup();
        self.request(Operation::Delete, first.as_str(), async |_| {
            let objects = names.iter().map(|name| ObjectIdentifier::builder().key(name).build());
            let objects = objects.collect::<Result<Vec<_>, _>>().map_err(|error| bug(&error))?;
            let delete = Delete::builder().set_objects(Some(objects)).quiet(true).build();
            let delete = delete.map_err(|error| bug(&error))?;
            let request = self.connected.client.delete_objects().bucket(&self.address.bucket);
            let answer = request.delete(delete).send().await?;
            for error in answer.errors() {
                let failure = Failure::answer(
                    200,
                    error.code().unwrap_or_default(),
                    error.message().unwrap_or_default(),
                    "",
                );
                if failure.kind != Kind::NotFound {
                    return Err(failure);
                }
            }
            Ok(())
        })
    }
}

impl ServerEncryption {
    pub(super) fn name(&self) -> aws_sdk_s3::types::ServerSideEncryption {
        match self {
            ServerEncryption::S3 => aws_sdk_s3::types::ServerSideEncryption::Aes256,
            ServerEncryption::Kms(_) => aws_sdk_s3::types::ServerSideEncryption::AwsKms,
        }
    }

    pub(super) fn key(&self) -> Option<String> {
        match self {
            ServerEncryption::Kms(key) => key.clone(),
            ServerEncryption::S3 => None,
        }
    }
}

/// The tags of every object, as a query string.
pub(super) fn tagging(address: &S3Address) -> Option<String> {
    let mut text = url::form_urlencoded::Serializer::new(String::new());
    text.extend_pairs(&address.tags);
    Some(text.finish()).filter(|text| !text.is_empty())
}

/// A success has an ETag, and where the server tells its checksum, it is ours.
pub(super) fn accepted(e_tag: Option<&str>, checksum: Option<&str>, crc: Crc) -> Result<(), Failure> {
    if e_tag.is_none() {
        return Err(Failure::new(Kind::Broken, "a success without an ETag, which is none"));
    }
    if !crc.agrees_with(checksum) {
        return Err(Failure::new(Kind::Garbled, "the server stored bytes with another checksum"));
    }
    Ok(())
}

pub(super) async fn next(answer: &mut GetObjectOutput) -> Result<Option<Bytes>, Failure> {
    let broke = |error: &(dyn std::error::Error + 'static)| {
        Failure::new(Kind::Unreachable, format!("the answer broke off: {}", chain(error)))
    };
    answer.body.next().await.transpose().map_err(|error| broke(&error))
}

fn length(answer: &GetObjectOutput) -> Result<u64, Failure> {
    let len = answer.content_length().and_then(|len| u64::try_from(len).ok());
    len.ok_or_else(|| Failure::new(Kind::Broken, "an answer without its length"))
}

fn complete(got: u64, len: u64) -> Result<(), Failure> {
    if got == len {
        return Ok(());
    }
    Err(Failure::new(Kind::Unreachable, format!("the answer broke off after {got} of {len} bytes")))
}

/// How many of the bytes asked for the answer holds; an error if it holds others.
fn range_length(answer: &GetObjectOutput, offset: u64, wanted: u64) -> Result<u64, Failure> {
    let len = length(answer)?;
    let starts = match answer.content_range() {
        Some(range) => range_start(range) == Some(offset),
        None => offset == 0,
    };
    if starts && len <= wanted {
        return Ok(len);
    }
    let range = answer.content_range().unwrap_or("no range");
    Err(Failure::new(
        Kind::Broken,
        format!("{wanted} bytes at {offset} were asked for, the answer has {len} ({range})"),
    ))
}

/// The first byte of `bytes first-last/total`.
fn range_start(range: &str) -> Option<u64> {
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

fn bug(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::new(Kind::Refused, chain(error))
}
