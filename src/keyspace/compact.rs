//! Makes room on disk: what still counts of a segment is appended anew, and the segment is removed.

use super::tier::Tier;
use super::{Key, Keyspace, Scratch};
use crate::config::NotifyFlags;
use crate::disk::format::{self, SEGMENT_HEADER_BYTES, padded};
use crate::disk::room::RESERVE_OF_WRITES;
use crate::disk::scan::scan;
use crate::disk::segment::Segment;
use crate::disk::store::{Store, SyncPolicy};
use crate::disk::{Frame, Kind, Lane, Place, Record};
use crate::memory::shard::ShardGuard;
use crate::memory::{Chain, KeyHash, ShardState};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// So much is appended before entries are told where they are now; also the part of a segment that its end may waste.
const BATCH_BYTES_MAX: u64 = 256 * 1024;
const BATCH_PART: u64 = 64;
/// How long a lane may take to write what it holds, before a segment is left for the next round.
const LANES_WAIT: Duration = Duration::from_secs(if cfg!(test) { 0 } else { 5 });

/// What may be done to make room on disk.
#[derive(Clone, Copy, Debug)]
pub struct CompactRule {
    /// Keys that may go for good where both tiers are full.
    pub evict: Evict,
    /// Bytes a second that may be read; 0 for no bound.
    pub bytes_per_second: u64,
}

/// Which keys may go for good.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Evict {
    /// None.
    Nothing,
    /// Those that expire.
    Volatile,
    /// All.
    All,
}

/// A record that was copied, and how to find who must know.
struct Moved {
    space: u32,
    hash: KeyHash,
    old: Place,
    /// Its place in the frame.
    start: usize,
    /// Of a delta the key and the version.
    delta: Option<(Box<[u8]>, u64)>,
}

