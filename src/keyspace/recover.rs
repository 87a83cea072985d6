//! The start: every record of the log is looked at once, and each key's latest leaves a slot.
//!
//! No value comes to memory; a version decides between two records of a key, so segments are read in any order.

use super::checkpoint::{self, Checkpoint};
use super::cold::Found;
use super::tier::{Spaces, Tier};
use super::{Key, Keyspace, Scratch};
use crate::disk::format::{self, Header, SEGMENT_HEADER_BYTES, flag};
use crate::disk::scan::{DamagedRange, scan};
use crate::disk::segment::Segment;
use crate::disk::{Kind, Location, Place, Record};
use crate::memory::wheel::FINEST_MS;
use crate::memory::{Chain, Database, KeyHash, ShardState};
use crate::rdb;
use crate::value::hash::Hash;
use crate::value::{Typed, journal};
use parking_lot::{Mutex, RwLock};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

/// A longer string has never been in memory.
const TEXT_BYTES_MAX: usize = 1 << 40;

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

/// What [`Delta::frame`] is for a record alone in its frame.
const NO_FRAME: u64 = u64::MAX;

/// A record that continues others.
struct Delta {
    space: u32,
    /// A second hash of the key, which no keys share that share the first.
    sum: u32,
    hash: u64,
    version: u64,
    place: Place,
    /// The location of the first record of its frame.
    frame: u64,
}

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
    deltas: Vec<Delta>,
    /// Frames that count as never written.
    left_out: &'k HashSet<u64>,
    /// The keys of their records.
    revoked: Vec<(u32, Box<[u8]>)>,
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
        let left = tier.store().checkpoint().map_err(|error| format!("the checkpoint: {error}"))?;
        let mut left_out = HashSet::new();
        loop {
            let databases = Databases::default();
            segments.iter().for_each(|segment| segment.set_live(0));
            let mut known = Rebuilt::new(self, tier, &databases, &left_out, now_ms);
            let mut tail = segments.clone();
            match left.as_deref().map(checkpoint::read) {
                Some(Some(checkpoint)) => {
                    // Otherwise it was left by an earlier stop.
                    if let Some(covered) = checkpoint.segments_of(self, &segments) {
                        tail.retain(|segment| covered.iter().all(|known| known.sequence != segment.sequence));
                        known.add_checkpoint(checkpoint, &covered)?;
                    }
                }
                Some(None) => tracing::warn!("the checkpoint is damaged: the whole log is read"),
                None => {}
            }
            let mut rebuilt = self.read_segments(known, &tail, progress)?;
            let frames = rebuilt.frames_without_base();
            if frames.is_empty() {
                let (deltas, revoked) =
                    (std::mem::take(&mut rebuilt.deltas), std::mem::take(&mut rebuilt.revoked));
                let found = rebuilt.finish();
                self.join(tier, deltas, revoked, now_ms);
                return Ok(found);
            }
            // What was written together must come into force together, or not at all.
            tracing::warn!(frames = frames.len(), "transactions are left out that continue what is lost");
            left_out.extend(frames);
            progress.done_bytes.store(0, Relaxed);
            progress.records.store(0, Relaxed);
        }
    }

    /// Looks at every record of the segments, and adds to what is known.
    fn read_segments<'k>(
        &'k self,
        mut known: Rebuilt<'k>,
        segments: &[Arc<Segment>],
        progress: &Progress,
    ) -> Result<Rebuilt<'k>, String> {
        progress.total_bytes.store(segments.iter().map(|segment| segment.capacity).sum(), Relaxed);
        let (next, told) = (AtomicUsize::new(0), Mutex::new(Instant::now()));
        let Rebuilt { tier, databases, left_out, now_ms, .. } = known;
        let read = || {
            let mut rebuilt = Rebuilt::new(self, tier, databases, left_out, now_ms);
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
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(read)).collect();
            known.merge(read()?);
            for other in others {
                // A panic there was logged when it happened.
                known.merge(other.join().map_err(|_| "reading it failed".to_owned())??);
            }
            Ok::<_, String>(())
        })?;
        known.found.segments += segments.len();
        known.deltas.sort_unstable_by_key(|delta| (delta.group(), delta.version));
        // A copy that was moved while the server was killed.
        known.deltas.dedup_by_key(|delta| (delta.group(), delta.version));
        Ok(known)
    }

    /// Brings the values to memory that have deltas, and writes anew what part of the log must not speak of again.
    fn join(&self, tier: &Tier, deltas: Vec<Delta>, mut revoked: Vec<(u32, Box<[u8]>)>, now_ms: i64) {
        let mut scratch = Scratch::for_writing_out(tier.store());
        let mut is_synced = None;
        for group in deltas.chunk_by(|a, b| a.group() == b.group()) {
            let Some(database) = tier.database_of(group[0].space) else { continue };
            let shard = self.database(database).shard_index(KeyHash(group[0].hash));
            let mut lock = self.lock(database, shard);
            let state = &mut *lock.guard;
            let Some((index, is_whole)) = join_one(tier, state, group, usize::MAX, now_ms) else { continue };
            if !is_whole {
                tier.store().counters.damaged.fetch_add(1, Relaxed);
                tracing::warn!(database, "a value is older than it was: what was done to it is lost in part");
                revoked.push((group[0].space, state.table.at(index).key().into()));
            } else if tier.is_short_of_memory()
                // As in `write_all_out`.
                && *is_synced.get_or_insert_with(|| tier.store().sync().is_ok())
                && self.write_out(&mut scratch, state, group[0].space, index).is_ok()
            {
                // It is free to go.
                if scratch.commit().is_ok()
                    && let Some(entry) = self.leave_on_disk(&mut scratch, state, database, index)
                {
                    drop(entry);
                }
            }
        }
        let revoked: Vec<Key<'_>> = revoked
            .iter()
            .filter_map(|(space, name)| Some(self.key(tier.database_of(*space)?, name)))
            .collect();
        if revoked.is_empty() {
            return self.deliver(&mut scratch);
        }
        // Until that is safe nobody may see it: without it the next start may find more.
        self.prepare(&mut scratch, &revoked, now_ms, false).log_again(&revoked);
        if let Err(error) = scratch.commit().and_then(|()| tier.store().sync()) {
            tracing::error!(%error, "what was repaired cannot be written: it is repaired again at the next start");
        }
        self.deliver(&mut scratch);
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

impl Delta {
    /// The key, as far as it is told from others.
    fn group(&self) -> (u32, u64, u32) {
        (self.space, self.hash, self.sum)
    }
}

/// The version of the record before a delta, and what was done since.
fn split_delta(value: &[u8]) -> Option<(u64, &[u8])> {
    let (before, notes) = value.split_first_chunk()?;
    Some((u64::from_le_bytes(*before), notes))
}

/// The whole record that the deltas of a group may continue, with its index: the slot of their key.
fn base_of<'b>(
    tier: &Tier,
    state: &ShardState,
    group: &[Delta],
    key: &[u8],
    buffer: &'b mut Vec<u8>,
) -> Option<(usize, Place, Record<'b>)> {
    let position = KeyHash(group[0].hash).position();
    let slots: Vec<(usize, u64)> = state.table.cold_at(position).collect();
    let (index, bits) = slots.into_iter().find(|(_, bits)| {
        let found = tier.fetch(Location::from_bits(*bits), buffer, true);
        matches!(found, Found::Record(record, _) if record.key == key)
    })?;
    match tier.fetch(Location::from_bits(bits), buffer, true) {
        Found::Record(record, place) => Some((index, place, record)),
        _ => None,
    }
}

