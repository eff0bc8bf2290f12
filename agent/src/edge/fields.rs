//! Counts the fields of a message while its bytes arrive, before anything is made of them. Pure.
//!
//! A message of many empty fields takes a hundred times its length once it is decoded; no request of ours has many. Only the outermost fields are
//! looked at: what lies in them repeats nothing.

/// Most outermost fields of a message: 256 volumes and all others, with plenty to spare.
const FIELDS_MAX: u32 = 1_024;
/// What precedes a message on the wire: a flag and its length.
const PREFIX_LEN: u8 = 5;

/// A message has more fields than any request of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooManyFields;

/// Where in a message the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// In what precedes the message.
    Prefix { seen: u8 },
    /// In the number and kind of a field.
    Tag { value: u64, shift: u32 },
    /// In a value of variable length.
    Varint,
    /// In the length of a value.
    Len { value: u64, shift: u32 },
    /// In a value, so many bytes before its end.
    Value { left: u64 },
    /// In something that is no message; the decoder will say so.
    Lost,
}

/// Counts fields.
#[derive(Debug, Clone)]
pub(super) struct FieldCount {
    at: At,
    fields: u32,
}

impl FieldCount {
    pub(super) fn new() -> FieldCount {
        FieldCount { at: At::Prefix { seen: 0 }, fields: 0 }
    }

    /// Looks at the next bytes.
    pub(super) fn look(&mut self, mut bytes: &[u8]) -> Result<(), TooManyFields> {
        while let Some((first, rest)) = bytes.split_first() {
            if let At::Value { left } = self.at {
                let len = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                bytes = &bytes[len..];
                self.at = value(left - len as u64);
                continue;
            }
            bytes = rest;
            self.at = self.step(*first);
            if self.fields > FIELDS_MAX {
                return Err(TooManyFields);
            }
        }
        Ok(())
    }

    fn step(&mut self, byte: u8) -> At {
        match self.at {
            At::Prefix { seen } if seen + 1 < PREFIX_LEN => At::Prefix { seen: seen + 1 },
            At::Prefix { .. } => TAG,
            At::Tag { value: so_far, shift } => match varint(so_far, shift, byte) {
                None => At::Lost,
                Some((value, shift, true)) => At::Tag { value, shift },
                Some((tag, _, false)) => {
                    self.fields += 1;
                    match tag & 7 {
                        0 => At::Varint,
                        1 => value(8),
                        2 => At::Len { value: 0, shift: 0 },
                        5 => value(4),
                        _ => At::Lost,
                    }
                }
            },
            At::Varint if byte & 0x80 != 0 => At::Varint,
            At::Varint => TAG,
            At::Len { value: so_far, shift } => match varint(so_far, shift, byte) {
                None => At::Lost,
                Some((value, shift, true)) => At::Len { value, shift },
                Some((len, _, false)) => value(len),
            },
            At::Value { .. } | At::Lost => self.at,
        }
    }
}

const TAG: At = At::Tag { value: 0, shift: 0 };

fn value(left: u64) -> At {
    if left == 0 { TAG } else { At::Value { left } }
}

/// A number with one more byte, and whether more follow; `None` for more bytes than a number has.
fn varint(value: u64, shift: u32, byte: u8) -> Option<(u64, u32, bool)> {
    if shift > 63 {
        return None;
    }
    Some((value | (u64::from(byte & 0x7f) << shift), shift + 7, byte & 0x80 != 0))
}

#[cfg(test)]
mod tests {
    use coffer_proto::agent::v1::{BackupVolume, Plan, PointReference, Repository, StartBackupRequest};
    use prost::Message;

    use super::*;

    fn framed(message: &impl Message) -> Vec<u8> {
        let body = message.encode_to_vec();
        let mut bytes = vec![0];
        bytes.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }

    fn count(bytes: &[u8], chunk: usize) -> Result<u32, TooManyFields> {
        let mut count = FieldCount::new();
        bytes.chunks(chunk).try_for_each(|chunk| count.look(chunk))?;
        Ok(count.fields)
    }

    #[test]
    fn the_largest_request_passes_however_it_is_cut_and_its_fields_are_counted() {
        let volume = BackupVolume { name: "v".repeat(200), source: "/x".repeat(2_000), ..Default::default() };
        let request = StartBackupRequest {
            idempotency_key: "k".into(),
            repository: Some(Repository {
                url: "s3://b".into(),
                key: "x".repeat(1 << 20),
                ..Default::default()
            }),
            point: Some(PointReference {
                plan: Some(Plan::default()),
                coordinator: vec![0xff; 60_000],
                ..Default::default()
            }),
            volumes: vec![volume; 256],
            timeout: Some(prost_types::Duration { seconds: 1 << 40, nanos: 0 }),
            ..Default::default()
        };
        let bytes = framed(&request);
        for chunk in [1, 2, 7, 16_384, bytes.len()] {
            assert_eq!(count(&bytes, chunk), Ok(3 + 256 + 1));
        }
    }

    #[test]
    fn a_message_of_empty_fields_is_stopped_while_it_arrives() {
        let request =
            StartBackupRequest { volumes: vec![BackupVolume::default(); 100_000], ..Default::default() };
        assert_eq!(count(&framed(&request), 1_000), Err(TooManyFields));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_fail_otherwise(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..2_000)) {
            let whole = count(&bytes, usize::MAX);
            proptest::prop_assert_eq!(whole, count(&bytes, 1));
        }
    }
}
