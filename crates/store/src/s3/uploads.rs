//! Uploads in parts. The server checks every part and, where it can, what it joined, against checksums.

use std::collections::BTreeMap;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;

use super::S3Store;
use super::checksum::{Crc, Sum};
use super::dialect::Join;
use super::failure::{Failure, Kind};
use super::objects::{accepted, tagging};
use super::open_upload::{OpenUpload, SentPart};
use crate::checks;
use crate::error::StoreError;
use crate::key::Key;
use crate::port::{Operation, PartTag, UploadId};
use crate::url::Checksum;

impl S3Store {
    pub(super) fn create_upload(&self, key: &Key, part_len: u64) -> Result<UploadId, StoreError> {
        checks::part_len(part_len)?;
        let (id, checksum) = self.request(Operation::StartUpload, key.as_str(), async |_| {
            let create = async |checksum| Ok((self.create_once(key, checksum).await?, checksum));
            self.dialect.create.send(create).await
        })?;
        self.uploads().insert(id.clone(), OpenUpload { part_len, checksum, parts: BTreeMap::new() });
        Ok(UploadId { key: key.clone(), id })
    }

    async fn create_once(&self, key: &Key, checksum: Checksum) -> Result<String, Failure> {
        let address = &self.address;
        let mut create = self.client().create_multipart_upload();
        create = create.bucket(&address.bucket).key(self.name(key.as_str()));
        create = create.set_storage_class(address.storage_class.as_deref().map(Into::into));
        create = create.set_tagging(tagging(address));
        if let Some(encryption) = &address.encryption {
            create = create.server_side_encryption(encryption.name()).set_ssekms_key_id(encryption.key());
        }
        create = match checksum {
            Checksum::Crc64Nvme => create
                .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
                .checksum_type(ChecksumType::FullObject),
            // Servers that know nothing newer know no types either: theirs is a checksum of checksums.
            Checksum::Crc32c => create.checksum_algorithm(ChecksumAlgorithm::Crc32C),
            Checksum::None => create,
        };
        let id = create.send().await?.upload_id.filter(|id| !id.is_empty());
        id.ok_or_else(|| Failure::new(Kind::Broken, "a success without an upload id, which is none"))
    }

    pub(super) fn send_part(
        &self,
        upload: &UploadId,
        number: u32,
        body: &Bytes,
    ) -> Result<PartTag, StoreError> {
        let len = body.len() as u64;
        let checksum = self.check_part(upload, number, len)?;
        let crc = Crc::of(body);
        let sum = Sum::of(checksum, body, crc);
        let sent = self.call(Operation::PutPart, upload.key.as_str(), async |_| {
            let mut part = self.client().upload_part();
            part =
                part.bucket(&self.address.bucket).key(self.name(upload.key.as_str())).upload_id(&upload.id);
            part = part
                .part_number(i32::try_from(number).unwrap_or(i32::MAX))
                .body(ByteStream::from(body.clone()));
            part = part.set_checksum_crc64_nvme(sum.crc64()).set_checksum_crc32_c(sum.crc32c());
            let mut part = part.customize();
            if !self.signs_payload() {
                part = part.disable_payload_signing();
            }
            let answer = part.send().await?;
            accepted(answer.e_tag(), answer.checksum_crc64_nvme(), crc)?;
            sum.confirmed(answer.checksum_crc32_c())?;
            Ok(answer.e_tag.unwrap_or_default())
        });
        let e_tag = sent.map_err(|failure| self.upload_error(Operation::PutPart, upload, failure))?;
        let tag = PartTag { number, len, tag: format!("{e_tag} {}", crc.to_base64()) };
        match self.uploads().get_mut(&upload.id) {
            None => return Err(no_such_upload(upload)),
            Some(open) => open.parts.insert(number, SentPart { len, e_tag, crc, crc32c: sum.crc32c() }),
        };
        Ok(tag)
    }

    /// The checksum that the upload was begun with, if the part may be sent.
    fn check_part(&self, upload: &UploadId, number: u32, len: u64) -> Result<Checksum, StoreError> {
        let uploads = self.uploads();
        let open = uploads.get(&upload.id).ok_or_else(|| no_such_upload(upload))?;
        checks::part(number, len, open.part_len)?;
        match open.parts.get(&number) {
            Some(before) if before.len != len => checks::changed_part(number, len, before.len),
            _ => Ok(open.checksum),
        }
    }

