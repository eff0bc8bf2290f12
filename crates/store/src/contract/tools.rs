//! What all rules of the contract use.

use bytes::Bytes;

use crate::error::StoreError;
use crate::key::Key;
use crate::port::ObjectStore;

/// The smallest part that S3 takes.
pub(super) const PART_LEN: usize = 5 << 20;

pub(super) fn key(text: &str) -> Key {
    Key::new(text).expect("a key of the contract is valid")
}

/// Bytes that differ from place to place and from seed to seed.
pub(super) fn body(seed: u64, len: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes.into()
}

pub(super) fn put(store: &dyn ObjectStore, name: &str, body: Bytes) {
    store.put(&key(name), body).expect("a put of a new key succeeds");
}

pub(super) fn get(store: &dyn ObjectStore, name: &str) -> Vec<u8> {
    store.get(&key(name), u64::MAX).expect("an object that was put is there")
}

pub(super) fn is_not_found<T>(result: Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::NotFound { .. }))
}
