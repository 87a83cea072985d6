//! A snapshot without a fork: what is yet to be saved of a shard, as of the moment at which it was marked.
//!
//! The saver walks the table in hash order, some entries a hold of the lock. Whoever changes an entry that it has not
//! reached writes the old one down first, and its name, so that the saver passes it over; so are keys that were
//! added since. "Not yet reached" is a comparison of positions:
//!
//! ```text
//! positions   0 ......... next ................ 2^20
//!             are saved   saved by the saver later, except those in `settled`
//! ```
//!
//! The capture is part of what the shard's lock protects, and goes where the keys go: SWAPDB moves it to another
//! database, FLUSHALL hands the keys with their capture to the saver ([`Kept::hand_over`]).

use super::Entry;
use super::access::AccessMode;
use super::shard::ShardState;
use super::table::{Held, Table};
use crate::rdb::Value;
use crate::rdb::file::{Use, record};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// How many entries are looked at in one hold of a shard's lock, and from how many bytes on no further one is.
const ENTRIES_PER_LOCK: usize = 64;
const BYTES_PER_LOCK: usize = 64 * 1024;

/// When so many bytes wait to be written to the file, writers wait for the saver.
const PENDING_BYTES_MAX: usize = 64 << 20;

/// What is said of the use of keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Usage {
    /// Nothing.
    None,
    /// For how long they have been idle: with an LRU policy.
    Idle,
    /// How often they were used: with an LFU policy.
    Frequency,
}

/// Records of one database.
#[derive(Default)]
pub struct Records {
    /// The database's number at the mark.
    pub database: usize,
    /// The records.
    pub bytes: Vec<u8>,
    /// The highest version of the format among them.
    pub version: u16,
}

/// What the captures of a snapshot have in common with its saver.
pub struct Kept {
    usage: Usage,
    mode: AccessMode,
    now_ms: i64,
    records: Mutex<Vec<Records>>,
    /// The bytes of `records`.
    pending: AtomicUsize,
    /// Raised while those are too many.
    behind: Arc<AtomicBool>,
    /// Shards that were flushed before the saver was through with them.
    states: Mutex<Vec<ShardState>>,
    /// How many shards are not yet saved.
    left: AtomicUsize,
    /// How many keys are saved.
    keys: AtomicU64,
    /// How many bytes were written down by those who changed them.
    bytes: AtomicU64,
    /// How many values on disk could not be read.
    unreadable: AtomicU64,
}

impl Kept {
    /// For `shards` captures; uses are told as of `now_ms`. `behind` is raised while writers should wait.
    pub fn new(shards: usize, usage: Usage, mode: AccessMode, now_ms: i64, behind: Arc<AtomicBool>) -> Kept {
        Kept {
            usage,
            mode,
            now_ms,
            records: Mutex::default(),
            pending: AtomicUsize::new(0),
            behind,
            states: Mutex::default(),
            left: AtomicUsize::new(shards),
            keys: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            unreadable: AtomicU64::new(0),
        }
    }

    /// Takes what those who changed keys have written down.
    pub fn take_records(&self) -> Vec<Records> {
        let mut records = self.records.lock();
        if self.pending.swap(0, Relaxed) > PENDING_BYTES_MAX {
            self.behind.store(false, Relaxed);
        }
        std::mem::take(&mut *records)
    }

    /// Keeps the keys of a flushed shard until they are saved.
    pub fn hand_over(&self, state: ShardState) {
        self.states.lock().push(state);
    }

    /// Takes a flushed shard.
    pub fn take_state(&self) -> Option<ShardState> {
        self.states.lock().pop()
    }

    /// How many shards are not yet saved.
    pub fn left(&self) -> usize {
        self.left.load(Relaxed)
    }

    /// How many keys are saved.
    pub fn keys(&self) -> u64 {
        self.keys.load(Relaxed)
    }

    /// How many bytes were written down by those who changed them.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// How many values on disk could not be read: the snapshot is not whole.
    pub fn unreadable(&self) -> u64 {
        self.unreadable.load(Relaxed)
    }

    fn write(&self, out: &mut Records, entry: &Entry) {
        let value = match (entry.collection(), entry.string()) {
            (Some(collection), _) => Value::Collection(collection),
            (None, Some(string)) => Value::String(string),
            (None, None) => return,
        };
        let bits = entry.access_bits();
        let used = match self.usage {
            Usage::None => Use::Unknown,
            Usage::Idle => Use::Idle(self.mode.idle_seconds(bits, self.now_ms).into()),
            Usage::Frequency => Use::Frequency(self.mode.frequency(bits, self.now_ms) as u8),
        };
        let version = record(&mut out.bytes, entry.key(), &value, entry.expires_at_ms(), used);
        out.version = out.version.max(version);
        self.keys.fetch_add(1, Relaxed);
    }
}

/// What a snapshot has yet to save of a shard.
pub struct Capture {
    kept: Arc<Kept>,
    database: usize,
    /// Entries at lower positions are saved.
    next: u32,
    /// Keys at higher positions that are saved, or were added since.
    settled: HashSet<Box<[u8]>, ahash::RandomState>,
}

