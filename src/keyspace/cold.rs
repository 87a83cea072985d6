//! Values leave memory and come back.
//!
//! A value that leaves memory leaves its slot behind, with the location of its record; [`Access::try_resolve`] brings
//! it back before a handler runs, so that handlers know nothing of it.

use super::access::Access;
use super::log::{DELTA_BASE_BYTES_MIN, may_have_deltas};
use super::tier::{SEEN, Tier, TierScratch};
use super::{Key, Keyspace, Scratch};
use crate::disk::format::{self, flag};
use crate::disk::store::SyncPolicy;
use crate::disk::{Fetched, Kind, Location, Place, Record};
use crate::memory::table::Held;
use crate::memory::{Chain, Entry, KeyHash, ShardState, usage};
use crate::rdb;
use crate::value::string::{LongString, NewString};
use bytes::Bytes;
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What the buffer of reads may keep of its room.
const READ_BYTES_KEPT: usize = 128 * 1024;

/// How many threads may read what is due.
const READERS_MAX: usize = 4;

/// Values that a command needs are on disk, and the disk has to be waited for.
#[derive(Debug, Default, Clone)]
pub struct ColdKeys {
    /// Where they are.
    pub locations: SmallVec<[Location; 2]>,
}

/// An entry that came from disk.
pub(super) struct Promoted {
    database: usize,
    hash: KeyHash,
    place: u64,
    /// It stays in memory.
    stays: bool,
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

/// What became of looking for a key on disk.
enum Resolved {
    Done,
    Cold(Location),
}

impl Tier {
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

    /// Up to where a collection stays packed while deltas are added to what this record has.
    pub(super) fn limits_of_deltas(&self, record: &Record<'_>) -> Option<rdb::Limits> {
        let limits = (*self.limits.read())?;
        Some(if record.flags & flag::UNPACKED == 0 { limits } else { limits.for_copies(false) })
    }

    /// Whether the record at a place is as safe as it is going to be.
    fn is_safe(&self, place: Place) -> bool {
        match self.sync_policy() {
            SyncPolicy::Never => self.store.is_written(place),
            SyncPolicy::Always | SyncPolicy::EverySecond => self.store.is_synced(place),
        }
    }

    /// Whether memory is over its bound.
    pub(super) fn is_short_of_memory(&self) -> bool {
        usage::publish();
        let maxmemory = self.maxmemory.load(Relaxed);
        maxmemory > 0 && usage::excess_bytes(maxmemory).is_some()
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
            Kind::Tombstone | Kind::Spaces | Kind::Delta => None,
        }
    }

    /// Reads the record at a location; damage is counted and logged.
    pub(super) fn fetch<'b>(&self, location: Location, buffer: &'b mut Vec<u8>, wait: bool) -> Found<'b> {
        match self.read(location, buffer, wait, false) {
            Ok(_) => self.understand(location, buffer),
            Err(found) => found,
        }
    }

    /// Reads the bytes of the record at a location to `buffer`; or says where they are, if they are long and `maps`.
    fn read(
        &self,
        location: Location,
        buffer: &mut Vec<u8>,
        wait: bool,
        maps: bool,
    ) -> Result<Option<Bytes>, Found<'static>> {
        match self.store.fetch_or_map(location, buffer, wait, maps) {
            Ok(Fetched::Bytes) => Ok(None),
            Ok(Fetched::Mapped(bytes)) => Ok(Some(bytes)),
            Ok(Fetched::Cold) => Err(Found::Cold),
            Ok(Fetched::Nothing) => Err(self.note_damage(location, &"nothing there")),
            Err(error) => {
                tracing::error!(offset = location.offset(), %error, "a record on disk cannot be read");
                Err(Found::Unreadable)
            }
        }
    }

    /// The record that the bytes at a location are.
    fn understand<'b>(&self, location: Location, bytes: &'b [u8]) -> Found<'b> {
        match format::read(bytes, self.store.sequence_of(location).unwrap_or(0)) {
            Ok(record) => Found::Record(record, Place::new(location, format::padded(bytes.len()))),
            Err(damage) => self.note_damage(location, &damage),
        }
    }

    fn note_damage(&self, location: Location, what: &dyn std::fmt::Debug) -> Found<'static> {
        self.store.counters.damaged.fetch_add(1, Relaxed);
        let segment = self.store.sequence_of(location);
        tracing::error!(segment, offset = location.offset(), ?what, "a record on disk is damaged");
        Found::Damaged
    }
}

