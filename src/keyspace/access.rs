//! A command's hold on its keys: what handlers read and write through.

use super::reclaim::Garbage;
use super::{Change, ColdKeys, Effect, Keyspace, RandomSource, Scratch};
use crate::config::NotifyFlags;
use crate::memory::entry::NewValue;
use crate::memory::slot::{EntryMut, EntryRef};
use crate::memory::{Entry, KeyHash, ShardGuard, ShardState};
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

pub(super) struct Lock<'a> {
    pub(super) database: usize,
    pub(super) shard: usize,
    pub(super) guard: ShardGuard<'a>,
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
    pub(super) locks: SmallVec<[Lock<'a>; 1]>,
    pub(super) now_ms: i64,
    touch: bool,
    /// Where in its table the key that was last found or inserted is: a change is most often of that.
    last_index: usize,
}

impl Keyspace {
    /// Locks the shards of `keys`, in lock order, and brings back what is on disk. `touch` is false for a client with NO-TOUCH.
    #[inline]
    pub fn prepare<'a>(
        &'a self,
        scratch: &'a mut Scratch,
        keys: &[Key<'_>],
        now_ms: i64,
        touch: bool,
    ) -> Access<'a> {
        self.prepare_with(scratch, keys, &[], now_ms, touch)
    }

    /// As [`Self::prepare`], and locks all shards of `databases`.
    pub fn prepare_with<'a>(
        &'a self,
        scratch: &'a mut Scratch,
        keys: &[Key<'_>],
        databases: &[usize],
        now_ms: i64,
        touch: bool,
    ) -> Access<'a> {
        let mut access = self.lock_keys(scratch, keys, databases, now_ms, touch);
        if self.tier().is_some() {
            keys.iter().for_each(|key| access.resolve(*key, true, &mut ColdKeys::default()));
        }
        access
    }

    /// As [`Self::prepare_with`], but does not wait for the disk.
    ///
    /// # Errors
    /// What has to be waited for; nothing was changed then.
    #[inline(always)]
    pub fn try_prepare<'a>(
        &'a self,
        scratch: &'a mut Scratch,
        keys: &[Key<'_>],
        databases: &[usize],
        now_ms: i64,
        touch: bool,
    ) -> Result<Access<'a>, ColdKeys> {
        let mut access = self.lock_keys(scratch, keys, databases, now_ms, touch);
        // Without cold keys there is nothing to bring back.
        if self.tier().is_some() && access.locks.iter().any(|lock| lock.guard.table.cold_len() > 0) {
            let cold = access.resolve_all(keys);
            if !cold.locations.is_empty() {
                access.settle();
                return Err(cold);
            }
        }
        Ok(access)
    }

    // Inlined, as its callers are: what it makes is large, and is then made where it is used.
    #[inline(always)]
    fn lock_keys<'a>(
        &'a self,
        scratch: &'a mut Scratch,
        keys: &[Key<'_>],
        databases: &[usize],
        now_ms: i64,
        touch: bool,
    ) -> Access<'a> {
        let locks = match keys {
            [key] if databases.is_empty() => SmallVec::from_buf([
                self.lock(key.database, self.database(key.database).shard_index(key.hash))
            ]),
            keys => self.lock_many(keys, databases),
        };
        Access { space: self, scratch, locks, now_ms, touch, last_index: 0 }
    }

    #[inline(never)]
    fn lock_many(&self, keys: &[Key<'_>], databases: &[usize]) -> SmallVec<[Lock<'_>; 1]> {
        let place = |key: &Key<'_>| (key.database, self.database(key.database).shard_index(key.hash));
        let mut places: SmallVec<[(usize, usize); 16]> = keys.iter().map(place).collect();
        for number in databases {
            places.extend((0..self.database(*number).shards().len()).map(|shard| (*number, shard)));
        }
        places.sort_unstable();
        places.dedup();
        places.into_iter().map(|(database, shard)| self.lock(database, shard)).collect()
    }

    #[inline]
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
fn log_whole(space: &Keyspace, scratch: &mut Scratch, entry: &Entry) {
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

    /// The keyspace itself, for what concerns whole databases.
    pub fn space(&self) -> &'a Keyspace {
        self.space
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
        if self.locks.len() == 1 {
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
        let mut access = self.space.prepare(self.scratch, &[key], self.now_ms, self.touch);
        let result = edit(&mut access);
        access.settle();
        result
    }

    #[inline]
    fn state(&mut self, key: Key<'_>) -> &mut ShardState {
        let lock = self.lock_of(key);
        &mut self.locks[lock].guard
    }

    /// Finds a key that is not due; one that is due is removed (or, while clients are paused, hidden).
    pub(super) fn find(&mut self, key: Key<'_>) -> Option<(usize, usize)> {
        let lock = self.lock_of(key);
        let table = &self.locks[lock].guard.table;
        let Some(index) = table.find(key.hash.position(), key.name) else {
            return self.find_cold(key, lock);
        };
        if !is_due(&table.at(index), self.now_ms) {
            self.last_index = index;
            return Some((lock, index));
        }
        if !self.space.paused.load(Relaxed) {
            self.take_at(lock, index);
            self.scratch.counts.expired += 1;
            self.record(key, Change::Delete, NotifyFlags::EXPIRED, "expired");
        }
        None
    }

    /// Finds a key that the command did not declare (SORT's BY and GET), where its value is on disk: the disk is
    /// waited for. A declared one is in memory by now.
    fn find_cold(&mut self, key: Key<'_>, lock: usize) -> Option<(usize, usize)> {
        let table = &self.locks[lock].guard.table;
        table.cold_at(key.hash.position()).next()?;
        self.resolve(key, true, &mut ColdKeys::default());
        self.locks[lock].guard.table.find(key.hash.position(), key.name)?;
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
        Some(self.locks[lock].guard.table.at(index))
    }

    fn note_use(&mut self, lock: usize, index: usize) {
        let (mode, now_ms) = (self.space.access_mode(), self.now_ms);
        let scratch = &mut *self.scratch;
        let mut entry = self.locks[lock].guard.table.at_mut(index);
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
        let state = &mut *self.locks[lock].guard;
        state.before_change(index);
        log_whole(self.space, self.scratch, &state.table.at(index));
        Some(state.table.at_mut(index))
    }

    /// The collection of an entry, with its journal.
    #[inline]
    fn edit_at<T: Typed>(&mut self, lock: usize, index: usize) -> Result<Edit<'_, T>, WrongType> {
        if self.touch {
            self.note_use(lock, index);
        }
        let state = &mut *self.locks[lock].guard;
        state.before_change(index);
        let place = state.table.at(index).place();
        let value = state.table.at_mut(index).into_collection().and_then(T::of_mut).ok_or(WrongType)?;
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
        let entry = self.locks[lock].guard.table.at(index);
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
        let old = found.and_then(|(lock, index)| self.locks[lock].guard.table.at(index).expires_at_ms());
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
                let state = &mut *self.locks[lock].guard;
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
            let state = &mut *self.locks[lock].guard;
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
        let state = &mut self.locks[lock].guard;
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
        let entry = self.locks[lock].guard.table.at(index);
        Some(entry.copied(to, entry.expires_at_ms()))
    }

    /// Takes the entry of a key out, to put it under another.
    pub fn take(&mut self, key: Key<'_>, class: NotifyFlags, event: &'static str) -> Option<Entry> {
        let (lock, index) = self.find(key)?;
        let state = &mut self.locks[lock].guard;
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
        self.space.note_dirty(self.scratch, key.database, key.hash, key.name, self.last_index);
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
        self.settle_tier();
        let Access { space, scratch, locks, .. } = self;
        drop(locks);
        if !scratch.effects.is_empty() || !scratch.garbage.is_empty() {
            space.deliver(scratch);
        }
    }
}

