//! The start: every record of the log is looked at once, and each key's latest leaves a slot.
//!
//! No value comes to memory; a version decides between two records of a key, so segments are read in any order.

use super::Keyspace;
use super::tier::{Found, Spaces, Tier};
use crate::disk::format::{self, Header, SEGMENT_HEADER_BYTES};
use crate::disk::scan::{DamagedRange, scan};
use crate::disk::store::Segment;
use crate::disk::{Kind, Location, Place, Record};
use crate::memory::{Database, KeyHash, ShardState};
use crate::rdb;
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

/// How far recovery has come, for others to see.
#[derive(Default, Debug)]
pub struct Progress {
    /// Bytes of log to look at.
    pub total_bytes: AtomicU64,
    /// Bytes looked at.
    pub done_bytes: AtomicU64,
    /// Records that count so far.
    pub records: AtomicU64,
}

/// What was found.
#[derive(Default, Debug, Clone, Copy)]
pub struct Recovered {
    /// Keys.
    pub keys: usize,
    /// Sound records.
    pub records: u64,
    /// Places where something was damaged.
    pub damaged: u64,
    /// Segments.
    pub segments: usize,
}

/// What is built, by space, by all threads together.
type Databases = RwLock<HashMap<u32, Arc<Database>>>;

/// What one thread finds.
struct Rebuilt<'k> {
    keyspace: &'k Keyspace,
    tier: &'k Tier,
    databases: &'k Databases,
    /// The database that was last used.
    last: Option<(u32, Arc<Database>)>,
    found: Recovered,
    spaces: Spaces,
    /// Slots that stand for keys that are gone, to be removed at the end.
    tombstones: Vec<(u32, KeyHash, u64)>,
    version: u64,
    now_ms: i64,
    buffer: Vec<u8>,
}

impl Keyspace {
    /// Finds all keys of the second tier. Nothing else may use the keyspace meanwhile.
    ///
    /// # Errors
    /// In words for the user, where a segment cannot be read or has a format of another version.
    pub fn recover(&self, now_ms: i64, progress: &Progress) -> Result<Recovered, String> {
        let Some(tier) = self.tier() else { return Ok(Recovered::default()) };
        let segments = tier.store().segments();
        progress.total_bytes.store(segments.iter().map(|segment| segment.capacity).sum(), Relaxed);
        let databases = Databases::default();
        let (next, told) = (AtomicUsize::new(0), Mutex::new(Instant::now()));
        let read = || {
            let mut rebuilt = Rebuilt::new(self, tier, &databases, now_ms);
            while let Some(segment) = segments.get(next.fetch_add(1, Relaxed)) {
                let before = rebuilt.found.records;
                rebuilt.add_segment(segment)?;
                progress.done_bytes.fetch_add(segment.capacity, Relaxed);
                progress.records.fetch_add(rebuilt.found.records - before, Relaxed);
                progress.tell(&told);
            }
            Ok::<_, String>(rebuilt)
        };
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut rebuilt = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(read)).collect();
            let mut rebuilt = read()?;
            for other in others {
                // A panic there was logged when it happened.
                rebuilt.merge(other.join().map_err(|_| "reading it failed".to_owned())??);
            }
            Ok::<_, String>(rebuilt)
        })?;
        rebuilt.found.segments = segments.len();
        Ok(rebuilt.finish())
    }
}

impl Progress {
    /// Says how far it is, once a second.
    fn tell(&self, told: &Mutex<Instant>) {
        let mut told = told.lock();
        if told.elapsed().as_secs() >= 1 {
            *told = Instant::now();
            let [done, total, records] =
                [&self.done_bytes, &self.total_bytes, &self.records].map(|counter| counter.load(Relaxed));
            tracing::info!(done, total, records, "reading the log on disk");
        }
    }
}