impl TierScratch {
    /// Keeps the buffer of a read for the next one; the room of a large one is given back.
    fn keep_buffer(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        buffer.shrink_to(READ_BYTES_KEPT);
        self.buffer = buffer;
    }
}

impl ColdKeys {
    /// Adds where on disk the keys of this hash are. (Others may have the same position: they are read for nothing.)
    pub fn add_at(&mut self, state: &ShardState, hash: KeyHash) {
        if state.table.cold_len() > 0 {
            let here = state.table.cold_at(hash.position());
            self.locations.extend(here.map(|(_, bits)| Location::from_bits(bits)));
        }
    }
}

/// The long string of a record that is part of `mapped`, which stays where it is.
fn in_place(record: &Record<'_>, mapped: &Bytes) -> Entry {
    let text = NewString::Shared(Arc::new(LongString::Mapped(mapped.slice_ref(record.value))));
    let mut entry = Entry::with_place(record.key, text, record.expires_at_ms);
    if record.flags & flag::EDITED != 0 {
        entry.mark_edited();
    }
    entry
}

/// A value is in memory again, from a record of this version.
fn promote(state: &mut ShardState, index: usize, entry: Entry, version: u64) {
    if let Some(place) = Place::from_bits(entry.place())
        && place.bytes() >= DELTA_BASE_BYTES_MIN
        && may_have_deltas(&entry)
    {
        state.chains.insert(place.location().bits(), Chain::new(version, false));
    }
    state.table.promote(index, entry);
}

/// A value is on disk only, as the record at this place has it.
fn demote(state: &mut ShardState, index: usize, place: Place) -> Entry {
    state.chains.remove(place.location().bits());
    state.table.demote(index, place.location().bits())
}

