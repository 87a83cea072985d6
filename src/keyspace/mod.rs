//! The keys: prepare -> (handler) -> settle.
//!
//! [`Keyspace::prepare`] locks the shards of a command's keys and gives an [`Access`]; the handler reads
//! and edits through it; [`Access::settle`] releases the locks and hands what was written, as
//! [`Effect`]s, to keyspace notifications and WATCH. This is the only layer that knows all tiers.

mod access;
pub mod checkpoint;
mod cold;
mod compact;
mod effect;
mod evict;
mod expire;
mod locks;
mod log;
mod notify;
mod reclaim;
mod recover;
mod room;
mod scan;
#[cfg(test)]
mod simulation;
pub mod snapshot;
mod tier;
mod waiting;
mod watch;

pub use access::{Access, Expiry, Key, Lookup, Scope, WrongType};
pub use cold::ColdKeys;
pub use compact::{CompactRule, Evict};
pub use effect::{Change, Effect};
pub use evict::OutOfMemory;
pub use reclaim::Reclaimer;
pub use recover::{Progress, Recovered};
pub use room::{NotReady, request_bytes};
pub use tier::Tier;
pub use waiting::Waiting;
pub use watch::Watchers;

use crate::config::NotifyFlags;
use crate::memory::access::AccessMode;
use crate::memory::eviction::Hand;
use crate::memory::{Database, Entry, KeyHash};
use crate::pubsub::PubSub;
use parking_lot::Mutex;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

/// Counts of what happened to keys; a worker adds its own up and flushes them after each batch.
#[derive(Default, Clone, Copy, Debug)]
pub struct Counts {
    /// Reads that found their key.
    pub hits: u64,
    /// Reads that did not.
    pub misses: u64,
    /// Keys removed because they were due.
    pub expired: u64,
    /// Keys removed because memory was short.
    pub evicted: u64,
    /// Writes.
    pub changes: u64,
}

/// What one worker needs to use the keyspace, kept between commands.
pub struct Scratch {
    /// What the present command wrote, if anybody cares.
    effects: Vec<Effect>,
    /// Large entries to free once the locks are released.
    garbage: Vec<Entry>,
    /// Keys that changed and that somebody waits for.
    ready: Vec<(usize, Box<[u8]>)>,
    /// What the second tier needs.
    tier: tier::TierScratch,
    /// Counts since they were last taken.
    pub counts: Counts,
    random: u64,
}

impl Default for Scratch {
    fn default() -> Self {
        let random = ahash::RandomState::new().hash_one(0) | 1;
        Scratch {
            effects: Vec::new(),
            garbage: Vec::new(),
            ready: Vec::new(),
            tier: tier::TierScratch::default(),
            counts: Counts::default(),
            random,
        }
    }
}

impl Scratch {
    /// A key that changed and that somebody waits for, oldest first.
    pub fn take_ready(&mut self) -> Option<(usize, Box<[u8]>)> {
        (!self.ready.is_empty()).then(|| self.ready.remove(0))
    }

