//! Between memory and disk: what commands did is logged, values leave memory and come back.
//!
//! A record is written when the locks of a command are about to be released ([`Access::settle`]): all keys that it
//! changed are one frame. It reaches the kernel before the reply leaves ([`Scratch::commit`]). A value that leaves
//! memory leaves its slot behind, with the location of its record; [`Keyspace::try_prepare`] brings it back before
//! a handler runs, so that handlers know nothing of it.

use super::access::{Access, Lock};
use super::{Key, Keyspace, Scratch};
use crate::disk::format::{self, flag};
use crate::disk::store::SyncPolicy;
use crate::disk::{Fetched, Kind, Lane, Location, Place, Record, Store};
use crate::memory::table::Held;
use crate::memory::{Entry, KeyHash, ShardState, usage};
use crate::rdb;
use crate::value::Collection;
use crate::value::string::{NewString, StringRef};
use parking_lot::{Mutex, RwLock};
use smallvec::SmallVec;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// How many cold reads are remembered, to know the second of a key from the first.
const SEEN: usize = 1 << 16;
/// How many threads may read what is due.
const READERS_MAX: usize = 4;

/// The second tier of a keyspace.
pub struct Tier {
    store: Arc<Store>,
    /// Every write is logged (`appendonly`).
    log: AtomicBool,
    /// Logging has begun, and what was there before is not logged yet.
    pub behind: AtomicBool,
    sync: AtomicU8,
    spaces: Mutex<Spaces>,
    /// The space of each database, to be read without the lock.
    space_of: Box<[AtomicU32]>,
    /// For each of many hashes the fingerprint of the key that was last read from disk.
    seen: Box<[AtomicU32]>,
    /// Threads that read what is due.
    readers: AtomicUsize,
    limits: RwLock<Option<rdb::Limits>>,
    maxmemory: AtomicU64,
}

/// Which space each database is. A new one empties it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spaces {
    pub(super) of: Vec<u32>,
    pub(super) next: u32,
    pub(super) version: u64,
}

/// Values that a command needs are on disk, and the disk has to be waited for.
#[derive(Debug, Default, Clone)]
pub struct ColdKeys {
    /// Where they are.
    pub locations: SmallVec<[Location; 2]>,
}

/// Why a write cannot be logged.
#[derive(Debug, PartialEq, Eq)]
pub enum NotReady {
    /// There is no room; it is being made.
    Yet,
    /// Writing fails, for this reason.
    Failed(String),
}

/// A key that was changed and is not logged yet.
pub(super) struct Dirty {
    database: usize,
    hash: KeyHash,
    name: SmallVec<[u8; 36]>,
    /// The place that its entry had when it was removed.
    removed: u64,
}

/// An entry that came from disk.
struct Promoted {
    database: usize,
    hash: KeyHash,
    place: u64,
    /// It stays in memory.
    stays: bool,
}

/// A record of the frame whose place its entry is to be told.
struct Fixup {
    database: usize,
    hash: KeyHash,
    name: SmallVec<[u8; 36]>,
    record: usize,
}

/// What one worker needs for the tier.
#[derive(Default)]
pub(super) struct TierScratch {
    lane: Option<Lane>,
    frame: format::Frame,
    dirty: Vec<Dirty>,
    fixups: Vec<Fixup>,
    /// Entries that came from disk for the present command.
    promoted: Vec<Promoted>,
    /// The place of the entry that was last taken out.
    pub(super) removed: u64,
    buffer: Vec<u8>,
    /// Records that the disk has to be asked for.
    wanted: Vec<Location>,
    /// The frame must reach the kernel before the locks are released.
    at_once: bool,
    /// How many values were written so that they can leave memory.
    written_out: u64,
    /// Something could not be logged: nobody may be told that it was.
    lost: bool,
}

impl TierScratch {
    fn lane(&mut self, tier: &Tier) -> &mut Lane {
        self.lane.get_or_insert_with(|| Lane::new(Arc::clone(&tier.store)))
    }
}

impl Scratch {
    /// Gives to the kernel what was logged.
    ///
    /// # Errors
    /// When something was not logged, since the last call: nobody may be told that it was done.
    #[inline]
    pub fn commit(&mut self) -> io::Result<()> {
        let tier = &mut self.tier;
        if !tier.lost && tier.lane.as_ref().is_none_or(Lane::is_flushed) { Ok(()) } else { tier.flush() }
    }

