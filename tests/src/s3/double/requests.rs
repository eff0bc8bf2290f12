//! The double's requests: what S3 calls things, translated to the model. Decides nothing itself.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt;
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumType, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput,
    DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, ETag, ETagCondition,
    GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, ListMultipartUploadsInput,
    ListMultipartUploadsOutput, ListObjectsV2Input, ListObjectsV2Output, ListPartsInput, ListPartsOutput,
    MultipartUpload, Object as ListedObject, Part, PutObjectInput, PutObjectOutput, StreamingBlob,
    UploadPartInput, UploadPartOutput,
};
use s3s::{Body, S3, S3Error, S3Request, S3Response, S3Result, s3_error};

use super::model::{NamedPart, Refusal, check_crc, check_crc32c, e_tag};
use super::parts::{BUCKET, Lack, State};

pub(super) struct Requests(pub(super) Arc<State>);

const PAGE_LEN_MAX: i32 = 1_000;
/// What [`Lack::LongBodies`] takes, bytes.
const LONG: usize = 8 << 20;

#[async_trait::async_trait]
impl S3 for Requests {
    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let input = request.input;
        known(&input.bucket)?;
        let once = self.once(&input.key, input.if_none_match.as_ref())?;
        self.knows_checksums(input.checksum_crc64nvme.is_some(), input.checksum_crc32c.is_some())?;
        let body = self.whole(input.body).await?;
        let crc32c = check_crc32c(&body, input.checksum_crc32c.as_deref())?;
        let object = self.0.model.put(&input.key, body, input.checksum_crc64nvme.as_deref(), once)?;
        Ok(S3Response::new(PutObjectOutput {
            e_tag: Some(ETag::Strong(object.e_tag)),
            checksum_crc64nvme: self.tells_crc64().then_some(object.crc),
            checksum_crc32c: crc32c,
            ..PutObjectOutput::default()
        }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let input = request.input;
        known(&input.bucket)?;
        let object = self.0.model.get(&input.key)?;
        let len = object.body.len();
        let range = match &input.range {
            None => None,
            Some(range) => Some(range.check(len as u64).map_err(|_| s3_error!(InvalidRange))?),
        };
        let content_range =
            range.as_ref().map(|range| format!("bytes {}-{}/{len}", range.start, range.end - 1));
        let body = match &range {
            None => object.body,
            Some(range) => object.body.slice(index(range.start)..index(range.end)),
        };
        Ok(S3Response::new(GetObjectOutput {
            content_length: Some(length(body.len())),
            content_range,
            body: Some(StreamingBlob::from(Body::from(body))),
            e_tag: Some(ETag::Strong(object.e_tag)),
            last_modified: Some(object.modified.into()),
            ..GetObjectOutput::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let input = request.input;
        known(&input.bucket)?;
        let object = self.0.model.get(&input.key)?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(length(object.body.len())),
            e_tag: Some(ETag::Strong(object.e_tag)),
            last_modified: Some(object.modified.into()),
            checksum_crc64nvme: (input.checksum_mode.is_some() && self.tells_crc64()).then_some(object.crc),
            ..HeadObjectOutput::default()
        }))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let input = request.input;
        known(&input.bucket)?;
        let max = input.max_keys.unwrap_or(PAGE_LEN_MAX).clamp(0, PAGE_LEN_MAX);
        let after = input.continuation_token.or(input.start_after).unwrap_or_default();
        let after = if self.0.lacks(Lack::StartAfter) { String::new() } else { after };
        let (found, more) = self.0.model.list(&input.prefix.unwrap_or_default(), &after, index(max as u64));
        let token = found.last().filter(|_| more).map(|(key, _)| key.clone());
        let listed = found.into_iter().map(|(key, object)| ListedObject {
            key: Some(key),
            size: Some(length(object.body.len())),
            e_tag: Some(ETag::Strong(object.e_tag)),
            last_modified: Some(object.modified.into()),
            ..ListedObject::default()
        });
        Ok(S3Response::new(ListObjectsV2Output {
            contents: Some(listed.collect()),
            is_truncated: Some(more),
            next_continuation_token: token,
            max_keys: Some(max),
            ..ListObjectsV2Output::default()
        }))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        if self.0.lacks(Lack::DeleteLists) {
            return Err(s3_error!(NotImplemented));
        }
        if self.0.lacks(Lack::DeleteListsWithoutMd5) && !request.headers.contains_key("content-md5") {
            return Err(s3_error!(InvalidRequest, "Missing required header for this request: Content-MD5"));
        }
        let input = request.input;
        known(&input.bucket)?;
        if input.delete.objects.len() > 1_000 {
            return Err(s3_error!(MalformedXML));
        }
        for object in &input.delete.objects {
            self.0.model.delete(&object.key);
        }
        Ok(S3Response::new(DeleteObjectsOutput::default()))
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        known(&request.input.bucket)?;
        self.0.model.delete(&request.input.key);
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let input = request.input;
        known(&input.bucket)?;
        let algorithm = input.checksum_algorithm.as_ref().map(|algorithm| algorithm.as_str());
        self.knows_checksums(algorithm == Some("CRC64NVME"), algorithm == Some("CRC32C"))?;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            upload_id: Some(self.0.model.start_upload(&input.key)),
            bucket: Some(input.bucket),
            key: Some(input.key),
            ..CreateMultipartUploadOutput::default()
        }))
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let input = request.input;
        known(&input.bucket)?;
        self.knows_checksums(input.checksum_crc64nvme.is_some(), input.checksum_crc32c.is_some())?;
        let body = self.whole(input.body).await?;
        let crc32c = check_crc32c(&body, input.checksum_crc32c.as_deref())?;
        let crc = check_crc(&body, input.checksum_crc64nvme.as_deref())?;
        let e_tag = e_tag(&body);
        self.0.model.put_part(&input.key, &input.upload_id, input.part_number, body)?;
        Ok(S3Response::new(UploadPartOutput {
            e_tag: Some(ETag::Strong(e_tag)),
            checksum_crc64nvme: self.tells_crc64().then_some(crc),
            checksum_crc32c: crc32c,
            ..UploadPartOutput::default()
        }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let input = request.input;
        known(&input.bucket)?;
        let once = self.once(&input.key, input.if_none_match.as_ref())?;
        self.knows_checksums(input.checksum_crc64nvme.is_some(), false)?;
        let parts = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let named = parts.into_iter().map(|part| NamedPart {
            number: part.part_number.unwrap_or_default(),
            e_tag: part.e_tag.map(|tag| tag.value().to_owned()).unwrap_or_default(),
            crc: part.checksum_crc64nvme,
        });
        let named: Vec<_> = named.collect();
        let crc = input.checksum_crc64nvme;
        let object = self.0.model.complete(&input.key, &input.upload_id, &named, crc.as_deref(), once)?;
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            bucket: Some(input.bucket),
            key: Some(input.key),
            e_tag: Some(ETag::Strong(object.e_tag)),
            checksum_crc64nvme: self.tells_crc64().then_some(object.crc),
            checksum_type: self.tells_crc64().then(|| ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
            ..CompleteMultipartUploadOutput::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        known(&request.input.bucket)?;
        self.0.model.abort(&request.input.key, &request.input.upload_id)?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    async fn list_multipart_uploads(
        &self,
        request: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let input = request.input;
        known(&input.bucket)?;
        let (key, id) = (input.key_marker.unwrap_or_default(), input.upload_id_marker.unwrap_or_default());
        let mut found = self.0.model.uploads(&input.prefix.unwrap_or_default(), (&key, &id));
        // Pages of two, so that whoever reads the first one only is found out.
        let more = found.len() > 2;
        found.truncate(2);
        let last = found.last().filter(|_| more).cloned();
        let uploads = found.into_iter().map(|(id, upload)| MultipartUpload {
            key: Some(upload.key),
            upload_id: Some(id),
            initiated: Some(upload.started.into()),
            ..MultipartUpload::default()
        });
        Ok(S3Response::new(ListMultipartUploadsOutput {
            uploads: Some(uploads.collect()),
            is_truncated: Some(more),
            next_key_marker: last.as_ref().map(|(_, upload)| upload.key.clone()),
            next_upload_id_marker: last.map(|(id, _)| id),
            ..ListMultipartUploadsOutput::default()
        }))
    }

    async fn list_parts(&self, request: S3Request<ListPartsInput>) -> S3Result<S3Response<ListPartsOutput>> {
        let input = request.input;
        known(&input.bucket)?;
        let upload = self.0.model.upload(&input.key, &input.upload_id)?;
        let parts = upload.parts.iter().map(|(number, body)| Part {
            part_number: Some(*number),
            size: Some(length(body.len())),
            e_tag: Some(ETag::Strong(e_tag(body))),
            ..Part::default()
        });
        Ok(S3Response::new(ListPartsOutput { parts: Some(parts.collect()), ..ListPartsOutput::default() }))
    }
}

impl From<Refusal> for S3Error {
    fn from(no: Refusal) -> Self {
        match no {
            Refusal::BadDigest => s3_error!(BadDigest),
            Refusal::EntityTooSmall => s3_error!(EntityTooSmall),
            Refusal::InvalidPart => s3_error!(InvalidPart),
            Refusal::InvalidPartOrder => s3_error!(InvalidPartOrder),
            Refusal::MalformedParts => s3_error!(MalformedXML),
            Refusal::NoSuchKey => s3_error!(NoSuchKey),
            Refusal::NoSuchUpload => s3_error!(NoSuchUpload),
            Refusal::Precondition => s3_error!(PreconditionFailed),
        }
    }
}

fn known(bucket: &str) -> S3Result<()> {
    if bucket == BUCKET { Ok(()) } else { Err(s3_error!(NoSuchBucket)) }
}

impl Requests {
    /// Whether there may be nothing under the name yet. AWS takes only `*`.
    fn once(&self, key: &str, condition: Option<&ETagCondition>) -> S3Result<bool> {
        match condition {
            None => Ok(false),
            Some(_) if self.0.lacks(Lack::Conditions) => Err(s3_error!(NotImplemented)),
            Some(_) if self.0.lacks(Lack::HeededConditions) => Ok(false),
            Some(condition) if condition.is_any() => {
                if self.0.lacks(Lack::SecondUse) && self.0.model.was_used(key) {
                    return Err(s3_error!(PreconditionFailed));
                }
                Ok(true)
            }
            Some(_) => Err(s3_error!(NotImplemented)),
        }
    }

    fn tells_crc64(&self) -> bool {
        !self.0.lacks(Lack::Crc64) && !self.0.lacks(Lack::Checksums)
    }

    fn knows_checksums(&self, crc64: bool, crc32c: bool) -> S3Result<()> {
        let refuses = (crc64 && !self.tells_crc64()) || (crc32c && self.0.lacks(Lack::Checksums));
        if refuses { Err(s3_error!(InvalidArgument, "unknown checksum")) } else { Ok(()) }
    }

    async fn whole(&self, body: Option<StreamingBlob>) -> S3Result<Bytes> {
        let body = whole(body).await?;
        match self.0.lacks(Lack::LongBodies) && body.len() > LONG {
            true => Err(s3_error!(EntityTooLarge)),
            false => Ok(body),
        }
    }
}

async fn whole(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let Some(mut body) = body else { return Ok(Bytes::new()) };
    let mut whole = BytesMut::new();
    // A signature that does not fit shows here, too.
    while let Some(bytes) = body.try_next().await.map_err(broken)? {
        whole.extend_from_slice(&bytes);
    }
    Ok(whole.freeze())
}

fn broken(error: s3s::StdError) -> S3Error {
    S3Error::with_message(s3s::S3ErrorCode::IncompleteBody, error.to_string())
}

fn length(len: usize) -> i64 {
    i64::try_from(len).expect("memory is smaller than 2^63 bytes")
}

fn index(at: u64) -> usize {
    usize::try_from(at).expect("it lies inside of something in memory")
}
