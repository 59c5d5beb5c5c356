//! A bounded table that keeps what was used recently.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// A map of at most twice `limit` entries. When the young half is full it becomes the old half and
/// the old one is dropped, so what was used within the last `limit` insertions is kept. An
/// approximation of least-recently-used in constant time and without links between the entries.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    limit: usize,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    /// An empty table; `limit` is half of the most it holds.
    pub(crate) fn new(limit: usize) -> Self {
        Recent { young: HashMap::new(), old: HashMap::new(), limit }
    }

    /// The value of a key, which becomes young again.
    pub(crate) fn get<Q>(&mut self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if !self.young.contains_key(key) {
            let (key, value) = self.old.remove_entry(key)?;
            self.insert(key, value);
        }
        self.young.get(key)
    }

    /// Adds or replaces a value.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.limit {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    /// Takes a value out.
    pub(crate) fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let old = self.old.remove(key);
        self.young.remove(key).or(old)
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn used_entries_survive_and_the_size_is_bounded() {
        let mut recent = Recent::new(4);
        recent.insert(0u32, 0u32);
        for n in 1..1000 {
            recent.insert(n, n);
            assert_eq!(recent.get(&0), Some(&0), "lost a used entry after {n} insertions");
            assert!(recent.young.len() + recent.old.len() <= 8);
        }
        assert_eq!(recent.get(&500), None, "an unused entry outlived the bound");
        assert_eq!(recent.remove(&0), Some(0));
        assert_eq!(recent.get(&0), None);
    }
}