    /// Logs by a lane that may fill the tier to its bound: for whoever makes room.
    pub fn for_reclaiming(store: &Arc<Store>) -> Scratch {
        let mut scratch = Scratch::default();
        scratch.tier.lane = Some(Lane::for_reclaiming(Arc::clone(store)));
        scratch
    }

    /// How many values were written so that they can leave memory.
    pub(super) fn written_out(&self) -> u64 {
        self.tier.written_out
    }

    /// The number of the last flush, for [`Store::synced`].
    pub fn last_flush(&self) -> u64 {
        self.tier.lane.as_ref().map_or(0, Lane::last_flush)
    }
}

impl TierScratch {
    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.lane.as_mut().map_or(Ok(()), Lane::flush);
        if std::mem::take(&mut self.lost) {
            return Err(io::Error::other("a write was not logged"));
        }
        flushed
    }
}

impl Tier {
    /// A tier of `databases` databases.
    pub fn new(store: Arc<Store>, databases: usize) -> Tier {
        let of: Vec<u32> = (0..databases as u32).collect();
        Tier {
            store,
            log: AtomicBool::new(false),
            behind: AtomicBool::new(false),
            sync: AtomicU8::new(1),
            space_of: of.iter().map(|space| AtomicU32::new(*space)).collect(),
            spaces: Mutex::new(Spaces { of, next: databases as u32, version: 0 }),
            seen: (0..SEEN).map(|_| AtomicU32::new(0)).collect(),
            readers: AtomicUsize::new(0),
            limits: RwLock::new(None),
            maxmemory: AtomicU64::new(0),
        }
    }

    /// The segments.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Whether every write is logged.
    #[inline]
    pub fn logs(&self) -> bool {
        self.log.load(Relaxed)
    }

    /// Follows the settings.
    pub fn follow(&self, log: bool, sync: SyncPolicy, maxmemory: u64, size_max: u64, limits: rdb::Limits) {
        if log && !self.log.swap(log, Relaxed) {
            self.behind.store(true, Relaxed);
        }
        self.log.store(log, Relaxed);
        self.sync.store(sync as u8, Relaxed);
        self.maxmemory.store(maxmemory, Relaxed);
        self.store.set_size_max(size_max);
        *self.limits.write() = Some(limits);
    }

    /// When written records are synced.
    pub fn sync_policy(&self) -> SyncPolicy {
        match self.sync.load(Relaxed) {
            0 => SyncPolicy::Always,
            1 => SyncPolicy::EverySecond,
            _ => SyncPolicy::Never,
        }
    }

    pub(super) fn space(&self, database: usize) -> u32 {
        self.space_of[database].load(Relaxed)
    }

    /// The database that has a space.
    pub(super) fn database_of(&self, space: u32) -> Option<usize> {
        self.space_of.iter().position(|of| of.load(Relaxed) == space)
    }

    /// The version of the record that says which space each database is.
    pub(super) fn spaces_version(&self) -> u64 {
        self.spaces.lock().version
    }

    /// Sets the spaces that recovery has found.
    pub(super) fn set_spaces(&self, spaces: Spaces) {
        for (of, space) in self.space_of.iter().zip(&spaces.of) {
            of.store(*space, Relaxed);
        }
        *self.spaces.lock() = spaces;
    }

    /// Whether a cold key that is read should stay in memory: there is room, or it was read not long ago.
    fn keeps(&self, hash: KeyHash) -> bool {
        let maxmemory = self.maxmemory.load(Relaxed);
        if maxmemory == 0 || usage::excess_bytes(maxmemory - maxmemory / 16).is_none() {
            return true;
        }
        let fingerprint = (hash.0 >> 32) as u32 | 1;
        let place = &self.seen[(hash.0 as usize >> 4) % SEEN];
        place.swap(fingerprint, Relaxed) == fingerprint
    }