impl Keyspace {
    /// Empties one segment if that is worth it. Answers whether it did.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn compact(
        &self,
        scratch: &mut Scratch,
        lane: &mut Lane,
        rule: CompactRule,
        now_ms: i64,
    ) -> io::Result<bool> {
        let Some(tier) = self.tier() else { return Ok(false) };
        let (opened, live) = (tier.store().opened(), tier.store().live_bytes());
        let chosen = choose(tier, self.evictable(tier, rule.evict));
        tier.store().set_making_room(chosen.is_some(), opened, live);
        let Some((segment, evict)) = chosen else { return Ok(false) };
        let evicted = scratch.counts.evicted;
        let removed = self.remove_segment(tier, scratch, lane, &segment, evict, rule, now_ms);
        if evict == Evict::Volatile {
            if scratch.counts.evicted == evicted {
                tier.emptied_in_vain.fetch_add(1, Relaxed);
            } else {
                tier.emptied_in_vain.store(0, Relaxed);
            }
        }
        if removed.is_err() {
            // Nobody should wait for what does not come.
            tier.store().set_making_room(false, tier.store().opened(), tier.store().live_bytes());
        }
        removed
    }

    /// As [`Self::compact`], of the oldest segment, whether or not that is worth it.
    #[cfg(test)]
    pub(super) fn compact_for_test(
        &self,
        scratch: &mut Scratch,
        lane: &mut Lane,
        rule: CompactRule,
        now_ms: i64,
    ) -> io::Result<bool> {
        let Some(tier) = self.tier() else { return Ok(false) };
        let segments = tier.store().segments();
        let Some(segment) = segments.iter().find(|segment| segment.is_sealed()) else { return Ok(false) };
        self.remove_segment(tier, scratch, lane, segment, Evict::Nothing, rule, now_ms)
    }

    #[expect(clippy::too_many_arguments, reason = "two call sites; a struct would only name them again")]
    fn remove_segment(
        &self,
        tier: &Arc<Tier>,
        scratch: &mut Scratch,
        lane: &mut Lane,
        segment: &Segment,
        evict: Evict,
        rule: CompactRule,
        now_ms: i64,
    ) -> io::Result<bool> {
        let store = tier.store();
        // What is copied is on its own from then on: it must not survive what was written together with it.
        if tier.sync_policy() != SyncPolicy::Never && !segment.is_synced() {
            store.sync()?;
        }
        // Also where nothing seems to count: what is counted only says what is worth looking at.
        self.empty(tier, scratch, lane, segment, evict, rule, now_ms)?;
        if tier.sync_policy() != SyncPolicy::Never {
            store.sync()?;
        }
        // A successor of one of its records may still wait in a worker's lane.
        if !store.wait_for_lanes(LANES_WAIT) {
            return Ok(false);
        }
        store.remove(segment)?;
        store.counters.reclaimed.fetch_add(1, Relaxed);
        Ok(true)
    }

    /// What may be evicted: nothing where only keys with a deadline may go, and there are none.
    fn evictable(&self, tier: &Tier, evict: Evict) -> Evict {
        let has_deadlines = || {
            let mut databases = self.databases_in_use().into_iter();
            databases.any(|(_, database)| database.shards().iter().any(|shard| shard.lock().expires > 0))
        };
        let is_any = evict != Evict::Volatile || !is_tight(tier) || has_deadlines();
        if is_any { evict } else { Evict::Nothing }
    }

    #[expect(clippy::too_many_arguments, reason = "one call site; a struct would only name them again")]
    fn empty(
        &self,
        tier: &Arc<Tier>,
        scratch: &mut Scratch,
        lane: &mut Lane,
        segment: &Segment,
        evict: Evict,
        rule: CompactRule,
        now_ms: i64,
    ) -> io::Result<()> {
        let store = tier.store();
        let bytes = segment.contents()?;
        let others = store.segments();
        let oldest =
            others.iter().map(|other| other.sequence).filter(|other| *other != segment.sequence).min();
        let mut frame = Frame::default();
        let mut moved = Vec::new();
        let mut result = Ok(());
        let (mut read, mut batch) = (0, 0);
        let batch_bytes = (store.segment_bytes() / BATCH_PART).min(BATCH_BYTES_MAX) as usize;
        let resident_too = match evict {
            Evict::Nothing => false,
            // They may be the only ones.
            Evict::Volatile => true,
            Evict::All => self.is_mostly_resident(),
        };
        scan(&bytes, segment.sequence, |record, offset, len| {
            read += len as u64;
            if result.is_err() {
                return;
            }
            let place = Place::new(segment.location(offset), len);
            let (space, hash) = (record.space, self.hash(record.key));
            let may_go = match evict {
                Evict::Nothing => false,
                Evict::Volatile => record.expires_at_ms.is_some(),
                Evict::All => true,
            };
            if let Kind::String | Kind::Collection = record.kind {
                // What does not count or goes needs no room, of which there may be too little for it.
                match self.counts(tier, space, hash, record.key, place, resident_too) {
                    Counts::No => return,
                    Counts::Goes { database }
                        if may_go
                            && self.evict_logged(scratch, self.key(database, record.key), place, now_ms) =>
                    {
                        return;
                    }
                    Counts::Goes { .. } | Counts::Stays => {}
                }
            }
            if batch == 0 || batch + len > batch_bytes {
                // The copies go to a segment that is there before it is decided which records count: a tombstone
                // that is written meanwhile then outlives them.
                result = scratch
                    .commit()
                    .and_then(|()| self.move_batch(tier, lane, &mut frame, &mut moved))
                    .and_then(|()| lane.ready_for(batch_bytes.max(len) as u64));
                if result.is_err() {
                    return;
                }
                batch = 0;
            }
            batch += len;
            let start = frame.len();
            match record.kind {
                Kind::Spaces if record.version == tier.spaces_version() => push(&mut frame, record),
                Kind::Spaces => {}
                Kind::Tombstone => {
                    // It is needed for as long as a segment may have an older record of the key.
                    let horizon = record.value.try_into().map_or(u64::MAX, u64::from_le_bytes);
                    if oldest.is_some_and(|oldest| oldest <= horizon)
                        && self.is_unlogged(tier, space, hash, record.key)
                    {
                        push(&mut frame, record);
                    }
                }
                Kind::Delta => {
                    if self.continues(tier, space, hash, record.key, record.version) {
                        push(&mut frame, record);
                        let delta = Some((record.key.into(), record.version));
                        moved.push(Moved { space, hash, old: place, start, delta });
                    }
                }
                Kind::String | Kind::Collection => {
                    if !matches!(self.counts(tier, space, hash, record.key, place, false), Counts::No) {
                        push(&mut frame, record);
                        moved.push(Moved { space, hash, old: place, start, delta: None });
                    }
                }
            }
            if rule.bytes_per_second > 0
                && read >= BATCH_BYTES_MAX
                && evict == Evict::Nothing
                && !is_tight(tier)
            {
                std::thread::sleep(Duration::from_secs_f64(read as f64 / rule.bytes_per_second as f64));
                read = 0;
            }
        });
        result?;
        scratch.commit()?;
        self.move_batch(tier, lane, &mut frame, &mut moved)
    }

    /// Writes copies, and tells whoever still has the old places.
    fn move_batch(
        &self,
        tier: &Tier,
        lane: &mut Lane,
        frame: &mut Frame,
        moved: &mut Vec<Moved>,
    ) -> io::Result<()> {
        if frame.is_empty() {
            return Ok(());
        }
        let store = tier.store();
        let ranges = frame.records().to_vec();
        let base = lane.append_singly(frame)?;
        lane.flush()?;
        store.counters.moved_bytes.fetch_add(frame.len() as u64, Relaxed);
        let mut moves = moved.drain(..).peekable();
        for range in ranges {
            let place = Place::new(base.after(range.start), padded(range.len()));
            let Some(Moved { space, hash, old, delta, .. }) =
                moves.next_if(|moved| moved.start == range.start)
            else {
                store.add_live(place);
                continue;
            };
            // Without, its database was flushed since.
            let Some((_, mut state)) = self.state_of_space(tier, space, hash) else { continue };
            let counts = match delta {
                Some((key, version)) => repoint_delta(&mut state, hash.position(), &key, version, old, place),
                None => repoint(&mut state, hash.position(), old, place),
            };
            if counts {
                store.add_live(place);
                store.sub_live(old);
            }
        }
        drop(moves);
        frame.clear();
        Ok(())
    }

    /// The shard of a key in the database that has a space, locked, and that database's number; `None` if none has it any
    /// more. SWAPDB, which may come at any time, holds every shard of both.
    fn state_of_space(&self, tier: &Tier, space: u32, hash: KeyHash) -> Option<(usize, ShardGuard<'_>)> {
        loop {
            let database = tier.database_of(space)?;
            let state = self.database(database).shard_of(hash).lock();
            if tier.database_of(space) == Some(database) {
                return Some((database, state));
            }
        }
    }

    /// Whether a key's space is in use, and the key has no record in force there, as far as memory knows.
    fn is_unlogged(&self, tier: &Tier, space: u32, hash: KeyHash, name: &[u8]) -> bool {
        let Some((_, state)) = self.state_of_space(tier, space, hash) else { return false };
        state.table.get(hash.position(), name).is_none_or(|entry| entry.place() == 0)
    }

    /// Whether a delta of this version belongs to what its key has in memory.
    fn continues(&self, tier: &Tier, space: u32, hash: KeyHash, name: &[u8], version: u64) -> bool {
        let Some((_, mut state)) = self.state_of_space(tier, space, hash) else { return false };
        chain_of(&mut state, hash.position(), name).is_some_and(|chain| chain.has(version))
    }

    /// Whether the record at a place is that of its key, and may go where keys are evicted.
    fn counts(
        &self,
        tier: &Tier,
        space: u32,
        hash: KeyHash,
        name: &[u8],
        place: Place,
        resident_too: bool,
    ) -> Counts {
        let Some((database, state)) = self.state_of_space(tier, space, hash) else { return Counts::No };
        let position = hash.position();
        if state.table.cold_at(position).any(|(_, bits)| bits == place.location().bits()) {
            return Counts::Goes { database };
        }
        let entry = state.table.get(position, name);
        match entry.and_then(|entry| Place::from_bits(entry.place())) {
            Some(has) if has.location() != place.location() => Counts::No,
            Some(_) if resident_too => Counts::Goes { database },
            Some(_) => Counts::Stays,
            None => Counts::No,
        }
    }

    /// Whether less than half of all keys are on disk only: what is in memory is no choice of the most used ones then, and
    /// goes by age like the rest.
    fn is_mostly_resident(&self) -> bool {
        let (mut keys, mut cold) = (0, 0);
        for (_, database) in self.databases_in_use() {
            for shard in database.shards() {
                let state = shard.lock();
                keys += state.table.len();
                cold += state.table.cold_len();
            }
        }
        cold * 2 < keys
    }

    /// Removes a key for good: the log is full. Answers whether it did: the key may have another place by now, or its
    /// database another number.
    fn evict_logged(&self, scratch: &mut Scratch, key: Key<'_>, place: Place, now_ms: i64) -> bool {
        let mut access = self.prepare(scratch, &[key], now_ms, false);
        let there = access.get(key, super::Lookup::Silent).is_some_and(|entry| {
            Place::from_bits(entry.place()).is_some_and(|has| has.location() == place.location())
        });
        if there {
            access.delete(key, NotifyFlags::EVICTED, "evicted");
        }
        access.settle();
        scratch.counts.evicted += u64::from(there);
        there
    }
}

