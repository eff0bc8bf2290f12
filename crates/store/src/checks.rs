//! The rules of the port about arguments, in one place for all adapters.
//!
//! Pure: nothing here may look at a store.

use crate::error::StoreError;
use crate::key::Key;
use crate::port::{Operation, PAGE_LEN_MAX, PART_NUMBER_MAX, PartTag};

/// Parts have at least one byte.
pub(crate) fn part_len(part_len: u64) -> Result<(), StoreError> {
    if part_len == 0 {
        return misuse(Operation::StartUpload, "parts of 0 bytes".to_owned());
    }
    Ok(())
}

/// A part's number and length fit an upload of parts of `part_len` bytes.
pub(crate) fn part(number: u32, len: u64, part_len: u64) -> Result<(), StoreError> {
    if number == 0 || number > PART_NUMBER_MAX {
        return misuse(Operation::PutPart, format!("part {number}: parts count from 1 to {PART_NUMBER_MAX}"));
    }
    if len == 0 || len > part_len {
        return misuse(Operation::PutPart, format!("part {number} has {len} bytes of {part_len} at most"));
    }
    Ok(())
}

/// `parts` ascend from 1 without gaps and all but the last have `part_len` bytes. Returns the sum of their lengths.
pub(crate) fn complete(parts: &[PartTag], part_len: u64) -> Result<u64, StoreError> {
    let Some((last, full)) = parts.split_last() else {
        return misuse(Operation::CompleteUpload, "an upload has at least one part".to_owned());
    };
    for (part, expected) in parts.iter().zip(1..) {
        if part.number != expected {
            return misuse(
                Operation::CompleteUpload,
                format!("part {} where {expected} was due", part.number),
            );
        }
    }
    if let Some(short) = full.iter().find(|part| part.len != part_len) {
        let detail = format!("part {} has {} bytes and is not the last: {part_len}", short.number, short.len);
        return misuse(Operation::CompleteUpload, detail);
    }
    let full_len: u64 = full.iter().map(|part| part.len).sum();
    Ok(full_len + last.len)
}

/// A page has 1 to 1,000 objects.
pub(crate) fn page(max: usize) -> Result<(), StoreError> {
    if max == 0 || max > PAGE_LEN_MAX {
        return misuse(Operation::List, format!("a page of {max}: 1 to {PAGE_LEN_MAX} are possible"));
    }
    Ok(())
}

/// One request deletes at most 1,000 objects.
pub(crate) fn delete(keys: &[Key]) -> Result<(), StoreError> {
    if keys.len() > PAGE_LEN_MAX {
        return misuse(Operation::Delete, format!("{} keys: at most {PAGE_LEN_MAX}", keys.len()));
    }
    Ok(())
}

/// A tag that is not the receipt of a part of this upload.
pub(crate) fn unknown_part<T>(number: u32) -> Result<T, StoreError> {
    misuse(Operation::CompleteUpload, format!("part {number} is not as this upload received it"))
}

/// A part was stored again with another length.
pub(crate) fn changed_part<T>(number: u32, len: u64, len_before: u64) -> Result<T, StoreError> {
    misuse(Operation::PutPart, format!("part {number} had {len_before} bytes and now has {len}"))
}

fn misuse<T>(operation: Operation, detail: String) -> Result<T, StoreError> {
    Err(StoreError::Misuse { operation, detail })
}