    /// The value of a record as an entry.
    pub(super) fn decode(&self, record: &Record<'_>) -> Option<Entry> {
        match record.kind {
            Kind::String => {
                let value = if record.flags & flag::INTEGER != 0 {
                    NewString::encode(record.value)
                } else {
                    NewString::encode_raw(record.value)
                };
                let mut entry = Entry::with_place(record.key, value, record.expires_at_ms);
                if record.flags & flag::EDITED != 0 {
                    entry.mark_edited();
                }
                Some(entry)
            }
            Kind::Collection => {
                let limits = (*self.limits.read())?;
                let limits = limits.for_copies(record.flags & flag::UNPACKED == 0);
                match rdb::read_copy(record.value, &limits) {
                    Ok(rdb::Decoded::Collection(collection)) => {
                        Some(Entry::with_place(record.key, collection, record.expires_at_ms))
                    }
                    _ => None,
                }
            }
            Kind::Tombstone | Kind::Spaces => None,
        }
    }
}

/// Whether a collection has left its packed form for good.
fn is_unpacked(collection: &Collection) -> bool {
    matches!(collection.encoding(), "hashtable" | "quicklist" | "skiplist")
}

/// Adds the record of an entry to a frame.
fn push_entry(frame: &mut format::Frame, entry: &Entry, version: u64, space: u32) {
    let mut record = Record {
        version,
        space,
        kind: Kind::String,
        flags: if entry.is_edited() { flag::EDITED } else { 0 },
        expires_at_ms: entry.expires_at_ms(),
        frame_left: 0,
        key: entry.key(),
        value: b"",
    };
    match (entry.string(), entry.collection()) {
        (Some(StringRef::Int(int)), _) => {
            record.flags |= flag::INTEGER;
            frame.push(&record, |out| out.extend_from_slice(itoa::Buffer::new().format(int).as_bytes()));
        }
        (Some(string), _) => string.with(|text| frame.push(&record, |out| out.extend_from_slice(text))),
        (None, Some(collection)) => {
            record.kind = Kind::Collection;
            record.flags = if is_unpacked(collection) { flag::UNPACKED } else { 0 };
            frame.push(&record, |out| rdb::write_copy(out, &rdb::Value::Collection(collection)));
        }
        (None, None) => {}
    }
}

/// Adds the record that a key is gone.
///
/// It is needed until no segment up to `horizon` is left: none that is made later has older records of the key.
fn push_tombstone(frame: &mut format::Frame, key: &[u8], version: u64, space: u32, horizon: u64) {
    let record = Record {
        version,
        space,
        kind: Kind::Tombstone,
        flags: 0,
        expires_at_ms: None,
        frame_left: 0,
        key,
        value: b"",
    };
    frame.push(&record, |out| out.extend_from_slice(&horizon.to_le_bytes()));
}

impl Keyspace {
    /// The second tier, if there is one.
    #[inline]
    pub fn tier(&self) -> Option<&Arc<Tier>> {
        self.tier.as_ref()
    }

    /// A key was changed, and its entry is still to be logged.
    #[inline]
    pub(super) fn note_dirty(&self, scratch: &mut Scratch, database: usize, hash: KeyHash, name: &[u8]) {
        if self.tier.is_some() {
            let removed = std::mem::take(&mut scratch.tier.removed);
            let dirty = &mut scratch.tier.dirty;
            if let Some(last) = dirty.last_mut()
                && last.hash == hash
                && last.database == database
                && last.name[..] == *name
            {
                last.removed |= removed;
                return;
            }
            dirty.push(Dirty { database, hash, name: SmallVec::from_slice(name), removed });
        }
    }

    /// An entry was taken out of its table, and that is still to be logged.
    pub(super) fn note_removed(&self, scratch: &mut Scratch, database: usize, entry: &mut Entry) {
        scratch.tier.removed = entry.place();
        entry.set_place(0);
        self.note_dirty(scratch, database, self.hash(entry.key()), entry.key());
    }