    pub(super) fn join_parts(&self, upload: &UploadId, tags: &[PartTag]) -> Result<(), StoreError> {
        let (parts, len, checksum) = self.parts_to_join(upload, tags)?;
        let crc = whole_crc(&parts);
        let key = upload.key.as_str();
        let joined = self.call(Operation::CompleteUpload, key, async |_| {
            let join = async |way: Join| {
                let checksum = if way.checksums { checksum } else { Checksum::None };
                self.join_once(upload, &parts, way.once, checksum).await
            };
            self.dialect.join.send(join).await
        });
        match joined {
            Ok(()) => {}
            // There is something: ours, when an earlier try was done and its answer lost, or another's.
            Err(Failure { kind: Kind::Precondition, .. }) => {
                if !self.holds(&upload.key, len, crc)? {
                    return Err(StoreError::Exists { key: key.to_owned() });
                }
                return self.drop_upload(upload);
            }
            // Names are never used twice: the object can only be what this upload made.
            Err(Failure { kind: Kind::NoSuchUpload, .. }) if self.holds(&upload.key, len, crc)? => {}
            Err(failure) => return Err(self.upload_error(Operation::CompleteUpload, upload, failure)),
        }
        self.uploads().remove(&upload.id);
        Ok(())
    }

    /// The parts in order, the sum of their lengths and the upload's checksum, if `tags` are exactly what was received.
    fn parts_to_join(
        &self,
        upload: &UploadId,
        tags: &[PartTag],
    ) -> Result<(Vec<SentPart>, u64, Checksum), StoreError> {
        let uploads = self.uploads();
        let open = uploads.get(&upload.id).ok_or_else(|| no_such_upload(upload))?;
        let len = checks::complete(tags, open.part_len)?;
        let mut parts = Vec::with_capacity(tags.len());
        for tag in tags {
            let sent = open.parts.get(&tag.number);
            match sent.filter(|sent| tag.tag == format!("{} {}", sent.e_tag, sent.crc.to_base64())) {
                Some(sent) if sent.len == tag.len => parts.push(sent.clone()),
                _ => return checks::unknown_part(tag.number),
            }
        }
        if parts.len() != open.parts.len() {
            return checks::unknown_part(tags.last().map_or(0, |tag| tag.number) + 1);
        }
        Ok((parts, len, open.checksum))
    }

    async fn join_once(
        &self,
        upload: &UploadId,
        parts: &[SentPart],
        once: bool,
        checksum: Checksum,
    ) -> Result<(), Failure> {
        let (len, crc) = (parts.iter().map(|part| part.len).sum::<u64>(), whole_crc(parts));
        let full = checksum == Checksum::Crc64Nvme;
        let completed = parts.iter().zip(1..).map(|(part, number)| {
            CompletedPart::builder()
                .part_number(number)
                .e_tag(&part.e_tag)
                .set_checksum_crc64_nvme(full.then(|| part.crc.to_base64()))
                .set_checksum_crc32_c(part.crc32c.clone().filter(|_| checksum == Checksum::Crc32c))
                .build()
        });
        let list = CompletedMultipartUpload::builder().set_parts(Some(completed.collect())).build();
        let mut join = self.client().complete_multipart_upload();
        join = join.bucket(&self.address.bucket).key(self.name(upload.key.as_str())).upload_id(&upload.id);
        join = join.multipart_upload(list);
        if full {
            join = join.checksum_type(ChecksumType::FullObject).checksum_crc64_nvme(crc.to_base64());
            join = join.mpu_object_size(i64::try_from(len).unwrap_or(i64::MAX));
        }
        if once {
            join = join.if_none_match("*");
        }
        let answer = join.send().await?;
        accepted(answer.e_tag(), answer.checksum_crc64_nvme(), crc)
    }

    pub(super) fn drop_upload(&self, upload: &UploadId) -> Result<(), StoreError> {
        let dropped = self.call(Operation::AbortUpload, upload.key.as_str(), async |_| {
            let abort = self.client().abort_multipart_upload().bucket(&self.address.bucket);
            let abort = abort.key(self.name(upload.key.as_str())).upload_id(&upload.id);
            match abort.send().await.map_err(Failure::from) {
                Ok(_) | Err(Failure { kind: Kind::NoSuchUpload | Kind::NotFound, .. }) => Ok(()),
                Err(failure) => Err(failure),
            }
        });
        dropped.map_err(|failure| self.upload_error(Operation::AbortUpload, upload, failure))?;
        self.uploads().remove(&upload.id);
        Ok(())
    }

    fn upload_error(&self, operation: Operation, upload: &UploadId, failure: Failure) -> StoreError {
        match failure.kind {
            Kind::NoSuchUpload | Kind::NotFound => {
                self.uploads().remove(&upload.id);
                no_such_upload(upload)
            }
            _ => self.error(operation, upload.key.as_str(), failure),
        }
    }
}

fn no_such_upload(upload: &UploadId) -> StoreError {
    StoreError::NoSuchUpload { key: upload.key.to_string(), upload: upload.id.clone() }
}

fn whole_crc(parts: &[SentPart]) -> Crc {
    let empty = Crc::of(&[]);
    parts.iter().fold(empty, |whole, part| whole.then(part.crc, part.len))
}
