//! Which clients wait for something to come to a key, in the order of their arrival.
//!
//! A client is entered while the shards of its keys are locked, so no write to them goes unnoticed.

use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

type KeyName = (usize, Box<[u8]>);

/// Clients by the keys that they wait for.
#[derive(Default)]
pub struct Waiting {
    /// For each key the clients' ids by their turn.
    keys: Mutex<HashMap<KeyName, BTreeMap<u64, u64>>>,
    /// Kept apart so that a write with nobody waiting takes no lock.
    len: AtomicUsize,
    next_turn: AtomicU64,
}

impl Waiting {
    /// A new turn, after all before it.
    pub fn next_turn(&self) -> u64 {
        self.next_turn.fetch_add(1, Ordering::Relaxed)
    }

    /// Enters a client.
    pub fn add(&self, database: usize, key: &[u8], turn: u64, client: u64) {
        let mut keys = self.keys.lock();
        keys.entry((database, key.into())).or_default().insert(turn, client);
        self.len.store(keys.len(), Ordering::Release);
    }

    /// Takes a client out.
    pub fn remove(&self, database: usize, key: &[u8], turn: u64) {
        let mut keys = self.keys.lock();
        let name = (database, key.into());
        if let Some(turns) = keys.get_mut(&name) {
            turns.remove(&turn);
            if turns.is_empty() {
                keys.remove(&name);
            }
        }
        self.len.store(keys.len(), Ordering::Release);
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// For how many keys somebody waits.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// Whether somebody waits for this key.
    pub fn has(&self, database: usize, key: &[u8]) -> bool {
        !self.is_empty() && self.keys.lock().contains_key(&(database, key.into()))
    }

    /// The clients that wait for a key, in turn.
    pub fn clients(&self, database: usize, key: &[u8]) -> Vec<u64> {
        let keys = self.keys.lock();
        keys.get(&(database, key.into())).map(|turns| turns.values().copied().collect()).unwrap_or_default()
    }

    /// The keys of a database that somebody waits for.
    pub fn keys_of(&self, database: usize) -> Vec<Box<[u8]>> {
        let keys = self.keys.lock();
        keys.keys().filter(|(number, _)| *number == database).map(|(_, key)| key.clone()).collect()
    }
}