    /// Brings back the keys at a position whose deadline has passed, so that they can expire; files the others
    /// again. Answers whether the disk need not be waited for; where it must, [`Self::read_wanted`] is to be
    /// called when no lock is held.
    pub(super) fn show_due(
        &self,
        scratch: &mut Scratch,
        state: &mut ShardState,
        position: u32,
        now_ms: i64,
    ) -> bool {
        let Some(tier) = self.tier.as_ref().filter(|_| state.table.cold_len() > 0) else { return true };
        let cold: SmallVec<[u64; 4]> = state.table.cold_at(position).map(|(_, location)| location).collect();
        let mut buffer = std::mem::take(&mut scratch.tier.buffer);
        let mut shown = true;
        for bits in cold {
            match tier.fetch(Location::from_bits(bits), &mut buffer, false) {
                Found::Cold => {
                    shown = false;
                    scratch.tier.wanted.push(Location::from_bits(bits));
                }
                Found::Unreadable | Found::Damaged => {}
                Found::Record(record, place) => {
                    let of_member = match record.kind {
                        Kind::Collection => rdb::earliest_member_deadline(record.value),
                        _ => None,
                    };
                    let (due, later): (Vec<i64>, Vec<i64>) =
                        record.expires_at_ms.into_iter().chain(of_member).partition(|at| *at <= now_ms);
                    later.into_iter().for_each(|at| state.file_expiry(position, at, now_ms));
                    let index = state.table.cold_at(position).find(|(_, at)| *at == bits);
                    if !due.is_empty()
                        && let (Some(mut entry), Some((index, _))) = (tier.decode(&record), index)
                    {
                        entry.set_place(place.bits());
                        state.table.promote(index, entry);
                    }
                }
            }
        }
        scratch.tier.buffer = buffer;
        shown
    }

    /// Has the records that were wanted come into the kernel's memory, on a thread of its own; where several are at it
    /// already, they are wanted again soon. No lock may be held.
    pub(super) fn read_wanted(&self, scratch: &mut Scratch) {
        let wanted = std::mem::take(&mut scratch.tier.wanted);
        let Some(tier) = self.tier.as_ref().filter(|_| !wanted.is_empty()) else { return };
        if tier.readers.fetch_add(1, Relaxed) >= READERS_MAX {
            tier.readers.fetch_sub(1, Relaxed);
            return;
        }
        let shared = Arc::clone(tier);
        let read = move || {
            for location in wanted {
                // Whatever the outcome, whoever wants it reads again.
                let _ = shared.store.fetch(location, &mut Vec::new(), true);
            }
            shared.readers.fetch_sub(1, Relaxed);
        };
        if let Err(error) = std::thread::Builder::new().name("cold-read".into()).spawn(read) {
            tier.readers.fetch_sub(1, Relaxed);
            tracing::warn!(%error, "no thread for reading from disk");
        }
    }

