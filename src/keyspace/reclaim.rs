//! Frees what is large on a thread of its own, so that no worker waits for it.

use crate::disk::format::padded;
use crate::disk::{Fetched, Location, Place, Store};
use crate::memory::table::Held;
use crate::memory::{Entry, ShardState, usage};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use tokio::sync::oneshot;

/// What is to be freed.
pub enum Garbage {
    /// Large entries.
    Entries(Vec<Entry>),
    /// Shards of a flushed database, and the store that has their values on disk.
    Shards(Vec<ShardState>, Option<Arc<Store>>),
}

impl Garbage {
    fn keys(&self) -> usize {
        match self {
            Garbage::Entries(entries) => entries.len(),
            Garbage::Shards(shards, _) => shards.iter().map(|shard| shard.table.len()).sum(),
        }
    }
}

#[derive(Default)]
struct Counters {
    pending: AtomicUsize,
    freed: AtomicUsize,
}

/// The records of a shard no longer count.
pub(super) fn forget_places(shard: &ShardState, store: &Store) {
    for (segment, bytes) in shard.chains.iter().flat_map(|chain| &chain.segments) {
        store.sub_live_bytes(Location::from_bits(*segment), *bytes);
    }
    let mut buffer = Vec::new();
    for (_, held) in shard.table.held_from(0) {
        match held {
            Held::Resident(entry) => {
                Place::from_bits(entry.place()).into_iter().for_each(|place| store.sub_live(place))
            }
            Held::Cold(bits) => {
                let location = Location::from_bits(bits);
                // What cannot be read counts until its segment is reclaimed.
                if let Ok(Fetched::Bytes) = store.fetch(location, &mut buffer, true) {
                    store.sub_live(Place::new(location, padded(buffer.len())));
                }
            }
        }
    }
}

/// The way to the thread; it ends with its reclaimer.
pub struct Reclaimer {
    send: Sender<(Garbage, oneshot::Sender<()>)>,
    counters: Arc<Counters>,
}

impl Reclaimer {
    /// Starts the thread. Where none can be had, garbage is freed by whoever brings it.
    pub fn start() -> Reclaimer {
        let (send, receive) = channel::<(Garbage, oneshot::Sender<()>)>();
        let counters = Arc::new(Counters::default());
        let shared = Arc::clone(&counters);
        let run = move || {
            for (garbage, done) in receive {
                let keys = garbage.keys();
                if let Garbage::Shards(shards, Some(store)) = &garbage {
                    shards.iter().for_each(|shard| forget_places(shard, store));
                }
                drop(garbage);
                usage::publish();
                shared.pending.fetch_sub(keys, Relaxed);
                shared.freed.fetch_add(keys, Relaxed);
                // Nobody may be waiting.
                let _ = done.send(());
            }
        };
        if let Err(error) = std::thread::Builder::new().name("reclaimer".into()).spawn(run) {
            tracing::warn!(%error, "no thread for freeing: large frees run on the workers");
        }
        Reclaimer { send, counters }
    }

    /// Hands garbage over. The answer comes when it is freed.
    pub fn free(&self, garbage: Garbage) -> oneshot::Receiver<()> {
        let (done, freed) = oneshot::channel();
        self.counters.pending.fetch_add(garbage.keys(), Relaxed);
        if let Err(error) = self.send.send((garbage, done)) {
            drop(error);
        }
        freed
    }

    /// Keys that wait to be freed.
    pub fn pending(&self) -> usize {
        self.counters.pending.load(Relaxed)
    }

    /// Keys freed so far.
    pub fn freed(&self) -> usize {
        self.counters.freed.load(Relaxed)
    }

    /// Starts the count of freed keys anew.
    pub fn reset(&self) {
        self.counters.freed.store(0, Relaxed);
    }
}
