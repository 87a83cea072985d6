//! All connected clients, by id.

use super::Client;
use dashmap::DashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// The clients of the server.
#[derive(Default)]
pub struct Registry {
    clients: DashMap<u64, Arc<Client>>,
    /// Kept apart, because asking the map for its length takes all its locks.
    len: AtomicUsize,
    last_id: AtomicU64,
}

impl Registry {
    /// A new id, larger than all before it.
    pub fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Relaxed) + 1
    }

    /// Adds a client.
    pub fn add(&self, client: Arc<Client>) {
        self.clients.insert(client.id, client);
        self.len.fetch_add(1, Relaxed);
    }

    /// Removes a client.
    pub fn remove(&self, id: u64) {
        if self.clients.remove(&id).is_some() {
            self.len.fetch_sub(1, Relaxed);
        }
    }

    /// The number of clients.
    pub fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    /// Whether nobody is connected.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The client of this id.
    pub fn get(&self, id: u64) -> Option<Arc<Client>> {
        self.clients.get(&id).map(|client| Arc::clone(&client))
    }

    /// All clients by ascending id.
    pub fn all(&self) -> Vec<Arc<Client>> {
        let mut all: Vec<_> = self.clients.iter().map(|entry| Arc::clone(entry.value())).collect();
        all.sort_unstable_by_key(|client| client.id);
        all
    }
}