    /// Logs what was changed, as one frame. `locks` has all its shards, in order.
    pub(super) fn log_dirty(&self, scratch: &mut Scratch, locks: &mut [Lock<'_>]) {
        let Some(tier) = &self.tier else { return };
        let logs = tier.logs();
        let mut dirty = std::mem::take(&mut scratch.tier.dirty);
        if dirty.len() > 1 {
            // Of several changes of a key the frame needs only what came of them.
            dirty.sort_by(|a, b| (a.database, a.hash.0, &a.name).cmp(&(b.database, b.hash.0, &b.name)));
            dirty.dedup_by(|later, first| {
                let same = later.database == first.database && later.name == first.name;
                if same {
                    first.removed |= later.removed;
                }
                same
            });
        }
        let own = &mut scratch.tier;
        for Dirty { database, hash, name, removed } in dirty.drain(..) {
            let state = self.state_in(locks, database, hash);
            let space = tier.space(database);
            let (version, found) = (state.version, state.table.find(hash.position(), &name));
            let old = found.map_or(0, |index| state.table.at(index).place()) | removed;
            if let Some(old) = Place::from_bits(old) {
                tier.store.sub_live(old);
            }
            match found {
                Some(index) if logs => {
                    push_entry(&mut own.frame, &state.table.at(index), version, space);
                    let record = own.frame.records().len() - 1;
                    own.fixups.push(Fixup { database, hash, name, record });
                }
                _ if old == 0 => {}
                found => {
                    if let Some(index) = found {
                        state.table.at_mut(index).set_place(0);
                    }
                    push_tombstone(&mut own.frame, &name, version, space, tier.store.last_sequence());
                }
            }
        }
        own.dirty = dirty;
        if !own.frame.is_empty() {
            self.append_frame(tier, own, locks);
        }
    }

    /// The locked shard of a key.
    fn state_in<'s>(&self, locks: &'s mut [Lock<'_>], database: usize, hash: KeyHash) -> &'s mut ShardState {
        let shard = self.database(database).shard_index(hash);
        let at = locks.binary_search_by_key(&(database, shard), |lock| (lock.database, lock.shard));
        &mut locks[at.expect("what is changed is locked")].guard
    }

    /// Appends the frame and tells entries their places.
    fn append_frame(&self, tier: &Tier, own: &mut TierScratch, locks: &mut [Lock<'_>]) {
        let mut frame = std::mem::take(&mut own.frame);
        let lane = own.lane(tier);
        let base = lane.append(&mut frame).or_else(|_| {
            // What is kept for such: a key that goes should not be refused for lack of room.
            lane.ready_to_free(frame.len() as u64)?;
            lane.append(&mut frame)
        });
        if let Ok(base) = &base {
            for range in frame.records() {
                tier.store.add_live(Place::new(base.after(range.start), format::padded(range.len())));
            }
        }
        for Fixup { database, hash, name, record } in own.fixups.drain(..) {
            let state = self.state_in(locks, database, hash);
            let Some(index) = state.table.find(hash.position(), &name) else { continue };
            let place = base.as_ref().ok().map(|base| {
                let range = &frame.records()[record];
                Place::new(base.after(range.start), format::padded(range.len()))
            });
            state.table.at_mut(index).set_place(place.map_or(0, Place::bits));
        }
        if (base.is_err() && tier.logs())
            || (std::mem::take(&mut own.at_once) && own.lane(tier).flush().is_err())
        {
            own.lost = true;
        }
        frame.clear();
        own.frame = frame;
    }

    /// The database gets a new space. All its shards are locked.
    pub(super) fn renew_space(&self, scratch: &mut Scratch, databases: &[usize], swap: bool, locked: bool) {
        let Some(tier) = &self.tier else { return };
        let mut spaces = tier.spaces.lock();
        match databases {
            [one, other] if swap => spaces.of.swap(*one, *other),
            databases => {
                for database in databases {
                    spaces.of[*database] = spaces.next;
                    spaces.next += 1;
                }
            }
        }
        spaces.version += 1;
        let record = Record {
            version: spaces.version,
            space: 0,
            kind: Kind::Spaces,
            flags: 0,
            expires_at_ms: None,
            frame_left: 0,
            key: b"",
            value: b"",
        };
        let own = &mut scratch.tier;
        own.frame.push(&record, |out| {
            spaces.of.iter().for_each(|space| out.extend_from_slice(&space.to_le_bytes()));
        });
        for (of, space) in tier.space_of.iter().zip(&spaces.of) {
            of.store(*space, Relaxed);
        }
        // Nobody may log a key of the new space before this is safe. In a transaction the locks stay, and the
        // frame follows.
        own.at_once = true;
        if !locked {
            let mut frame = std::mem::take(&mut own.frame);
            let lane = own.lane(tier);
            let base = lane.append(&mut frame);
            own.lost |= base.is_err() || lane.flush().is_err();
            own.at_once = false;
            if let Ok(base) = base {
                tier.store.add_live(Place::new(base, frame.len()));
            }
            frame.clear();
            own.frame = frame;
        }
    }

    /// Logs that a key was evicted, whose shard is no longer locked: should it have been made anew meanwhile, its
    /// version is the higher.
    pub(super) fn log_eviction(&self, scratch: &mut Scratch, database: usize, entry: &mut Entry) {
        if Place::from_bits(entry.place()).is_some() {
            let shard = self.database(database).shard_index(self.hash(entry.key()));
            self.note_removed(scratch, database, entry);
            self.log_dirty(scratch, std::slice::from_mut(&mut self.lock(database, shard)));
        }
    }

    /// Gives `see` what a slot holds, read from disk if need be, which is waited for.
    pub(super) fn show<R>(&self, held: Held<'_>, see: impl FnOnce(&Entry) -> R) -> Option<R> {
        match held {
            Held::Resident(entry) => Some(see(&entry)),
            Held::Cold(bits) => self.read_cold(bits).map(|entry| see(&entry)),
        }
    }

    /// The value at a location on disk, which is waited for.
    pub(super) fn read_cold(&self, bits: u64) -> Option<Entry> {
        let tier = self.tier.as_ref()?;
        match tier.fetch(Location::from_bits(bits), &mut Vec::new(), true) {
            Found::Record(record, _) => tier.decode(&record),
            Found::Cold | Found::Unreadable | Found::Damaged => None,
        }
    }

    /// The records of a shard that was flushed no longer count.
    pub(super) fn forget_shard(&self, shard: &ShardState) {
        if let Some(tier) = &self.tier {
            super::reclaim::forget_places(shard, &tier.store);
        }
    }

    /// Lets every value leave memory that may. No lock may be held. Returns how many left.
    pub fn demote_all(&self, scratch: &mut Scratch) -> usize {
        let mut left = 0;
        // What the first round writes can leave in the second.
        for _ in 0..2 {
            for (number, database) in self.databases_in_use() {
                for shard in database.shards() {
                    let mut state = shard.lock();
                    let mut at = 0;
                    while let Some(index) = state.table.next_resident(at) {
                        if let Some(entry) = self.leave_on_disk(scratch, &mut state, number, index) {
                            self.discard(scratch, entry);
                            left += 1;
                        }
                        at = index + 1;
                    }
                }
            }
            if scratch.commit().is_err() {
                break;
            }
        }
        self.deliver(scratch);
        left
    }

    /// What stands against a write, if the log on disk is in force. One that `frees` needs little room, and has it
    /// where others have none.
    #[inline]
    pub fn log_ready(&self, scratch: &mut Scratch, frees: bool) -> Result<(), NotReady> {
        let Some(tier) = self.tier.as_ref().filter(|tier| tier.logs()) else { return Ok(()) };
        let lane = scratch.tier.lane(tier);
        let Err(error) = lane.ready() else { return Ok(()) };
        if frees && lane.ready_to_free(0).is_ok() {
            return Ok(());
        }
        Err(if tier.store.is_passing(&error) {
            NotReady::Yet
        } else {
            NotReady::Failed(tier.store.failure())
        })
    }

    /// Makes room by leaving values on disk only. Answers whether any left.
    pub(super) fn leave_on_disk(
        &self,
        scratch: &mut Scratch,
        state: &mut ShardState,
        database: usize,
        index: usize,
    ) -> Option<Entry> {
        let tier = self.tier.as_ref()?;
        if let Some(place) = Place::from_bits(state.table.at(index).place()) {
            if !tier.store.is_written(place) {
                return None;
            }
            tier.store.counters.demoted.fetch_add(1, Relaxed);
            return Some(state.table.demote(index, place.location().bits()));
        }
        // Written now, it can leave when the hand comes again.
        self.write_out(scratch, state, database, index);
        None
    }

    /// Logs the value of an entry that has no record.
    fn write_out(&self, scratch: &mut Scratch, state: &mut ShardState, database: usize, index: usize) {
        let Some(tier) = &self.tier else { return };
        let own = &mut scratch.tier;
        let mut frame = std::mem::take(&mut own.frame);
        own.written_out += 1;
        // A tombstone of the value before may have the present version.
        state.version += 1;
        push_entry(&mut frame, &state.table.at(index), state.version, tier.space(database));
        if let Ok(base) = own.lane(tier).append(&mut frame) {
            let place = Place::new(base, frame.len());
            tier.store.add_live(place);
            state.table.at_mut(index).set_place(place.bits());
        }
        frame.clear();
        own.frame = frame;
    }

    /// Logs every value that has no record: before a stop, and where logging begins. No lock may be held.
    ///
    /// # Errors
    /// Where not all could be logged.
    pub fn write_all_out(&self, scratch: &mut Scratch) -> io::Result<()> {
        for (number, database) in self.databases_in_use() {
            for shard in database.shards() {
                let mut state = shard.lock();
                let mut at = 0;
                while let Some(index) = state.table.next_resident(at) {
                    if state.table.at(index).place() == 0 {
                        self.write_out(scratch, &mut state, number, index);
                        if state.table.at(index).place() == 0 {
                            return Err(io::Error::other("there is no room"));
                        }
                    }
                    at = index + 1;
                }
                drop(state);
                scratch.commit()?;
            }
        }
        Ok(())
    }
}

/// What is at a location.
pub(super) enum Found<'b> {
    /// The disk has to be waited for.
    Cold,
    /// The disk does not give it now.
    Unreadable,
    /// It is lost.
    Damaged,
    /// A record, and its place.
    Record(Record<'b>, Place),
}

impl Tier {
    /// Reads the record at a location; damage is counted and logged.
    pub(super) fn fetch<'b>(&self, location: Location, buffer: &'b mut Vec<u8>, wait: bool) -> Found<'b> {
        let damaged = |what: &dyn std::fmt::Debug| {
            self.store.counters.damaged.fetch_add(1, Relaxed);
            let segment = self.store.sequence_of(location);
            tracing::error!(segment, offset = location.offset(), ?what, "a record on disk is damaged");
            Found::Damaged
        };
        match self.store.fetch(location, buffer, wait) {
            Ok(Fetched::Cold) => Found::Cold,
            Ok(Fetched::Nothing) => damaged(&"nothing there"),
            Ok(Fetched::Bytes) => match format::read(buffer, self.store.sequence_of(location).unwrap_or(0)) {
                Ok(record) => Found::Record(record, Place::new(location, format::padded(buffer.len()))),
                Err(damage) => damaged(&damage),
            },
            Err(error) => {
                tracing::error!(offset = location.offset(), %error, "a record on disk cannot be read");
                Found::Unreadable
            }
        }
    }
}

/// What became of looking for a key on disk.
enum Resolved {
    Done,
    Cold(Location),
}

impl Access<'_> {
    /// Brings the value of a key back if it is on disk.
    pub(super) fn resolve(&mut self, key: Key<'_>, wait: bool, cold: &mut ColdKeys) {
        let lock = self.lock_of(key);
        if self.locks[lock].guard.table.cold_len() > 0
            && let Resolved::Cold(location) = self.resolve_at(lock, key, wait)
        {
            cold.locations.push(location);
        }
    }