/// The key of a delta.
fn key_of(tier: &Tier, delta: &Delta) -> Option<Vec<u8>> {
    match tier.fetch(delta.place.location(), &mut Vec::new(), true) {
        Found::Record(record, _) => Some(record.key.to_vec()),
        _ => None,
    }
}

/// Brings a value to memory, with what at most so many of its deltas say: its index, and whether that was all. `None`
/// where they continue nothing.
fn join_one(
    tier: &Tier,
    state: &mut ShardState,
    group: &[Delta],
    most: usize,
    now_ms: i64,
) -> Option<(usize, bool)> {
    let (mut of_base, mut of_delta) = (Vec::new(), Vec::new());
    let key = key_of(tier, &group[0])?;
    let (index, place, base) = base_of(tier, state, group, &key, &mut of_base)?;
    let group = &group[group.partition_point(|delta| delta.version <= base.version)..];
    let mut entry = tier.decode(&base).filter(|_| !group.is_empty())?;
    let limits = tier.limits_of_deltas(&base)?;
    let mut chain = Chain::new(base.version, false);
    for (done, delta) in group.iter().enumerate().take(most) {
        let Some((record, notes)) = next_delta(tier, delta, chain.version, &mut of_delta) else { break };
        let replayed = match entry.shared_mut() {
            Some(text) => journal::replay_text(text, notes, TEXT_BYTES_MAX),
            None => journal::replay(entry.collection_mut()?, notes, &limits),
        };
        if replayed.is_err() {
            // It was done by halves, so once more without.
            tracing::error!(version = delta.version, "what was done to a value cannot be done again");
            return join_one(tier, state, group, done, now_ms);
        }
        entry.set_expiry(record.expires_at_ms);
        chain.version = delta.version;
        chain.last = delta.place.bits();
        chain.bytes += delta.place.bytes();
        chain.add(delta.place.location().front().bits(), delta.place.bytes() as i64);
    }
    let is_whole = group.last().is_some_and(|last| last.version == chain.version);
    for (segment, bytes) in &chain.segments {
        tier.store().add_live_bytes(Location::from_bits(*segment), *bytes);
    }
    let position = KeyHash(group[0].hash).position();
    let of_member = entry.collection().and_then(Hash::of).and_then(Hash::next_deadline);
    for at in entry.expires_at_ms().into_iter().chain(of_member) {
        state.file_expiry(position, at, now_ms);
    }
    state.expires += u32::from(entry.expires_at_ms().is_some());
    state.expires -= u32::from(base.expires_at_ms.is_some());
    entry.set_place(place.as_part().bits());
    state.chains.insert(place.location().bits(), chain);
    state.table.promote(index, entry);
    Some((index, is_whole))
}

