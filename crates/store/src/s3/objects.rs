//! Whole objects and ranges of them: put once, get.

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;

use super::S3Store;
use super::checksum::{Crc, Sum};
use super::dialect::Way;
use super::failure::{Failure, Kind, chain};
use crate::error::StoreError;
use crate::key::Key;
use crate::port::{Operation, PutOutcome};
use crate::url::{S3Address, ServerEncryption};

impl S3Store {
    pub(super) fn put_object(&self, key: &Key, body: &Bytes) -> Result<PutOutcome, StoreError> {
        let crc = Crc::of(body);
        let put = self.call(Operation::Put, key.as_str(), async |_| {
            self.dialect.put.send(async |way| self.put_once(key, body, crc, way).await).await
        });
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

    async fn put_once(&self, key: &Key, body: &Bytes, crc: Crc, way: Way) -> Result<(), Failure> {
        let address = &self.address;
        let mut put = self.client().put_object();
        put = put.bucket(&address.bucket).key(self.name(key.as_str())).body(ByteStream::from(body.clone()));
        put = put.set_storage_class(address.storage_class.as_deref().map(Into::into));
        put = put.set_tagging(tagging(address));
        if let Some(encryption) = &address.encryption {
            put = put.server_side_encryption(encryption.name()).set_ssekms_key_id(encryption.key());
        }
        if way.once {
            put = put.if_none_match("*");
        }
        let sum = Sum::of(way.checksum, body, crc);
        put = put.set_checksum_crc64_nvme(sum.crc64()).set_checksum_crc32_c(sum.crc32c());
        let mut put = put.customize();
        if !self.signs_payload() {
            put = put.disable_payload_signing();
        }
        let answer = put.send().await?;
        accepted(answer.e_tag(), answer.checksum_crc64_nvme(), crc)?;
        sum.confirmed(answer.checksum_crc32_c())
    }

    pub(super) fn get_object(&self, key: &Key, len_max: u64) -> Result<Vec<u8>, StoreError> {
        let got = self.request(Operation::Get, key.as_str(), async |_| {
            let mut answer = self.start_get(key.as_str(), None).await?;
            let announced = announced(&answer);
            if let Some(len) = announced.filter(|len| *len > len_max) {
                return Ok(Err(len));
            }
            let mut whole = Vec::with_capacity(usize::try_from(announced.unwrap_or(0)).unwrap_or(0));
            while let Some(bytes) = next(&mut answer).await? {
                let len = whole.len() as u64 + bytes.len() as u64;
                if announced.is_none() && len > len_max {
                    return Ok(Err(len));
                }
                if announced.is_some_and(|announced| len > announced) {
                    return Err(Failure::new(Kind::Broken, "more bytes than announced"));
                }
                whole.extend_from_slice(&bytes);
            }
            // Who sends in chunks says himself where they end.
            complete(whole.len() as u64, announced.unwrap_or(whole.len() as u64))?;
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
            let announced = range_length(&answer, offset, wanted)?;
            let mut filled = 0;
            while let Some(bytes) = next(&mut answer).await? {
                let place = out.get_mut(filled..filled + bytes.len());
                let place = place.ok_or_else(|| Failure::new(Kind::Broken, "more bytes than asked for"))?;
                place.copy_from_slice(&bytes);
                filled += bytes.len();
            }
            let filled = filled as u64;
            complete(filled, announced.unwrap_or(filled))?;
            Ok(filled)
        });
        match got {
            Ok(got) if got == wanted => Ok(()),
            Ok(got) => Err(short(got)),
            Err(Failure { kind: Kind::Range, .. }) => Err(short(0)),
            Err(failure) => Err(self.error(Operation::GetRange, key.as_str(), failure)),
        }
    }

    pub(super) async fn start_get(&self, key: &str, range: Option<&str>) -> Result<GetObjectOutput, Failure> {
        let get = self.client().get_object().bucket(&self.address.bucket).key(self.name(key));
        let answer = get.set_range(range.map(Into::into)).send().await?;
        // Every object has one: an answer without it is some other server's page.
        if answer.e_tag().is_none() {
            return Err(Failure::new(Kind::Broken, "an answer without an ETag, which is no object"));
        }
        Ok(answer)
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

/// The length of the answer, if it says one; the SDK takes the answer of chunks for one without.
fn announced(answer: &GetObjectOutput) -> Option<u64> {
    answer.content_length().and_then(|len| u64::try_from(len).ok())
}

fn complete(got: u64, len: u64) -> Result<(), Failure> {
    if got == len {
        return Ok(());
    }
    Err(Failure::new(Kind::Unreachable, format!("the answer broke off after {got} of {len} bytes")))
}

/// How many of the bytes asked for the answer says it holds, if it says so; an error if it holds others.
fn range_length(answer: &GetObjectOutput, offset: u64, wanted: u64) -> Result<Option<u64>, Failure> {
    let range = answer.content_range().map(|range| range_of(range).unwrap_or((u64::MAX, 0)));
    let len = announced(answer).or(range.map(|(_, len)| len));
    let starts = range.map_or(0, |(start, _)| start) == offset;
    if starts && len.is_none_or(|len| len <= wanted) {
        return Ok(len);
    }
    let text = answer.content_range().unwrap_or("no range");
    // A line that changes bytes may do this once; a server without ranges does it always.
    Err(Failure::new(
        Kind::Garbled,
        format!("{wanted} bytes at {offset} were asked for, the answer has {len:?} ({text})"),
    ))
}

/// The first byte and the length of `bytes first-last/total`.
fn range_of(range: &str) -> Option<(u64, u64)> {
    let (first, rest) = range.strip_prefix("bytes ")?.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, rest.split('/').next()?.parse().ok()?);
    Some((first, last.checked_sub(first)?.checked_add(1)?))
}
