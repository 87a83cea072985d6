//! A command's hold on its keys: what handlers read and write through.

use super::locks::{Lock, Locks};
use super::{Change, ColdKeys, Effect, Keyspace, RandomSource, Scratch};
use crate::config::NotifyFlags;
use crate::memory::entry::NewValue;
use crate::memory::slot::{EntryMut, EntryRef};
use crate::memory::{Entry, KeyHash, ShardState};
use crate::value::hash::Hash;
use crate::value::journal::Edit;
use crate::value::string::StringRef;
use crate::value::{Collection, Typed};
use smallvec::SmallVec;
use std::sync::atomic::Ordering::Relaxed;

/// A key of a command.
#[derive(Clone, Copy, Debug)]
pub struct Key<'k> {
    /// The database's number.
    pub database: usize,
    /// The key itself.
    pub name: &'k [u8],
    /// Its hash.
    pub hash: KeyHash,
}

/// How a lookup counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lookup {
    /// A read: counted as hit or miss, and noted as a use.
    Read,
    /// A read that is no use (EXISTS, TTL, TYPE).
    Quiet,
    /// The look of a write before it leaps: a use, but no hit or miss.
    Write,
    /// Neither (OBJECT).
    Silent,
}

/// The key holds a value of another type than the command is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WrongType;

/// What a write does to the deadline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expiry {
    /// The key has none afterwards.
    Clear,
    /// It stays what it was.
    Keep,
    /// Unix milliseconds.
    At(i64),
}

/// What else than its own keys a command uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Nothing.
    Keys,
    /// Any keys of its database, shard by shard: all of them are locked only in a transaction.
    Walk,
    /// The same of all databases.
    WalkAll,
    /// Any keys of its database at once.
    Database,
}

/// Locked shards and the record of what is done to them.
pub struct Access<'a> {
    pub(super) space: &'a Keyspace,
    pub(super) scratch: &'a mut Scratch,
    pub(super) locks: Locks<'a>,
    pub(super) now_ms: i64,
    touch: bool,
    /// Whether the disk may be waited for while shards are locked.
    waits: bool,
    /// There is room in the log for all that a transaction does, as far as could be told before it began.
    pub(super) has_room: bool,
    /// Where in its table the key that was last found or inserted is: a change is most often of that.
    last_index: usize,
}

impl Keyspace {
    /// Locks the shards of `keys`, in lock order, and brings back what is on disk, which is waited for. `touch` is false
    /// for a client with NO-TOUCH.
    #[inline]
    pub fn prepare<'a>(
        &'a self,
        scratch: &'a mut Scratch,
        keys: &[Key<'_>],
        now_ms: i64,
        touch: bool,
    ) -> Access<'a> {
        let mut access = self.lock_keys(scratch, keys, &[], now_ms, touch);
        access.waits = true;
        if self.tier().is_some() {
            keys.iter().for_each(|key| access.resolve(*key, true, false, &mut ColdKeys::default()));
        }
        access
    }

    /// As [`Self::prepare`], and locks all shards of `databases`; but leaves on disk what is there: [`Access::try_resolve`]
    /// is to be asked. Nor is the disk waited for where keys are looked at later: see [`Scratch::has_missed`].
    // Inlined, as its callers are: what it makes is large, and is then made where it is used.
    #[inline(always)]
    pub fn lock_keys<'a>(
        &'a self,
        scratch: &'a mut Scratch,
        keys: &[Key<'_>],
        databases: &[usize],
        now_ms: i64,
        touch: bool,
    ) -> Access<'a> {
        let locks = match keys {
            [key] if databases.is_empty() => {
                Locks::One(self.lock(key.database, self.database(key.database).shard_index(key.hash)))
            }
            keys => Locks::Many(self.lock_many(keys, databases)),
        };
        Access { space: self, scratch, locks, now_ms, touch, waits: false, has_room: false, last_index: 0 }
    }

    #[inline(never)]
    fn lock_many(&self, keys: &[Key<'_>], databases: &[usize]) -> Vec<Lock<'_>> {
        let place = |key: &Key<'_>| (key.database, self.database(key.database).shard_index(key.hash));
        let mut places: SmallVec<[(usize, usize); 16]> = keys.iter().map(place).collect();
        for number in databases {
            places.extend((0..self.database(*number).shards().len()).map(|shard| (*number, shard)));
        }
        places.sort_unstable();
        places.dedup();
        places.into_iter().map(|(database, shard)| self.lock(database, shard)).collect()
    }

    #[inline(always)]
    pub(super) fn lock(&self, database: usize, shard: usize) -> Lock<'_> {
        Lock { database, shard, guard: self.database(database).shards()[shard].lock() }
    }
}

