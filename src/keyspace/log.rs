//! What commands did is logged.
//!
//! A record is written when the locks of a command are about to be released ([`Access::settle`]): all keys that it
//! changed are one frame. It reaches the kernel before the reply leaves ([`Scratch::commit`]).
//!
//! Of most values the record has the whole. Of a large collection or a long string it has what was done to it, a delta, as
//! long as all deltas together are shorter than the whole: shards know which records make up such a value ([`Chain`]).

use super::access::{Access, log_whole};
use super::locks::Lock;
use super::tier::{Tier, TierScratch};
use super::{Key, Keyspace, Scratch};
use crate::disk::format::{self, RECORD_HEADER_BYTES, flag};
use crate::disk::store::SyncPolicy;
use crate::disk::{Kind, Location, Place, Record};
use crate::memory::{Chain, Entry, KeyHash, ShardState};
use crate::rdb;
use crate::value::Collection;
use crate::value::journal::Journal;
use crate::value::string::{LongString, StringRef};
use std::io;
use std::ops::Range;

/// Of a value whose whole record is shorter than this there are no deltas.
pub(super) const DELTA_BASE_BYTES_MIN: u64 = if cfg!(test) { 256 } else { 4096 };

/// A string that expires within this time, milliseconds, is logged with others of its kind.
const BRIEF_MS: i64 = 10 * 60 * 1000;

/// What the names of changed keys may keep of their room.
const NAMES_BYTES_KEPT: usize = 64 * 1024;

/// A key that was changed and is not logged yet.
struct Dirty {
    database: usize,
    hash: KeyHash,
    /// Where its name lies among the names.
    name: Range<usize>,
    /// The place that its entry had when it was removed.
    removed: u64,
    /// Where its entry was in the table, or any number.
    index: usize,
}

/// Keys that were changed and are not logged yet.
#[derive(Default)]
pub(super) struct DirtyKeys {
    keys: Vec<Dirty>,
    names: Vec<u8>,
}

impl DirtyKeys {
    /// Whether there are none.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    fn name(&self, dirty: &Dirty) -> &[u8] {
        &self.names[dirty.name.clone()]
    }

    // Not inlined, as what follows an edit is inlined into every handler.
    #[inline(never)]
    fn push(&mut self, database: usize, hash: KeyHash, name: &[u8], removed: u64, index: usize) {
        if let Some(last) = self.keys.last_mut()
            && last.hash == hash
            && last.database == database
            && self.names[last.name.clone()] == *name
        {
            last.removed |= removed;
            last.index = index;
            return;
        }
        let start = self.names.len();
        self.names.extend_from_slice(name);
        self.keys.push(Dirty { database, hash, name: start..self.names.len(), removed, index });
    }

    /// Of several changes of a key the frame needs only what came of them.
    fn merge(&mut self) {
        let names = &self.names;
        let name = |dirty: &Dirty| &names[dirty.name.clone()];
        self.keys.sort_by(|a, b| (a.database, a.hash.0, name(a)).cmp(&(b.database, b.hash.0, name(b))));
        self.keys.dedup_by(|later, first| {
            let same = later.database == first.database && name(later) == name(first);
            if same {
                first.removed |= later.removed;
            }
            same
        });
    }

    #[inline]
    fn clear(&mut self) {
        self.keys.clear();
        self.names.clear();
        if self.names.capacity() > NAMES_BYTES_KEPT {
            self.names.shrink_to(NAMES_BYTES_KEPT);
        }
    }
}

/// What a record of a frame is for, whose key is to be told where it is.
pub(super) struct Fixup {
    /// The shard among those that are locked.
    lock: usize,
    /// The entry in its table, if the key is there.
    index: Option<usize>,
    /// The place of the record that it replaces or continues.
    old: u64,
    form: Form,
}

/// How a change is logged. `shared`: the record must be with the kernel before the locks are released.
#[derive(Clone, Copy)]
enum Form {
    Whole { shared: bool },
    Delta { shared: bool },
    Tombstone,
}