impl Capture {
    /// Of a shard of a database, as it is now.
    pub fn new(kept: &Arc<Kept>, database: usize) -> Capture {
        Capture { kept: Arc::clone(kept), database, next: 0, settled: HashSet::default() }
    }

    /// Whose it is.
    pub fn kept(&self) -> &Arc<Kept> {
        &self.kept
    }

    /// Writes an entry down that is about to change, or has been taken out, if it is yet to be saved.
    #[cold]
    pub fn keep(&mut self, position: u32, entry: &Entry) {
        if position < self.next || !self.settled.insert(entry.key().into()) {
            return;
        }
        let mut records = self.kept.records.lock();
        let fits = |last: &Records| last.database == self.database && last.bytes.len() < BYTES_PER_LOCK;
        if !records.last().is_some_and(fits) {
            records.push(Records { database: self.database, ..Records::default() });
        }
        if let Some(last) = records.last_mut() {
            let before = last.bytes.len();
            self.kept.write(last, entry);
            let written = last.bytes.len() - before;
            self.kept.bytes.fetch_add(written as u64, Relaxed);
            if self.kept.pending.fetch_add(written, Relaxed) + written > PENDING_BYTES_MAX {
                self.kept.behind.store(true, Relaxed);
            }
        }
    }

    /// Notes that a key is added, which was not there at the mark, or is settled.
    #[cold]
    pub fn pass_over(&mut self, position: u32, key: &[u8]) {
        if position >= self.next {
            self.settled.insert(key.into());
        }
    }

    /// Saves some more entries of the shard's table to `out`, which is emptied first; answers whether there may be
    /// more.
    fn advance(&mut self, table: &Table, out: &mut Records, read: impl Fn(u64) -> Option<Entry>) -> bool {
        out.bytes.clear();
        (out.database, out.version) = (self.database, 0);
        let (mut last, mut looks) = (None, 0);
        for (position, held) in table.held_from(self.next) {
            let enough = looks >= ENTRIES_PER_LOCK || out.bytes.len() >= BYTES_PER_LOCK;
            // Positions are all that tells what is saved: entries of one go together.
            if enough && last != Some(position) {
                self.next = position;
                return true;
            }
            last = Some(position);
            looks += 1;
            let mut save = |entry: &Entry| {
                if !self.settled.contains(entry.key()) {
                    self.kept.write(out, entry);
                }
            };
            match held {
                Held::Resident(entry) => save(&entry),
                Held::Cold(location) => match read(location) {
                    Some(mut entry) => {
                        entry.set_access_bits(self.kept.mode.fresh(self.kept.now_ms));
                        save(&entry);
                    }
                    None => {
                        self.kept.unreadable.fetch_add(1, Relaxed);
                    }
                },
            }
        }
        false
    }
}

impl ShardState {
    /// The locations of the values on disk that are saved next: whoever reads them first keeps the lock for less long.
    pub fn cold_ahead(&self) -> Vec<u64> {
        let from = self.capture.as_ref().filter(|_| self.table.cold_len() > 0).map(|capture| capture.next);
        let next = from.into_iter().flat_map(|from| self.table.held_from(from).take(ENTRIES_PER_LOCK));
        let cold = next.filter_map(|(_, held)| match held {
            Held::Cold(location) => Some(location),
            Held::Resident(_) => None,
        });
        cold.collect()
    }

    /// Saves some more of the shard to `out`; `read` gives the value at a location on disk. Answers whether there is
    /// more. Ends the capture where there is not.
    pub fn save_some(&mut self, out: &mut Records, read: impl Fn(u64) -> Option<Entry>) -> bool {
        let Some(capture) = &mut self.capture else {
            out.bytes.clear();
            return false;
        };
        if capture.advance(&self.table, out, read) {
            return true;
        }
        capture.kept.left.fetch_sub(1, Relaxed);
        self.capture = None;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::string::NewString;

    #[test]
    fn writers_wait_while_too_much_is_yet_to_be_written() {
        let behind = Arc::new(AtomicBool::new(false));
        let kept = Kept::new(1, Usage::None, AccessMode::default(), 0, Arc::clone(&behind));
        let mut capture = Capture::new(&Arc::new(kept), 3);
        let kept = Arc::clone(capture.kept());
        let value = vec![b'x'; 1 << 20];
        for position in 0..64 {
            assert!(!behind.load(Relaxed));
            let name = position.to_string();
            let entry = Entry::new(name.as_bytes(), NewString::encode(&value), None);
            capture.keep(position, &entry);
            // Once a key.
            capture.keep(position, &entry);
        }
        assert!(behind.load(Relaxed));
        assert_eq!(kept.keys(), 64);
        let records = kept.take_records();
        assert!(records.iter().all(|records| records.database == 3));
        assert_eq!(records.iter().map(|records| records.bytes.len() as u64).sum::<u64>(), kept.bytes());
        assert!(!behind.load(Relaxed));
    }
}