/// The record of a delta, if it continues that of version `before`, and its notes.
fn next_delta<'b>(
    tier: &Tier,
    delta: &Delta,
    before: u64,
    buffer: &'b mut Vec<u8>,
) -> Option<(Record<'b>, &'b [u8])> {
    match tier.fetch(delta.place.location(), buffer, true) {
        Found::Record(record, _) => {
            let (continues, notes) = split_delta(record.value)?;
            (continues == before).then_some((record, notes))
        }
        _ => None,
    }
}

impl<'k> Rebuilt<'k> {
    fn new(
        keyspace: &'k Keyspace,
        tier: &'k Tier,
        databases: &'k Databases,
        left_out: &'k HashSet<u64>,
        now_ms: i64,
    ) -> Rebuilt<'k> {
        let count = keyspace.database_count() as u32;
        Rebuilt {
            keyspace,
            tier,
            databases,
            last: None,
            found: Recovered::default(),
            spaces: Spaces { of: (0..count).collect(), next: count, version: 0 },
            tombstones: Vec::new(),
            deltas: Vec::new(),
            left_out,
            revoked: Vec::new(),
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
        self.deltas.extend(other.deltas);
        self.revoked.extend(other.revoked);
        let next = self.spaces.next.max(other.spaces.next);
        if other.spaces.version > self.spaces.version {
            self.spaces = other.spaces;
        }
        self.spaces.next = next;
    }

    /// The frames of several records that have a delta which continues nothing.
    fn frames_without_base(&self) -> HashSet<u64> {
        let mut frames = HashSet::new();
        let databases = self.databases.read();
        for group in self.deltas.chunk_by(|a, b| a.group() == b.group()) {
            let Some(database) = databases.get(&group[0].space) else { continue };
            if group.iter().all(|delta| delta.frame == NO_FRAME) || !self.spaces.of.contains(&group[0].space)
            {
                continue;
            }
            let mut buffer = Vec::new();
            let state = database.shard_of(KeyHash(group[0].hash)).lock();
            let base = key_of(self.tier, &group[0])
                .and_then(|key| base_of(self.tier, &state, group, &key, &mut buffer));
            let mut version = base.map_or(0, |(_, _, base)| base.version);
            let first = group.partition_point(|delta| delta.version <= version);
            for delta in &group[first..] {
                if next_delta(self.tier, delta, version, &mut buffer).is_none() {
                    break;
                }
                version = delta.version;
            }
            let lost = group.iter().filter(|delta| delta.version > version && delta.frame != NO_FRAME);
            frames.extend(lost.map(|delta| delta.frame));
        }
        frames
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

    /// Adds what a checkpoint knows of its segments, which are these.
    fn add_checkpoint(
        &mut self,
        checkpoint: Checkpoint<'_>,
        segments: &[Arc<Segment>],
    ) -> Result<(), String> {
        self.version = checkpoint.version;
        self.spaces = checkpoint.spaces.clone();
        self.found.segments = checkpoint.segments.len();
        for (segment, known) in segments.iter().zip(&checkpoint.segments) {
            segment.set_end(known.end);
            segment.set_live(known.live);
        }
        let now_ms = self.now_ms;
        let seen = checkpoint.visit(|index| {
            let database = self.database(index.space);
            let mut state = database.shards()[index.shard].lock();
            state.table.reserve(index.slots.len());
            for (position, segment, offset) in index.slots {
                state.table.insert_cold(position, segments[segment].location(offset).bits());
            }
            state.expires += index.expires;
            for (position, at_ms) in index.deadlines {
                // Filed by the time at which it comes up, which is late by as much at most.
                state.file_expiry(position, at_ms - FINEST_MS, now_ms);
            }
        });
        let wrong = "the checkpoint is sound, but wrong: remove it to have the whole log read";
        seen.ok_or_else(|| wrong.to_owned())
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
        let mut frame = NO_FRAME;
        let scanned = scan(&bytes, segment.sequence, |record, offset, len| {
            let location = segment.location(offset);
            if record.flags & flag::CONTINUES == 0 {
                frame = if record.frame_left == 0 { NO_FRAME } else { location.bits() };
            }
            self.add(record, Place::new(location, len), frame);
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

    fn add(&mut self, record: &Record<'_>, place: Place, frame: u64) {
        self.version = self.version.max(record.version);
        if self.left_out.contains(&frame) {
            self.revoked.push((record.space, record.key.into()));
            return;
        }
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
        if record.kind == Kind::Delta {
            let (sum, version) = (crc32fast::hash(record.key), record.version);
            self.deltas.push(Delta { space: record.space, sum, hash: hash.0, version, place, frame });
            return;
        }
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