    /// The next number of a xorshift generator: fast, and only used where nobody gains by guessing.
    pub fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

/// A generator of its own for a command that reads keys meanwhile.
pub struct RandomSource(u64);

impl RandomSource {
    /// The next number, of 64 bits.
    #[expect(clippy::should_implement_trait, reason = "it never ends, and is no iterator")]
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Another one.
    pub fn fork(&mut self) -> RandomSource {
        RandomSource(self.next() | 1)
    }
}

fn hasher(seeds: [u64; 4]) -> ahash::RandomState {
    let [one, two, three, four] = seeds;
    ahash::RandomState::with_seeds(one, two, three, four)
}

/// All databases.
pub struct Keyspace {
    databases: Box<[OnceLock<Database>]>,
    shards: usize,
    hasher: ahash::RandomState,
    /// What the hash is keyed with.
    seeds: [u64; 4],
    tier: Option<Arc<Tier>>,
    hand: Mutex<Hand>,
    reclaimer: Reclaimer,
    pubsub: Arc<PubSub>,
    watchers: Watchers,
    waiting: Waiting,
    notify: AtomicU32,
    access_lfu: AtomicBool,
    access_factors: [AtomicU32; 2],
    /// Whether a snapshot is being taken: there is one at a time.
    capturing: AtomicBool,
    /// Whether more was changed than the saver could write so far.
    saver_behind: Arc<AtomicBool>,
    /// Keys that are due stay for now: DEBUG SET-ACTIVE-EXPIRE 0.
    pub active_expire_off: AtomicBool,
    /// Nothing expires or is evicted while clients are paused.
    pub paused: AtomicBool,
}

impl Keyspace {
    /// An empty keyspace of `databases` databases with `shards` shards each.
    pub fn new(databases: usize, shards: usize, pubsub: Arc<PubSub>) -> Keyspace {
        let random = ahash::RandomState::new();
        let seeds = [0_u64, 1, 2, 3].map(|number| random.hash_one(number));
        Keyspace {
            databases: (0..databases).map(|_| OnceLock::new()).collect(),
            shards,
            hasher: hasher(seeds),
            seeds,
            tier: None,
            hand: Mutex::default(),
            reclaimer: Reclaimer::start(),
            pubsub,
            watchers: Watchers::default(),
            waiting: Waiting::default(),
            notify: AtomicU32::new(0),
            access_lfu: AtomicBool::new(false),
            access_factors: [AtomicU32::new(10), AtomicU32::new(1)],
            capturing: AtomicBool::new(false),
            saver_behind: Arc::default(),
            active_expire_off: AtomicBool::new(false),
            paused: AtomicBool::new(false),
        }
    }

    /// Adds the second tier, before anything is in the first.
    pub fn with_tier(mut self, tier: Arc<Tier>) -> Keyspace {
        // Slots that a clean stop has left are in the order of its hash.
        let left = tier.store().checkpoint().ok().flatten();
        if let Some(seeds) = left.and_then(|bytes| checkpoint::seeds(&bytes)) {
            (self.hasher, self.seeds) = (hasher(seeds), seeds);
        }
        self.tier = Some(tier);
        self
    }

    /// How many databases there may be.
    pub fn database_count(&self) -> usize {
        self.databases.len()
    }

    /// A database, made by its first use.
    ///
    /// # Panics
    /// When there is no such number: callers check it against [`Self::database_count`].
    #[inline]
    pub fn database(&self, number: usize) -> &Database {
        self.databases[number].get_or_init(|| Database::new(self.shards))
    }

    /// The databases that were ever used.
    pub fn databases_in_use(&self) -> Vec<(usize, &Database)> {
        self.databases
            .iter()
            .enumerate()
            .filter_map(|(number, database)| Some((number, database.get()?)))
            .collect()
    }

    /// The keyed hash of a key.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> KeyHash {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(key);
        KeyHash(hasher.finish())
    }

    /// A key of a database, hashed.
    #[inline]
    pub fn key<'k>(&self, database: usize, name: &'k [u8]) -> Key<'k> {
        Key { database, name, hash: self.hash(name) }
    }

    /// Where freed memory goes.
    pub fn reclaimer(&self) -> &Reclaimer {
        &self.reclaimer
    }

    /// Who watches keys.
    pub fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// Who waits for keys.
    pub fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// Whether an effect would reach anybody.
    #[inline]
    fn has_listeners(&self) -> bool {
        self.notify.load(Relaxed) != 0 || !self.watchers.is_empty() || !self.waiting.is_empty()
    }

    /// Which notifications are wanted (`notify-keyspace-events`).
    pub fn set_notify(&self, flags: NotifyFlags) {
        self.notify.store(u32::from(flags.bits()), Relaxed);
    }

    fn notify_flags(&self) -> NotifyFlags {
        NotifyFlags::from_bits_truncate(self.notify.load(Relaxed) as u16)
    }

    /// How uses of keys are noted.
    pub fn set_access_mode(&self, mode: AccessMode) {
        self.access_lfu.store(mode.lfu, Relaxed);
        self.access_factors[0].store(mode.log_factor, Relaxed);
        self.access_factors[1].store(mode.decay_minutes, Relaxed);
    }

    /// How uses of keys are noted.
    pub fn access_mode(&self) -> AccessMode {
        AccessMode {
            lfu: self.access_lfu.load(Relaxed),
            log_factor: self.access_factors[0].load(Relaxed),
            decay_minutes: self.access_factors[1].load(Relaxed),
        }
    }
}
