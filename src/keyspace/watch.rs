//! Who is to be told that a key changed: the other half of WATCH.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

type KeyName = (usize, Box<[u8]>);

/// Watched keys, each with the flags that a change raises.
#[derive(Default)]
pub struct Watchers {
    keys: Mutex<HashMap<KeyName, Vec<Arc<AtomicBool>>>>,
    /// Kept apart so that a write with nobody watching takes no lock.
    watched: AtomicUsize,
}

impl Watchers {
    /// Raises `flag` when the key next changes.
    pub fn watch(&self, database: usize, key: &[u8], flag: &Arc<AtomicBool>) {
        let mut keys = self.keys.lock();
        keys.entry((database, key.into())).or_default().push(Arc::clone(flag));
        self.watched.store(keys.len(), Ordering::Release);
    }

    /// Forgets that `flag` watched the key.
    pub fn unwatch(&self, database: usize, key: &[u8], flag: &Arc<AtomicBool>) {
        let mut keys = self.keys.lock();
        let name = (database, key.into());
        if let Some(flags) = keys.get_mut(&name) {
            flags.retain(|other| !Arc::ptr_eq(other, flag));
            if flags.is_empty() {
                keys.remove(&name);
            }
        }
        self.watched.store(keys.len(), Ordering::Release);
    }

    /// How many keys are watched.
    pub fn len(&self) -> usize {
        self.watched.load(Ordering::Acquire)
    }

    /// Whether no key is watched.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The key changed.
    pub fn touch(&self, database: usize, key: &[u8]) {
        if self.is_empty() {
            return;
        }
        if let Some(flags) = self.keys.lock().get(&(database, key.into())) {
            flags.iter().for_each(|flag| flag.store(true, Ordering::Release));
        }
    }

    /// The keys of a database that somebody watches.
    pub fn keys_of(&self, database: usize) -> Vec<Box<[u8]>> {
        let keys = self.keys.lock();
        keys.keys().filter(|(number, _)| *number == database).map(|(_, key)| key.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_is_raised_by_its_own_key_until_it_is_unwatched() {
        let watchers = Watchers::default();
        let flag = Arc::new(AtomicBool::new(false));
        let raised = || flag.swap(false, Ordering::AcqRel);
        watchers.watch(0, b"a", &flag);
        watchers.touch(0, b"b");
        watchers.touch(1, b"a");
        assert!(!raised());
        watchers.touch(0, b"a");
        assert!(raised());
        assert_eq!((watchers.keys_of(0).len(), watchers.keys_of(1).len()), (1, 0));
        watchers.unwatch(0, b"a", &flag);
        watchers.touch(0, b"a");
        assert!(!raised() && watchers.is_empty());
    }
}