impl Keyspace {
    /// A new entry, with room for its place on disk where every write is logged.
    #[inline]
    fn new_entry<'v>(&self, key: &[u8], value: impl Into<NewValue<'v>>, expires_at_ms: Option<i64>) -> Entry {
        if self.tier().is_some_and(|tier| tier.logs()) {
            Entry::with_place(key, value, expires_at_ms)
        } else {
            Entry::new(key, value, expires_at_ms)
        }
    }

    /// Frees an entry: a large one in the background.
    pub(super) fn discard(&self, scratch: &mut Scratch, entry: Entry) {
        if entry.is_large() {
            scratch.garbage.push(entry);
        }
    }
}

/// An entry is about to be changed in a way that no journal can tell.
#[inline]
pub(super) fn log_whole(space: &Keyspace, scratch: &mut Scratch, entry: &Entry) {
    if let Some(journal) = space.journal(scratch, entry.place()) {
        journal.tells_not_all();
    }
}

/// Whether a deadline has passed.
pub(super) fn is_due(entry: &Entry, now_ms: i64) -> bool {
    entry.expires_at_ms().is_some_and(|at| at <= now_ms)
}

impl<'a> Access<'a> {
    /// The time of this command, Unix milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Brings back what is on disk, but does not wait for it: what has to be waited for is returned. Where it `maps`,
    /// nothing may come of values but replies.
    #[inline]
    pub fn try_resolve(&mut self, keys: &[Key<'_>], maps: bool) -> Option<ColdKeys> {
        self.space.tier()?;
        // Without cold keys there is nothing to bring back.
        if !self.locks.iter().any(|lock| lock.guard.table.cold_len() > 0) {
            return None;
        }
        let cold = self.resolve_all(keys, maps);
        (!cold.locations.is_empty()).then_some(cold)
    }

    /// The keyspace itself, for what concerns whole databases.
    pub fn space(&self) -> &'a Keyspace {
        self.space
    }

    /// Has the disk be waited for from here on: what is looked at came into memory and left it again, too often.
    pub fn wait_for_disk(&mut self) {
        self.waits = true;
    }

    /// Whether not all that was looked for was seen: see [`Scratch::has_missed`].
    pub fn has_missed(&self) -> bool {
        self.scratch.has_missed()
    }

    /// Whether the disk may be waited for.
    pub(super) fn waits(&self) -> bool {
        self.waits
    }

    /// The worker's scratch, for what concerns whole databases.
    pub fn scratch(&mut self) -> &mut Scratch {
        self.scratch
    }

    /// Random numbers for as long as keys are read.
    pub fn random_source(&mut self) -> RandomSource {
        RandomSource(self.scratch.random() | 1)
    }

    /// Finds the lock of a key.
    ///
    /// # Panics
    /// When the command did not declare the key.
    #[inline(always)]
    pub(super) fn lock_of(&self, key: Key<'_>) -> usize {
        if matches!(self.locks, Locks::One(_)) {
            return 0;
        }
        let shard = self.space.database(key.database).shard_index(key.hash);
        self.held(key.database, shard).expect("a handler uses the keys that its row declares")
    }

    /// The lock of a shard, if the command holds it.
    pub(super) fn held(&self, database: usize, shard: usize) -> Option<usize> {
        self.locks.binary_search_by_key(&(database, shard), |lock| (lock.database, lock.shard)).ok()
    }

    /// Gives `read` a shard that is held, or is locked for the moment.
    pub(super) fn with_shard<R>(
        &self,
        database: usize,
        shard: usize,
        read: impl FnOnce(&ShardState) -> R,
    ) -> R {
        match self.held(database, shard) {
            Some(lock) => read(&self.locks[lock].guard),
            None => read(&self.space.database(database).shards()[shard].lock()),
        }
    }