impl Keyspace {
    /// Hands effects to whoever listens, and large entries to the reclaimer. No lock is held.
    #[cold]
    pub(super) fn deliver(&self, scratch: &mut Scratch) {
        let effects = std::mem::take(&mut scratch.effects);
        if !self.waiting.is_empty() {
            for Effect { database, key, change, .. } in &effects {
                match change {
                    Change::None => {}
                    Change::Flush => {
                        let keys = self.waiting.keys_of(*database).into_iter();
                        scratch.ready.extend(keys.map(|key| (*database, key)));
                    }
                    _ if self.waiting.has(*database, key) => {
                        let ready = (*database, key.clone());
                        if !scratch.ready.contains(&ready) {
                            scratch.ready.push(ready);
                        }
                    }
                    _ => {}
                }
            }
        }
        self.notify(&effects);
        scratch.effects = effects;
        scratch.effects.clear();
        if !scratch.garbage.is_empty() {
            self.reclaimer().free(Garbage::Entries(std::mem::take(&mut scratch.garbage)));
        }
    }

    /// Records an effect that no [`Access`] made. The lock of its shards is still held.
    pub(super) fn push_effect(&self, scratch: &mut Scratch, effect: Effect) {
        scratch.counts.changes += 1;
        if self.has_listeners() {
            if effect.change != Change::Flush {
                self.watchers.touch(effect.database, &effect.key);
            }
            scratch.effects.push(effect);
        }
    }
}