    #[cold]
    fn resolve_at(&mut self, lock: usize, key: Key<'_>, wait: bool) -> Resolved {
        let Some(tier) = &self.space.tier else { return Resolved::Done };
        let position = key.hash.position();
        let state = &mut self.locks[lock].guard;
        if state.table.find(position, key.name).is_some() {
            return Resolved::Done;
        }
        let candidates: SmallVec<[u64; 4]> =
            state.table.cold_at(position).map(|(_, location)| location).collect();
        let own = &mut self.scratch.tier;
        let mut buffer = std::mem::take(&mut own.buffer);
        let resolved = 'found: {
            for bits in candidates {
                let location = Location::from_bits(bits);
                match tier.fetch(location, &mut buffer, wait) {
                    Found::Cold => break 'found Resolved::Cold(location),
                    Found::Unreadable => {}
                    Found::Damaged => {
                        let index = state.table.cold_at(position).find(|(_, at)| *at == bits);
                        if let Some((index, _)) = index {
                            state.table.remove_cold(index);
                        }
                    }
                    Found::Record(record, place) => {
                        if record.key != key.name {
                            continue;
                        }
                        let index = state.table.cold_at(position).find(|(_, at)| *at == bits);
                        let (Some(mut entry), Some((index, _))) = (tier.decode(&record), index) else {
                            continue;
                        };
                        entry.set_place(place.bits());
                        entry.set_access_bits(self.space.access_mode().fresh(self.now_ms));
                        state.table.promote(index, entry);
                        tier.store.counters.promoted.fetch_add(1, Relaxed);
                        let stays = tier.keeps(key.hash);
                        let Key { database, hash, .. } = key;
                        own.promoted.push(Promoted { database, hash, place: place.bits(), stays });
                        break 'found Resolved::Done;
                    }
                }
            }
            Resolved::Done
        };
        own.buffer = buffer;
        resolved
    }

    /// Whether the value of a key came from disk for the present command.
    pub fn came_from_disk(&self, key: Key<'_>) -> bool {
        let promoted = &self.scratch.tier.promoted;
        promoted.iter().any(|entry| entry.database == key.database && entry.hash == key.hash)
    }

    /// Logs what was changed, and lets go of what was only looked at. The shards are still locked.
    #[inline]
    pub(super) fn settle_tier(&mut self) {
        let own = &self.scratch.tier;
        if !own.dirty.is_empty() || !own.promoted.is_empty() || own.at_once {
            self.settle_changes();
        }
    }

    fn settle_changes(&mut self) {
        let space = self.space;
        space.log_dirty(self.scratch, &mut self.locks);
        let mut promoted = std::mem::take(&mut self.scratch.tier.promoted);
        for Promoted { database, hash, place: bits, .. } in promoted.drain(..).filter(|entry| !entry.stays) {
            let state = space.state_in(&mut self.locks, database, hash);
            // It has another place if it was changed, and none if it is gone.
            if let (Some(index), Some(place)) =
                (state.table.index_of_place(hash.position(), bits), Place::from_bits(bits))
            {
                let entry = state.table.demote(index, place.location().bits());
                space.discard(self.scratch, entry);
            }
        }
        self.scratch.tier.promoted = promoted;
    }
}