impl Keyspace {
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
                        tier.store.note_length(place.bytes());
                        promote(state, index, entry, record.version);
                    }
                }
            }
        }
        scratch.tier.keep_buffer(buffer);
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

    /// Gives `see` what a slot holds, read from disk if need be; where that must be waited for and `missed` is given, it
    /// gets the location instead.
    pub(super) fn show<R>(
        &self,
        held: Held<'_>,
        missed: Option<&mut Vec<Location>>,
        see: impl FnOnce(&Entry) -> R,
    ) -> Option<R> {
        let location = match held {
            Held::Resident(entry) => return Some(see(&entry)),
            Held::Cold(bits) => Location::from_bits(bits),
        };
        let tier = self.tier.as_ref()?;
        match tier.fetch(location, &mut Vec::new(), missed.is_none()) {
            Found::Record(record, _) => tier.decode(&record).map(|entry| see(&entry)),
            Found::Cold => {
                missed.into_iter().for_each(|missed| missed.push(location));
                None
            }
            Found::Unreadable | Found::Damaged => None,
        }
    }

    /// Asks the processor for the value at a location on disk, if it is in the kernel's memory.
    pub fn prefetch_cold(&self, bits: u64) {
        if let Some(tier) = &self.tier {
            tier.store.prefetch(Location::from_bits(bits));
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

    /// Makes room by leaving values on disk only. Answers whether any left.
    pub(super) fn leave_on_disk(
        &self,
        scratch: &mut Scratch,
        state: &mut ShardState,
        database: usize,
        index: usize,
    ) -> Option<Entry> {
        let tier = self.tier.as_ref()?;
        let place = Place::from_bits(state.table.at(index).place()).filter(|place| !place.is_part());
        if let Some(place) = place {
            if !tier.store.is_written(place) {
                scratch.tier.awaits_disk = true;
                return None;
            }
            tier.store.counters.demoted.fetch_add(1, Relaxed);
            return Some(demote(state, index, place));
        }
        // Written now, it can leave when the hand comes again. The last of its deltas may belong to a transaction, and must
        // not be survived by what is made of it.
        let last = Place::from_bits(state.table.at(index).place())
            .and_then(|place| Place::from_bits(state.chains.get(place.location().bits())?.last));
        if last.is_none_or(|last| tier.is_safe(last)) {
            // Without room it stays.
            let _ = self.write_out(scratch, state, tier.space(database), index);
        } else {
            scratch.tier.awaits_disk = true;
        }
        None
    }
}

impl Access<'_> {
    /// Brings the value of a key back if it is on disk.
    ///
    /// Where it `maps`, a long string may be left in the kernel's pages: nothing may come of it but a reply.
    pub(super) fn resolve(&mut self, key: Key<'_>, wait: bool, maps: bool, cold: &mut ColdKeys) {
        let lock = self.lock_of(key);
        let table = &self.locks[lock].guard.table;
        // Most positions have one key.
        if table.cold_len() > 0
            && table.cold_at(key.hash.position()).next().is_some()
            && let Resolved::Cold(location) = self.resolve_at(lock, key, wait, maps)
        {
            cold.locations.push(location);
        }
    }

    /// The same of several, and answers what has to be waited for.
    // Not inlined: most commands have no use for it.
    #[inline(never)]
    pub(super) fn resolve_all(&mut self, keys: &[Key<'_>], maps: bool) -> ColdKeys {
        let mut cold = ColdKeys::default();
        keys.iter().for_each(|key| self.resolve(*key, false, maps, &mut cold));
        cold
    }

    #[cold]
    fn resolve_at(&mut self, lock: usize, key: Key<'_>, wait: bool, maps: bool) -> Resolved {
        let Some(tier) = &self.space.tier else { return Resolved::Done };
        let position = key.hash.position();
        let state = &mut self.locks[lock].guard;
        let candidates: SmallVec<[u64; 4]> =
            state.table.cold_at(position).map(|(_, location)| location).collect();
        if state.table.find(position, key.name).is_some() {
            return Resolved::Done;
        }
        let own = &mut self.scratch.tier;
        let mut buffer = std::mem::take(&mut own.buffer);
        let resolved = 'found: {
            for bits in candidates {
                let location = Location::from_bits(bits);
                let read = tier.read(location, &mut buffer, wait, maps);
                let found = match &read {
                    Ok(Some(mapped)) => tier.understand(location, mapped),
                    Ok(None) => tier.understand(location, &buffer),
                    Err(Found::Cold) => Found::Cold,
                    Err(Found::Damaged) => Found::Damaged,
                    Err(_) => Found::Unreadable,
                };
                match found {
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
                        let stays = tier.keeps(key.hash);
                        let entry = match &read {
                            Ok(Some(mapped)) if !stays && record.kind == Kind::String => {
                                Some(in_place(&record, mapped))
                            }
                            _ => tier.decode(&record),
                        };
                        let (Some(mut entry), Some((index, _))) = (entry, index) else {
                            continue;
                        };
                        entry.set_place(place.bits());
                        tier.store.note_length(place.bytes());
                        entry.set_access_bits(self.space.access_mode().fresh(self.now_ms));
                        promote(state, index, entry, record.version);
                        tier.store.counters.promoted.fetch_add(1, Relaxed);
                        let Key { database, hash, .. } = key;
                        own.promoted.push(Promoted { database, hash, place: place.bits(), stays });
                        break 'found Resolved::Done;
                    }
                }
            }
            Resolved::Done
        };
        own.keep_buffer(buffer);
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
        let own = &mut self.scratch.tier;
        if !own.dirty.is_empty() || !own.promoted.is_empty() || own.at_once {
            self.settle_changes();
        } else {
            own.journals.clear();
        }
    }

    fn settle_changes(&mut self) {
        let space = self.space;
        space.log_dirty(self.scratch, &mut self.locks, self.now_ms);
        if !self.scratch.tier.promoted.is_empty() {
            self.settle_promoted();
        }
    }

    /// Lets go of what was only looked at.
    fn settle_promoted(&mut self) {
        let space = self.space;
        let mut promoted = std::mem::take(&mut self.scratch.tier.promoted);
        for Promoted { database, hash, place: bits, .. } in promoted.drain(..).filter(|entry| !entry.stays) {
            let state = space.state_in(&mut self.locks, database, hash);
            // It has another place if it was changed, and none if it is gone.
            if let (Some(index), Some(place)) =
                (state.table.index_of_place(hash.position(), |place| place == bits), Place::from_bits(bits))
            {
                let entry = demote(state, index, place);
                space.discard(self.scratch, entry);
            }
        }
        self.scratch.tier.promoted = promoted;
    }
}