    /// Gives `edit` a key that the command did not declare: its shard is held by a transaction, or locked
    /// for the moment, which only a command without keys may do.
    pub fn with_key<R>(&mut self, key: Key<'_>, edit: impl FnOnce(&mut Access<'_>) -> R) -> R {
        let shard = self.space.database(key.database).shard_index(key.hash);
        if self.held(key.database, shard).is_some() {
            return edit(self);
        }
        let mut access = self.space.lock_keys(self.scratch, &[key], &[], self.now_ms, self.touch);
        access.waits = self.waits;
        if access.space.tier().is_some() {
            access.look_for(key);
        }
        let result = edit(&mut access);
        access.settle();
        result
    }

    #[inline(always)]
    fn state(&mut self, key: Key<'_>) -> &mut ShardState {
        let lock = self.lock_of(key);
        self.locks.state_mut(lock)
    }

    /// Finds a key that is not due; one that is due is removed (or, while clients are paused, hidden).
    // The pair would be returned through memory.
    #[inline(always)]
    pub(super) fn find(&mut self, key: Key<'_>) -> Option<(usize, usize)> {
        let lock = self.lock_of(key);
        let table = &self.locks.state(lock).table;
        let Some(index) = table.find(key.hash.position(), key.name) else {
            return if table.cold_len() > 0 { self.find_cold(key, lock) } else { None };
        };
        if is_due(&table.at(index), self.now_ms) {
            return self.find_due(key, lock, index);
        }
        self.last_index = index;
        Some((lock, index))
    }

    #[cold]
    fn find_due(&mut self, key: Key<'_>, lock: usize, index: usize) -> Option<(usize, usize)> {
        if !self.space.paused.load(Relaxed) {
            self.take_at(lock, index);
            self.scratch.counts.expired += 1;
            self.record(key, Change::Delete, NotifyFlags::EXPIRED, "expired");
        }
        None
    }

    /// Brings back a key that the command did not declare; it is missed where the disk is not waited for.
    fn look_for(&mut self, key: Key<'_>) {
        let mut cold = ColdKeys::default();
        self.resolve(key, self.waits, false, &mut cold);
        self.scratch.tier.missed.extend(cold.locations);
    }

    /// Finds a key that the command did not declare (SORT's BY and GET), where its value is on disk. A declared one is in
    /// memory by now.
    #[cold]
    fn find_cold(&mut self, key: Key<'_>, lock: usize) -> Option<(usize, usize)> {
        let table = &self.locks.state(lock).table;
        table.cold_at(key.hash.position()).next()?;
        self.look_for(key);
        self.locks.state(lock).table.find(key.hash.position(), key.name)?;
        self.find(key)
    }

    /// The entry of a key, if it has one.
    #[inline]
    pub fn get(&mut self, key: Key<'_>, lookup: Lookup) -> Option<EntryRef<'_>> {
        let found = self.find(key);
        if matches!(lookup, Lookup::Read | Lookup::Quiet) {
            match found {
                Some(_) => self.scratch.counts.hits += 1,
                None => {
                    self.scratch.counts.misses += 1;
                    self.event(key, NotifyFlags::KEY_MISS, "keymiss");
                }
            }
        }
        let (lock, index) = found?;
        if self.touch && matches!(lookup, Lookup::Read | Lookup::Write) {
            self.note_use(lock, index);
        }
        Some(self.locks.state(lock).table.at(index))
    }

    #[inline(always)]
    fn note_use(&mut self, lock: usize, index: usize) {
        let (mode, now_ms) = (self.space.access_mode(), self.now_ms);
        let scratch = &mut *self.scratch;
        let mut entry = self.locks.state_mut(lock).table.at_mut(index);
        let bits = entry.access_bits();
        let used = mode.used(bits, now_ms, || scratch.random() as u32);
        if used != bits {
            entry.set_access_bits(used);
        }
    }

    /// Notes a use of the key even for a client with NO-TOUCH (TOUCH). Answers whether it exists.
    pub fn touch(&mut self, key: Key<'_>) -> bool {
        let found = self.find(key);
        match found {
            Some((lock, index)) => {
                self.scratch.counts.hits += 1;
                self.note_use(lock, index);
            }
            None => {
                self.scratch.counts.misses += 1;
                self.event(key, NotifyFlags::KEY_MISS, "keymiss");
            }
        }
        found.is_some()
    }

    /// The entry of a key to edit in place. The edit must be followed by [`Self::edited`], and must not
    /// touch the deadline.
    pub fn edit(&mut self, key: Key<'_>) -> Option<EntryMut<'_>> {
        let (lock, index) = self.find(key)?;
        if self.touch {
            self.note_use(lock, index);
        }
        let state = self.locks.state_mut(lock);
        state.before_change(index);
        log_whole(self.space, self.scratch, &state.table.at(index));
        Some(state.table.at_mut(index))
    }

    /// The long string of a key to edit in place; `None` where there is none. An edit must be followed by
    /// [`Self::edited`].
    pub fn write_long(&mut self, key: Key<'_>) -> Result<Option<Edit<'_, Vec<u8>>>, WrongType> {
        let Some((lock, index)) = self.find(key) else { return Ok(None) };
        match self.locks.state(lock).table.at(index).string() {
            Some(StringRef::Shared(_)) => {}
            Some(_) => return Ok(None),
            None => return Err(WrongType),
        }
        if self.touch {
            self.note_use(lock, index);
        }
        let state = self.locks.state_mut(lock);
        state.before_change(index);
        let entry = state.table.at_mut(index);
        let place = entry.place();
        Ok(entry.into_shared().map(|text| Edit::new(text, self.space.journal(self.scratch, place))))
    }

    /// The collection of an entry, with its journal.
    #[inline(always)]
    fn edit_at<T: Typed>(&mut self, lock: usize, index: usize) -> Result<Edit<'_, T>, WrongType> {
        if self.touch {
            self.note_use(lock, index);
        }
        let state = self.locks.state_mut(lock);
        state.before_change(index);
        let entry = state.table.at_mut(index);
        let place = entry.place();
        let value = entry.into_collection().and_then(T::of_mut).ok_or(WrongType)?;
        Ok(Edit::new(value, self.space.journal(self.scratch, place)))
    }

    /// Records an edit made in place.
    pub fn edited(&mut self, key: Key<'_>, class: NotifyFlags, event: &'static str) {
        self.record(key, Change::Put, class, event);
    }

    /// Notes that the value of a key is kept in another form, which is no change to anybody but the log.
    pub fn reformed(&mut self, key: Key<'_>) {
        self.state(key).version += 1;
        self.space.note_dirty(self.scratch, key.database, key.hash, key.name, self.last_index);
    }

    /// Records an edit of a stream's consumer groups.
    pub fn group_edited(&mut self, key: Key<'_>, event: &'static str) {
        self.record(key, Change::Group, NotifyFlags::STREAM, event);
    }

    /// The string of a key.
    #[inline]
    pub fn string(&mut self, key: Key<'_>, lookup: Lookup) -> Result<Option<StringRef<'_>>, WrongType> {
        match self.get(key, lookup) {
            Some(entry) => entry.into_string().map(Some).ok_or(WrongType),
            None => Ok(None),
        }
    }

    /// The collection of a key.
    #[inline]
    pub fn read<T: Typed>(&mut self, key: Key<'_>, lookup: Lookup) -> Result<Option<&T>, WrongType> {
        match self.get(key, lookup) {
            Some(entry) => entry.into_collection().and_then(T::of).map(Some).ok_or(WrongType),
            None => Ok(None),
        }
    }

    /// The collection of a key to edit in place. An edit must be followed by [`Self::edited`], and by
    /// [`Self::remove_if_empty`] where it may have taken the last member.
    #[inline]
    pub fn write<T: Typed>(&mut self, key: Key<'_>) -> Result<Option<Edit<'_, T>>, WrongType> {
        match self.find(key) {
            Some((lock, index)) => self.edit_at(lock, index).map(Some),
            None => Ok(None),
        }
    }

    /// As [`Self::write`], but makes the key with an empty collection where there is none. Something must
    /// be added to it.
    #[inline]
    pub fn write_or_create<T: Typed>(&mut self, key: Key<'_>) -> Result<Edit<'_, T>, WrongType> {
        let (lock, index) = match self.find(key) {
            Some(found) => found,
            None => {
                let mut entry = self.space.new_entry(key.name, T::default().wrap(), None);
                entry.set_access_bits(self.space.access_mode().fresh(self.now_ms));
                self.insert(key, entry);
                self.event(key, NotifyFlags::NEW, "new");
                self.find(key).ok_or(WrongType)?
            }
        };
        self.edit_at(lock, index)
    }

    /// Removes a key whose collection has lost its last member; answers whether it had.
    pub fn remove_if_empty(&mut self, key: Key<'_>) -> bool {
        let Some((lock, index)) = self.find(key) else { return false };
        let entry = self.locks.state(lock).table.at(index);
        let empty = entry.collection().is_some_and(Collection::is_empty);
        if empty {
            self.take_at(lock, index);
            self.record(key, Change::Delete, NotifyFlags::GENERIC, "del");
            // Part of the change that emptied it.
            self.scratch.counts.changes -= 1;
        }
        empty
    }

    /// Records an edit that is part of the same change as another one.
    pub fn also_edited(&mut self, key: Key<'_>, class: NotifyFlags, event: &'static str) {
        self.edited(key, class, event);
        self.scratch.counts.changes -= 1;
    }

    /// Gives the key a value, a string or a collection.
    #[inline]
    pub fn put<'v>(
        &mut self,
        key: Key<'_>,
        value: impl Into<NewValue<'v>>,
        expiry: Expiry,
        class: NotifyFlags,
        event: &'static str,
    ) {
        let found = self.find(key);
        let old = found.and_then(|(lock, index)| self.locks.state(lock).table.at(index).expires_at_ms());
        let new = match expiry {
            Expiry::Clear => None,
            Expiry::Keep => old,
            Expiry::At(at) => Some(at),
        };
        match found {
            Some((lock, index)) => {
                if self.touch {
                    self.note_use(lock, index);
                }
                let state = self.locks.state_mut(lock);
                state.before_change(index);
                log_whole(self.space, self.scratch, &state.table.at(index));
                let mut entry = state.table.at_mut(index);
                if entry.is_large() {
                    let bits = entry.access_bits();
                    let mut fresh = self.space.new_entry(key.name, value, new);
                    fresh.set_place(entry.place());
                    fresh.set_access_bits(bits);
                    let old = std::mem::replace(&mut *entry, fresh);
                    self.scratch.garbage.push(old);
                } else {
                    entry.overwrite(value, new);
                }
                drop(entry);
                self.file_expiry(key, old, new);
                self.record(key, Change::Put, class, event);
            }
            None => {
                let mut entry = self.space.new_entry(key.name, value, new);
                entry.set_access_bits(self.space.access_mode().fresh(self.now_ms));
                self.put_entry(key, entry, class, event);
            }
        }
    }

    /// Puts a whole entry under a key that has none; the entry's own key must be the same.
    pub fn put_entry(&mut self, key: Key<'_>, entry: Entry, class: NotifyFlags, event: &'static str) {
        self.insert(key, entry);
        self.event(key, NotifyFlags::NEW, "new");
        self.record(key, Change::Put, class, event);
    }

    fn insert(&mut self, key: Key<'_>, entry: Entry) {
        let expires_at_ms = entry.expires_at_ms();
        let member_expires_at_ms = entry.collection().and_then(Hash::of).and_then(Hash::next_deadline);
        let state = self.state(key);
        state.before_insert(key.hash.position(), key.name);
        let index = state.table.insert(key.hash.position(), entry);
        self.last_index = index;
        self.file_expiry(key, None, expires_at_ms);
        if let Some(at_ms) = member_expires_at_ms {
            self.file_member_expiry(key, at_ms);
        }
    }

    /// Counts and files a deadline that changed from `old` to `new`.
    fn file_expiry(&mut self, key: Key<'_>, old: Option<i64>, new: Option<i64>) {
        if old.is_none() && new.is_none() {
            return;
        }
        if new.is_some()
            && let Some(tier) = self.space.tier()
        {
            tier.note_deadline();
        }
        let now_ms = self.now_ms;
        let state = self.state(key);
        state.expires += u32::from(new.is_some());
        state.expires -= u32::from(old.is_some());
        if let Some(new) = new
            && old.is_none_or(|old| new < old)
        {
            state.file_expiry(key.hash.position(), new, now_ms);
        }
    }

    /// Sets or removes the deadline of a key that exists.
    pub fn set_expiry(
        &mut self,
        key: Key<'_>,
        expires_at_ms: Option<i64>,
        class: NotifyFlags,
        event: &'static str,
    ) {
        if let Some((lock, index)) = self.find(key) {
            let state = self.locks.state_mut(lock);
            state.before_change(index);
            let mut entry = state.table.at_mut(index);
            // Every record has the deadline.
            let _ = self.space.journal(self.scratch, entry.place());
            let old = entry.expires_at_ms();
            entry.set_expiry(expires_at_ms);
            drop(entry);
            self.file_expiry(key, old, expires_at_ms);
            self.record(key, Change::Expiry, class, event);
        }
    }

    fn take_at(&mut self, lock: usize, index: usize) {
        let state = self.locks.state_mut(lock);
        let entry = state.take_out(index);
        self.scratch.tier.removed = entry.place();
        self.space.discard(self.scratch, entry);
    }

    /// Removes a key; answers whether it existed.
    pub fn delete(&mut self, key: Key<'_>, class: NotifyFlags, event: &'static str) -> bool {
        let Some((lock, index)) = self.find(key) else { return false };
        self.take_at(lock, index);
        self.record(key, Change::Delete, class, event);
        true
    }

    /// Copies the entry of `from` for the key `to`.
    pub fn copy_of(&mut self, from: Key<'_>, to: &[u8]) -> Option<Entry> {
        let (lock, index) = self.find(from)?;
        let entry = self.locks.state(lock).table.at(index);
        Some(entry.copied(to, entry.expires_at_ms()))
    }

    /// Takes the entry of a key out, to put it under another.
    pub fn take(&mut self, key: Key<'_>, class: NotifyFlags, event: &'static str) -> Option<Entry> {
        let (lock, index) = self.find(key)?;
        let state = self.locks.state_mut(lock);
        let mut entry = state.take_out(index);
        self.scratch.tier.removed = entry.place();
        entry.set_place(0);
        self.record(key, Change::Delete, class, event);
        Some(entry)
    }

    /// Has the wheel come up for a key whose collection has members that expire.
    pub fn file_member_expiry(&mut self, key: Key<'_>, at_ms: i64) {
        let now_ms = self.now_ms;
        self.state(key).file_expiry(key.hash.position(), at_ms, now_ms);
    }

    /// An event that is no change of its own.
    pub fn event(&mut self, key: Key<'_>, class: NotifyFlags, event: &'static str) {
        if self.space.notify_flags().contains(class) {
            self.push_effect(key, 0, Change::None, class, event);
        }
    }

    /// Notes a write: always counted, recorded as an effect only where somebody listens.
    #[inline]
    fn record(&mut self, key: Key<'_>, change: Change, class: NotifyFlags, event: &'static str) {
        let state = self.state(key);
        state.version += 1;
        let version = state.version;
        self.scratch.counts.changes += 1;
        if self.space.tier().is_some() {
            self.space.note_dirty(self.scratch, key.database, key.hash, key.name, self.last_index);
        }
        if self.space.has_listeners() {
            self.push_effect(key, version, change, class, event);
        }
    }

    #[cold]
    fn push_effect(
        &mut self,
        key: Key<'_>,
        version: u64,
        change: Change,
        class: NotifyFlags,
        event: &'static str,
    ) {
        let Key { database, name, .. } = key;
        if !matches!(change, Change::None | Change::Group) {
            // Under the lock, so that no EXEC can run between the change and the news of it.
            self.space.watchers.touch(database, name);
        }
        self.scratch.effects.push(Effect { database, key: name.into(), version, change, class, event });
    }

    /// Releases the locks, then hands on what was written and frees what was large.
    #[inline]
    pub fn settle(mut self) {
        if self.space.tier().is_some() {
            self.settle_tier();
        }
        let Access { space, scratch, locks, .. } = self;
        drop(locks);
        if !scratch.effects.is_empty() || !scratch.garbage.is_empty() {
            space.deliver(scratch);
        }
    }
}