enum Counts {
    /// It is not, or not any more.
    No,
    Stays,
    Goes {
        /// Where its key was just now.
        database: usize,
    },
}

fn push(frame: &mut Frame, record: &Record<'_>) {
    let flags = record.flags & !format::flag::CONTINUES;
    frame.push(&Record { flags, ..*record }, |out| out.extend_from_slice(record.value));
}

/// Gives whoever has the old place the new one. Answers whether anybody had.
fn repoint(state: &mut ShardState, position: u32, old: Place, new: Place) -> bool {
    let cold = state.table.cold_at(position).find(|(_, bits)| *bits == old.location().bits());
    if let Some((index, _)) = cold {
        state.table.move_cold(index, new.location().bits());
        return true;
    }
    let is_old = |bits| Place::from_bits(bits).is_some_and(|place| place.location() == old.location());
    let Some(index) = state.table.index_of_place(position, is_old) else { return false };
    let mut entry = state.table.at_mut(index);
    let is_part = Place::from_bits(entry.place()).is_some_and(Place::is_part);
    entry.set_place(if is_part { new.as_part() } else { new }.bits());
    drop(entry);
    if let Some(chain) = state.chains.remove(old.location().bits()) {
        state.chains.insert(new.location().bits(), chain);
    }
    true
}