/// What was done to large values since the last command.
#[derive(Default)]
pub(super) struct Journals {
    /// The place of the value's record, and what was done to it. What is behind `used` waits to be used again.
    of: Vec<(u64, Journal)>,
    used: usize,
}

impl Journals {
    /// The journal of the value whose record is at a place.
    pub(super) fn of(&mut self, place: Place) -> &mut Journal {
        let known = self.of[..self.used].iter().position(|(of, _)| *of == place.bits());
        let index = known.unwrap_or_else(|| {
            if self.used == self.of.len() {
                self.of.push((0, Journal::default()));
            }
            self.of[self.used].0 = place.bits();
            self.used += 1;
            self.used - 1
        });
        &mut self.of[index].1
    }

    /// What was done to the value, if that is all.
    fn notes(&self, place: Place) -> Option<&[u8]> {
        self.of[..self.used].iter().find(|(of, _)| *of == place.bits())?.1.notes()
    }

    /// A new command begins.
    #[inline]
    pub(super) fn clear(&mut self) {
        if self.used > 0 {
            self.of[..self.used].iter_mut().for_each(|(_, journal)| journal.clear());
            self.of.truncate(16);
            self.used = 0;
        }
    }
}

/// Whether there may be deltas of a value: it is edited in place. A short string is written anew as fast.
pub(super) fn may_have_deltas(entry: &Entry) -> bool {
    match entry.string() {
        Some(StringRef::Shared(text)) => matches!(**text, LongString::Own(_)),
        Some(_) => false,
        None => true,
    }
}

/// Whether a value is soon to expire. Nothing continues the record of one that is logged as such.
fn is_brief(entry: &Entry, now_ms: i64) -> bool {
    entry.expires_at_ms().is_some_and(|at| at.saturating_sub(now_ms) <= BRIEF_MS) && entry.string().is_some()
}

/// Whether a collection has left its packed form for good.
fn is_unpacked(collection: &Collection) -> bool {
    matches!(collection.encoding(), "hashtable" | "quicklist" | "skiplist")
}

/// The value of an entry on its way into a record.
enum Body<'e> {
    String(StringRef<'e>),
    Collection(&'e Collection),
}

impl Body<'_> {
    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            // Most of them.
            Body::String(StringRef::Inline(text)) => out.extend_from_slice(text),
            Body::String(string) => string.with(|text| out.extend_from_slice(text)),
            Body::Collection(collection) => rdb::write_copy(out, &rdb::Value::Collection(collection)),
        }
    }
}

/// The record of an entry but for its value, and the value.
#[inline(always)]
fn record_of(entry: &Entry, version: u64, space: u32) -> (Record<'_>, Body<'_>) {
    let (kind, flags, body) = match (entry.string(), entry.collection()) {
        (None, Some(collection)) => {
            let flags = if is_unpacked(collection) { flag::UNPACKED } else { 0 };
            (Kind::Collection, flags, Body::Collection(collection))
        }
        (string, _) => {
            let string = string.unwrap_or(StringRef::Inline(b""));
            let integer = if string.is_int() { flag::INTEGER } else { 0 };
            let edited = if entry.is_edited() { flag::EDITED } else { 0 };
            (Kind::String, integer | edited, Body::String(string))
        }
    };
    let (expires_at_ms, key) = (entry.expires_at_ms(), entry.key());
    (Record { version, space, kind, flags, expires_at_ms, frame_left: 0, key, value: b"" }, body)
}

