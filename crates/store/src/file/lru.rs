//! A small map that forgets what was not used for longest.
//!
//! Holds open descriptors, so it must never grow past its limit.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// At most `len_max` entries; finding the oldest one looks at all of them.
#[derive(Debug)]
pub(super) struct Lru<K, V> {
    len_max: usize,
    state: Mutex<State<K, V>>,
}

#[derive(Debug)]
struct State<K, V> {
    clock: u64,
    entries: HashMap<K, (V, u64)>,
}

impl<K: Hash + Eq + Clone, V: Clone> Lru<K, V> {
    pub(super) fn new(len_max: usize) -> Self {
        Self { len_max, state: Mutex::new(State { clock: 0, entries: HashMap::new() }) }
    }

    /// The value of `key`, which counts as used.
    pub(super) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let mut state = self.lock();
        state.clock += 1;
        let clock = state.clock;
        let (value, used) = state.entries.get_mut(key)?;
        *used = clock;
        Some(value.clone())
    }

    /// Remembers `value` and forgets the oldest entry if there are too many.
    pub(super) fn insert(&self, key: K, value: V) {
        let mut state = self.lock();
        state.clock += 1;
        let clock = state.clock;
        state.entries.insert(key, (value, clock));
        if state.entries.len() > self.len_max {
            let oldest = state.entries.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone());
            oldest.and_then(|key| state.entries.remove(&key));
        }
    }

    /// Forgets `key`.
    pub(super) fn remove<Q: Hash + Eq + ?Sized>(&self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.lock().entries.remove(key);
    }

    /// No call leaves the map half changed, so a panic elsewhere does not matter.
    fn lock(&self) -> MutexGuard<'_, State<K, V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_entry_goes_first() {
        let lru = Lru::new(2);
        lru.insert("a", 1);
        lru.insert("b", 2);
        assert_eq!(lru.get("a"), Some(1));
        lru.insert("c", 3);
        assert_eq!((lru.get("a"), lru.get("b"), lru.get("c")), (Some(1), None, Some(3)));
        lru.remove("a");
        assert_eq!(lru.get("a"), None);
    }
}