/// The chain of a key in memory.
fn chain_of<'s>(state: &'s mut ShardState, position: u32, key: &[u8]) -> Option<&'s mut Chain> {
    let place = Place::from_bits(state.table.get(position, key)?.place())?;
    state.chains.get_mut(place.location().bits())
}

/// The same for a record of the chain of a key.
fn repoint_delta(
    state: &mut ShardState,
    position: u32,
    key: &[u8],
    version: u64,
    old: Place,
    new: Place,
) -> bool {
    let Some(chain) = chain_of(state, position, key).filter(|chain| chain.has(version)) else { return false };
    chain.add(old.location().front().bits(), -(old.bytes() as i64));
    chain.add(new.location().front().bits(), new.bytes() as i64);
    if Place::from_bits(chain.last).is_some_and(|last| last.location() == old.location()) {
        chain.last = new.bits();
    }
    true
}

/// Whether less than so many segments can be opened before ordinary writes find no room, or one that waits for more.
fn is_near_full(store: &Store, segments: u64) -> bool {
    let ahead = (RESERVE_OF_WRITES + segments - 1) * store.segment_bytes();
    store.opened_bytes() + ahead + store.wanted_bytes() > store.size_max()
}

/// Whether room is to be made before garbage has become cheap.
fn is_tight(tier: &Tier) -> bool {
    is_near_full(tier.store(), 3)
}

/// The segment that is emptied best, if any is worth it, and what may be evicted from it.
fn choose(tier: &Tier, evict: Evict) -> Option<(Arc<Segment>, Evict)> {
    let store = tier.store();
    let sealed: Vec<_> = store.segments().into_iter().filter(|segment| segment.is_sealed()).collect();
    // What the end of a segment has no room for is lost to every segment: only what is written can be garbage. One
    // that was hardly begun before a restart is all room, too: so little that several of them make one.
    let share = |segment: &Segment| {
        let live = segment.live_bytes() as f64;
        let written = segment.written().saturating_sub(SEGMENT_HEADER_BYTES as u64).max(1) as f64;
        (live / written).min(4.0 * live / segment.capacity.max(1) as f64)
    };
    let room = store.bytes_for_moving().max(store.segment_bytes());
    let movable = sealed.iter().filter(|segment| segment.live_bytes() <= room);
    let emptiest = movable.min_by(|a, b| share(a).total_cmp(&share(b)));
    let share = emptiest.map_or(1.0, |segment| share(segment));
    let live = store.live_bytes();
    let dead = store.opened_bytes().saturating_sub(live);
    let worth = if is_tight(tier) {
        // Where keys may go, that is cheaper than moving many for little room.
        share < if evict == Evict::Nothing { 0.9 } else { 0.75 }
    } else {
        // Garbage is cheap while there is room: the longer it waits, the more of it there is. What bounds it is the
        // time that a start takes to read it.
        share == 0.0 || (share < 0.5 && dead > live.max(store.size_max() / 4))
    };
    if let Some(emptiest) = emptiest.filter(|_| worth) {
        return Some((Arc::clone(emptiest), Evict::Nothing));
    }
    // Keys that were in memory may go once they are not, too.
    let demoted = store.counters.demoted.load(Relaxed);
    if tier.has_new_deadline.swap(false, Relaxed) | (tier.demoted_seen.swap(demoted, Relaxed) != demoted) {
        tier.emptied_in_vain.store(0, Relaxed);
    }
    // Once every segment was, emptying them again is only work.
    let in_vain = evict == Evict::Volatile && tier.emptied_in_vain.load(Relaxed) >= sealed.len();
    if evict != Evict::Nothing && !in_vain && is_near_full(store, 2) {
        return sealed.first().map(|oldest| (Arc::clone(oldest), evict));
    }
    None
}