/// Adds the record of an entry to a frame.
fn push_entry(frame: &mut format::Frame, entry: &Entry, version: u64, space: u32) {
    let (record, body) = record_of(entry, version, space);
    frame.push(&record, |out| body.write(out));
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

/// Adds the record of what was done to a value since the record of version `before`.
fn push_delta(frame: &mut format::Frame, entry: &Entry, version: u64, space: u32, before: u64, notes: &[u8]) {
    let record = Record {
        version,
        space,
        kind: Kind::Delta,
        flags: 0,
        expires_at_ms: entry.expires_at_ms(),
        frame_left: 0,
        key: entry.key(),
        value: b"",
    };
    frame.push(&record, |out| {
        out.extend_from_slice(&before.to_le_bytes());
        out.extend_from_slice(notes);
    });
}

/// The record at a place, and those that continue it, no longer count.
pub(super) fn forget_record(tier: &Tier, state: &mut ShardState, place: Place) {
    tier.store.sub_live(place);
    if let Some(chain) = state.chains.remove(place.location().bits()) {
        for (segment, bytes) in chain.segments {
            tier.store.sub_live_bytes(Location::from_bits(segment), bytes);
        }
    }
}

/// A change of the value was not logged: the record at `place` is not all of it, and is still to be outdated.
fn note_failure(state: &mut ShardState, index: usize, place: Place) {
    state.table.at_mut(index).set_place(place.as_part().bits());
    if let Some(chain) = state.chains.get_mut(place.location().bits()) {
        chain.broken = true;
    }
}

/// A whole value was logged at a place.
fn begin_chain(state: &mut ShardState, index: usize, place: Place, version: u64, shared: bool) {
    if place.bytes() >= DELTA_BASE_BYTES_MIN && may_have_deltas(&state.table.at(index)) {
        state.chains.insert(place.location().bits(), Chain::new(version, shared));
    }
}

impl TierScratch {
    /// The form in which a change of an entry is logged.
    #[inline]
    fn form(&mut self, tier: &Tier, state: &ShardState, entry: &Entry) -> Form {
        match Place::from_bits(entry.place()).filter(|place| place.bytes() >= DELTA_BASE_BYTES_MIN) {
            Some(place) => self.form_of_large(tier, state, entry, place),
            None => Form::Whole { shared: false },
        }
    }

    fn form_of_large(&mut self, tier: &Tier, state: &ShardState, entry: &Entry, place: Place) -> Form {
        let lane = self.lane.as_ref();
        let Some(chain) = state.chains.get(place.location().bits()) else {
            return Form::Whole { shared: false };
        };
        let Some(notes) = self.journals.notes(place) else { return Form::Whole { shared: chain.shared } };
        let bytes = (RECORD_HEADER_BYTES + entry.key().len() + notes.len()) as u64;
        let is_long = chain.bytes + bytes > place.bytes();
        // Without room for all of it one more delta is better than none.
        if chain.broken || is_long && lane.is_some_and(|lane| lane.may_take(place.bytes() + chain.bytes)) {
            return Form::Whole { shared: chain.shared };
        }
        let last = Place::from_bits(chain.last).unwrap_or(place);
        if lane.is_some_and(|lane| lane.has(last)) {
            return Form::Delta { shared: chain.shared };
        }
        if tier.store.is_sealed(last) {
            return Form::Delta { shared: chain.shared };
        }
        // Another worker has logged the last change. Should it not have reached the kernel, then what continues it might
        // get there first, and be worth nothing after a crash.
        if tier.store.is_written(last) { Form::Delta { shared: true } } else { Form::Whole { shared: true } }
    }

    /// Adds the record of an entry that was changed.
    fn push_change(&mut self, tier: &Tier, state: &ShardState, index: usize, space: u32) -> Form {
        let entry = state.table.at(index);
        let form = self.form(tier, state, &entry);
        match (form, Place::from_bits(entry.place())) {
            (Form::Delta { .. }, Some(place)) => {
                let before = state.chains.get(place.location().bits()).map_or(0, |chain| chain.version);
                let notes = self.journals.notes(place).unwrap_or_default();
                push_delta(&mut self.frame, &entry, state.version, space, before, notes);
            }
            _ => push_entry(&mut self.frame, &entry, state.version, space),
        }
        if let Form::Whole { shared: true } | Form::Delta { shared: true } = form {
            self.at_once = true;
        }
        form
    }
}

impl Keyspace {
    /// A key was changed, and its entry is still to be logged. It may be found at `index` of its table.
    #[inline]
    pub(super) fn note_dirty(
        &self,
        scratch: &mut Scratch,
        database: usize,
        hash: KeyHash,
        name: &[u8],
        index: usize,
    ) {
        if self.tier.is_some() {
            let removed = std::mem::take(&mut scratch.tier.removed);
            scratch.tier.dirty.push(database, hash, name, removed, index);
        }
    }

    /// An entry was taken out of its table, and that is still to be logged.
    pub(super) fn note_removed(&self, scratch: &mut Scratch, database: usize, entry: &mut Entry) {
        scratch.tier.removed = entry.place();
        entry.set_place(0);
        self.note_dirty(scratch, database, self.hash(entry.key()), entry.key(), usize::MAX);
    }

    /// The journal of the value whose record is at a place, if what is done to it may be logged as a delta.
    #[inline]
    pub(super) fn journal<'s>(&self, scratch: &'s mut Scratch, place: u64) -> Option<&'s mut Journal> {
        // Most values have no record, or a short one.
        let place = Place::from_bits(place).filter(|place| place.bytes() >= DELTA_BASE_BYTES_MIN)?;
        self.tier.as_ref().filter(|tier| tier.logs())?;
        Some(scratch.tier.journals.of(place))
    }

    /// Logs what was changed, as one frame. `locks` has all its shards, in order.
    pub(super) fn log_dirty(&self, scratch: &mut Scratch, locks: &mut [Lock<'_>], now_ms: i64) {
        let Some(tier) = &self.tier else { return };
        if !self.log_single(tier, &mut scratch.tier, locks, now_ms) {
            self.log_together(tier, &mut scratch.tier, locks, now_ms);
        }
        scratch.tier.dirty.clear();
        scratch.tier.journals.clear();
        scratch.tier.promised = 0;
    }

    /// Logs the change of one key whose value has no record or a short one: what most commands do. Answers whether it is
    /// that, and there is room.
    #[inline]
    fn log_single(&self, tier: &Tier, own: &mut TierScratch, locks: &mut [Lock<'_>], now_ms: i64) -> bool {
        let [dirty] = own.dirty.keys.as_slice() else { return false };
        if dirty.removed != 0 || !own.frame.is_empty() || own.at_once || !tier.logs() {
            return false;
        }
        let lock = self.lock_in(locks, dirty.database, dirty.hash);
        let state = &mut *locks[lock].guard;
        let (position, name) = (dirty.hash.position(), own.dirty.name(dirty));
        let known = state.table.has_at(dirty.index, position, name).then_some(dirty.index);
        let Some(index) = known.or_else(|| state.table.find(position, name)) else { return false };
        let mut entry = state.table.at_mut(index);
        let old = Place::from_bits(entry.place());
        if old.is_some_and(|old| old.bytes() >= DELTA_BASE_BYTES_MIN) {
            // There may be a chain of it.
            return false;
        }
        let brief = is_brief(&entry, now_ms);
        let lane = if brief { &mut own.brief } else { &mut own.lane };
        let Some(lane) = lane else { return false };
        let (record, body) = record_of(&entry, state.version, tier.space(dirty.database));
        let Some(place) = lane.append_single(&record, old, |out| body.write(out)) else { return false };
        entry.set_place(place.bits());
        drop(entry);
        if !brief {
            begin_chain(state, index, place, state.version, false);
        }
        true
    }

    /// Logs what was changed, whatever it is.
    fn log_together(&self, tier: &Tier, own: &mut TierScratch, locks: &mut [Lock<'_>], now_ms: i64) {
        let logs = tier.logs();
        own.dirty.merge();
        let dirty = std::mem::take(&mut own.dirty);
        let mut brief = own.frame.is_empty();
        for changed in &dirty.keys {
            let Dirty { database, hash, removed, .. } = *changed;
            let name = dirty.name(changed);
            let lock = self.lock_in(locks, database, hash);
            let state = &mut *locks[lock].guard;
            let space = tier.space(database);
            let found = state.table.find(hash.position(), name);
            // A key that was removed has no place if it was made anew.
            let old = found.map_or(0, |index| state.table.at(index).place()) | removed;
            let form = match found {
                Some(index) if logs => {
                    let form = own.push_change(tier, state, index, space);
                    brief &= matches!(form, Form::Whole { .. }) && is_brief(&state.table.at(index), now_ms);
                    form
                }
                _ if old == 0 => continue,
                _ => {
                    brief = false;
                    let horizon = tier.store.last_sequence();
                    push_tombstone(&mut own.frame, name, state.version, space, horizon);
                    Form::Tombstone
                }
            };
            own.fixups.push(Fixup { lock, index: found, old, form });
        }
        own.dirty = dirty;
        if !own.frame.is_empty() {
            self.append_frame(tier, own, locks, brief);
        }
    }

    /// Which of the locked shards has a key.
    fn lock_in(&self, locks: &[Lock<'_>], database: usize, hash: KeyHash) -> usize {
        if locks.len() == 1 {
            return 0;
        }
        let shard = self.database(database).shard_index(hash);
        let at = locks.binary_search_by_key(&(database, shard), |lock| (lock.database, lock.shard));
        at.expect("what is changed is locked")
    }

    /// The locked shard of a key.
    pub(super) fn state_in<'s>(
        &self,
        locks: &'s mut [Lock<'_>],
        database: usize,
        hash: KeyHash,
    ) -> &'s mut ShardState {
        let lock = self.lock_in(locks, database, hash);
        &mut locks[lock].guard
    }

    /// Appends the frame and tells entries their places.
    fn append_frame(&self, tier: &Tier, own: &mut TierScratch, locks: &mut [Lock<'_>], brief: bool) {
        let mut frame = std::mem::take(&mut own.frame);
        // Another worker may log what it makes of one of the keys, and be faster: the others would be left behind by a
        // crash.
        own.at_once |= frame.records().len() > 1 && tier.store.has_several_writers();
        let appended = if brief { own.append_brief(tier, &mut frame) } else { None };
        let in_brief = appended.is_some();
        let lane = own.lane(tier);
        let base = match appended {
            Some(base) => Ok(base),
            None => lane.append_or_free(&mut frame),
        };
        let place_of = |record: usize| {
            let range = &frame.records()[record];
            let len = format::padded(range.len());
            base.as_ref().ok().map(|base| Place::new(base.after(range.start), len))
        };
        for place in (0..frame.records().len()).filter_map(place_of) {
            tier.store.add_live(place);
        }
        // The records of a flushed database come first, and are nobody's.
        let first = frame.records().len() - own.fixups.len();
        for (number, Fixup { lock, index: found, old, form }) in own.fixups.drain(..).enumerate() {
            let state = &mut *locks[lock].guard;
            let old = Place::from_bits(old);
            match (place_of(first + number), form) {
                (Some(place), Form::Delta { shared }) => {
                    let (Some(index), Some(old)) = (found, old) else { continue };
                    let (version, at) = (state.version, old.location().bits());
                    let Some(chain) = state.chains.get_mut(at) else { continue };
                    chain.version = version;
                    chain.last = place.bits();
                    chain.shared = shared;
                    chain.bytes += place.bytes();
                    chain.add(place.location().front().bits(), place.bytes() as i64);
                    state.table.at_mut(index).set_place(old.as_part().bits());
                }
                (Some(place), form) => {
                    old.into_iter().for_each(|old| forget_record(tier, state, old));
                    if let Some(index) = found {
                        let is_whole = matches!(form, Form::Whole { .. });
                        state.table.at_mut(index).set_place(if is_whole { place.bits() } else { 0 });
                        if let Form::Whole { shared } = form
                            && !in_brief
                        {
                            begin_chain(state, index, place, state.version, shared);
                        }
                    }
                }
                (None, _) => {
                    if let (Some(index), Some(old)) = (found, old) {
                        note_failure(state, index, old);
                    }
                }
            }
        }
        let at_once = std::mem::take(&mut own.at_once);
        let done = match base {
            Err(error) if tier.logs() => Err(error),
            _ if at_once => own.flush(),
            _ => Ok(()),
        };
        if let Err(error) = done {
            own.lost = Some(error);
        }
        frame.clear();
        own.frame = frame;
    }

    /// Logs that a key was evicted, whose shard is no longer locked: should it have been made anew meanwhile, its
    /// version is the higher.
    pub(super) fn log_eviction(&self, scratch: &mut Scratch, database: usize, entry: &mut Entry) {
        if Place::from_bits(entry.place()).is_some() {
            let shard = self.database(database).shard_index(self.hash(entry.key()));
            self.note_removed(scratch, database, entry);
            // It is a tombstone: no matter when.
            self.log_dirty(scratch, std::slice::from_mut(&mut self.lock(database, shard)), 0);
        }
    }

    /// Logs the whole value of an entry.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn write_out(
        &self,
        scratch: &mut Scratch,
        state: &mut ShardState,
        space: u32,
        index: usize,
    ) -> io::Result<()> {
        let Some(tier) = &self.tier else { return Ok(()) };
        let own = &mut scratch.tier;
        let mut frame = std::mem::take(&mut own.frame);
        // A tombstone of the value before may have the present version.
        state.version += 1;
        push_entry(&mut frame, &state.table.at(index), state.version, space);
        let base = own.lane(tier).append(&mut frame);
        if let Ok(base) = &base {
            own.written_out += 1;
            let place = Place::new(*base, frame.len());
            tier.store.add_live(place);
            if let Some(old) = Place::from_bits(state.table.at(index).place()) {
                forget_record(tier, state, old);
            }
            state.table.at_mut(index).set_place(place.bits());
            begin_chain(state, index, place, state.version, false);
        }
        frame.clear();
        own.frame = frame;
        base.map(|_| ())
    }

    /// Logs every value that has no record of its whole: before a stop, and where logging begins. No lock may be held.
    ///
    /// # Errors
    /// Where not all could be logged.
    pub fn write_all_out(&self, scratch: &mut Scratch) -> io::Result<()> {
        let Some(tier) = &self.tier else { return Ok(()) };
        if tier.sync_policy() != SyncPolicy::Never {
            // What is written now must not survive what was logged together with the value's last change.
            scratch.commit()?;
            tier.store.sync()?;
        }
        loop {
            let spaces = tier.spaces_version();
            self.write_out_databases(tier, scratch)?;
            if tier.spaces_version() == spaces {
                return Ok(());
            }
            // SWAPDB may have put values where the walk had been already.
        }
    }

    fn write_out_databases(&self, tier: &Tier, scratch: &mut Scratch) -> io::Result<()> {
        for (number, database) in self.databases_in_use() {
            for shard in database.shards() {
                let mut state = shard.lock();
                // Only now: SWAPDB holds every shard of both.
                let space = tier.space(number);
                let mut at = 0;
                while let Some(index) = state.table.next_resident(at) {
                    let place = Place::from_bits(state.table.at(index).place());
                    if place.is_none_or(Place::is_part) {
                        self.write_out(scratch, &mut state, space, index)?;
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

impl Access<'_> {
    /// Logs what keys have now, or that there is no such key, with versions of their own, as one frame: what part of a
    /// transaction has to be taken back must not be without another part.
    pub(super) fn log_again(mut self, keys: &[Key<'_>]) {
        let Some(tier) = &self.space.tier else { return };
        for key in keys {
            let found = self.find(*key);
            if let Some((lock, index)) = found {
                log_whole(self.space, self.scratch, &self.locks[lock].guard.table.at(index));
                self.reformed(*key);
            } else {
                let lock = self.lock_of(*key);
                let (space, horizon) = (tier.space(key.database), tier.store.last_sequence());
                let state = &mut self.locks[lock].guard;
                state.version += 1;
                push_tombstone(&mut self.scratch.tier.frame, key.name, state.version, space, horizon);
            }
        }
        self.scratch.tier.at_once = true;
        self.settle();
    }
}