impl<'k> Rebuilt<'k> {
    fn new(keyspace: &'k Keyspace, tier: &'k Tier, databases: &'k Databases, now_ms: i64) -> Rebuilt<'k> {
        let count = keyspace.database_count() as u32;
        Rebuilt {
            keyspace,
            tier,
            databases,
            last: None,
            found: Recovered::default(),
            spaces: Spaces { of: (0..count).collect(), next: count, version: 0 },
            tombstones: Vec::new(),
            version: 0,
            now_ms,
            buffer: Vec::new(),
        }
    }

    /// Adds what another thread has found.
    fn merge(&mut self, other: Rebuilt<'_>) {
        self.found.records += other.found.records;
        self.found.damaged += other.found.damaged;
        self.version = self.version.max(other.version);
        self.tombstones.extend(other.tombstones);
        let next = self.spaces.next.max(other.spaces.next);
        if other.spaces.version > self.spaces.version {
            self.spaces = other.spaces;
        }
        self.spaces.next = next;
    }

    /// The database of a space.
    fn database(&mut self, space: u32) -> Arc<Database> {
        match &self.last {
            Some((last, database)) if *last == space => Arc::clone(database),
            _ => {
                let mut databases = self.databases.write();
                let make = || Arc::new(Database::new(self.keyspace.shards));
                let database = Arc::clone(databases.entry(space).or_insert_with(make));
                self.last = Some((space, Arc::clone(&database)));
                database
            }
        }
    }

    fn add_segment(&mut self, segment: &Segment) -> Result<(), String> {
        let found = &mut self.found;
        let fail = |what: &dyn std::fmt::Display| format!("segment {:016x}: {what}", segment.sequence);
        let bytes = segment.contents().map_err(|error| fail(&error))?;
        match format::read_header(&bytes) {
            Header::Sequence(_) => {}
            Header::Format(version) => {
                return Err(fail(&format!(
                    "its format has version {version}, and this server reads version {}",
                    format::FORMAT
                )));
            }
            // One that was made as the power went has nothing in it.
            Header::Damaged if bytes.iter().all(|byte| *byte == 0) => {}
            Header::Damaged => {
                tracing::warn!(segment = segment.sequence, "the header of a segment is damaged");
                found.damaged += 1;
            }
        }
        let scanned = scan(&bytes, segment.sequence, |record, offset, len| {
            self.add(record, Place::new(segment.location(offset), len));
        });
        for DamagedRange { offset, len, what } in &scanned.damage {
            tracing::warn!(
                segment = segment.sequence,
                offset,
                len,
                ?what,
                "records on disk are damaged and skipped"
            );
        }
        self.tier.store().counters.damaged.fetch_add(scanned.damage.len() as u64, Relaxed);
        self.found.damaged += scanned.damage.len() as u64;
        self.found.records += scanned.records;
        segment.set_end(scanned.end.max(SEGMENT_HEADER_BYTES as u64));
        Ok(())
    }

    fn add(&mut self, record: &Record<'_>, place: Place) {
        self.version = self.version.max(record.version);
        if record.kind == Kind::Spaces {
            if record.version >= self.spaces.version {
                let ids = record
                    .value
                    .chunks_exact(4)
                    .filter_map(|id| Some(u32::from_le_bytes(id.try_into().ok()?)));
                self.spaces.of = ids.collect();
                self.spaces.version = record.version;
            }
            self.tier.store().add_live(place);
            return;
        }
        self.spaces.next = self.spaces.next.max(record.space.saturating_add(1));
        let database = self.database(record.space);
        let hash = self.keyspace.hash(record.key);
        let position = hash.position();
        let mut state = database.shard_of(hash).lock();
        let state: &mut ShardState = &mut state;
        let candidates: Vec<u64> = state.table.cold_at(position).map(|(_, bits)| bits).collect();
        let mut known = None;
        for bits in candidates {
            if let Found::Record(other, other_place) =
                self.tier.fetch(Location::from_bits(bits), &mut self.buffer, true)
                && other.key == record.key
            {
                if other.version >= record.version {
                    return;
                }
                self.tier.store().sub_live(other_place);
                state.expires -= u32::from(other.expires_at_ms.is_some());
                known = Some(bits);
                break;
            }
        }
        let bits = place.location().bits();
        let index = known.and_then(|known| state.table.cold_at(position).find(|(_, at)| *at == known));
        match index {
            Some((index, _)) => state.table.move_cold(index, bits),
            None => state.table.insert_cold(position, bits),
        }
        self.tier.store().add_live(place);
        if record.kind == Kind::Tombstone {
            self.tombstones.push((record.space, hash, bits));
            return;
        }
        state.expires += u32::from(record.expires_at_ms.is_some());
        let of_member = match record.kind {
            Kind::Collection => rdb::earliest_member_deadline(record.value),
            _ => None,
        };
        for at in record.expires_at_ms.into_iter().chain(of_member) {
            state.file_expiry(position, at, self.now_ms);
        }
    }

    /// Gives the keyspace what was built.
    fn finish(mut self) -> Recovered {
        let mut databases = std::mem::take(&mut *self.databases.write());
        for (space, hash, bits) in std::mem::take(&mut self.tombstones) {
            let Some(database) = databases.get(&space) else { continue };
            let mut state = database.shard_of(hash).lock();
            let index = state.table.cold_at(hash.position()).find(|(_, at)| *at == bits);
            if let Some((index, _)) = index {
                state.table.remove_cold(index);
            }
        }
        let count = self.keyspace.database_count();
        let mut spaces = self.spaces;
        spaces.next = spaces.of.iter().fold(spaces.next, |next, space| next.max(space + 1));
        while spaces.of.len() < count {
            spaces.of.push(spaces.next);
            spaces.next += 1;
        }
        for (number, space) in spaces.of.iter().enumerate() {
            let Some(database) = databases.remove(space) else { continue };
            if number >= count {
                tracing::warn!(database = number, "the log has a database that `databases` leaves out");
                continue;
            }
            self.found.keys += database.len();
            // Nothing has been put into it yet; at most somebody has looked.
            for (from, to) in database.shards().iter().zip(self.keyspace.database(number).shards()) {
                let (mut from, mut to) = (from.lock(), to.lock());
                std::mem::swap(&mut *from, &mut *to);
                to.version = self.version;
            }
        }
        for dead in databases.into_values() {
            dead.shards()
                .iter()
                .for_each(|shard| super::reclaim::forget_places(&shard.lock(), self.tier.store()));
        }
        self.tier.set_spaces(spaces);
        self.found
    }
}
