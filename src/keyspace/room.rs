//! Room in the log, which a write asks for before it changes anything: what is done and cannot be logged cannot be taken
//! back.
//!
//! What a request brings is asked for before it runs ([`Keyspace::log_ready`]), and so is what its collections are logged
//! with where their records have to be written anew ([`Access::log_ready_for`]). What a command makes beyond that (a short
//! string is logged whole, whatever changes of it; RENAME logs all of a value) its handler asks for, which knows what that is.

use super::access::Access;
use super::{Key, Keyspace, Scratch};
use crate::disk::{Lane, Place};
use crate::memory::{Entry, ShardState};
use crate::value::Collection;

/// What a record has beside its key and value, at most.
const RECORD_BYTES: usize = 96;

/// Why a write cannot be logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotReady {
    /// There is no room, which this error says; it is being made.
    Yet(String),
    /// Writing fails, for this reason.
    Failed(String),
}

/// What a request of so many arguments and bytes brings may take in the log. Each argument may be a key with a record of its
/// own.
pub fn request_bytes(args: usize, bytes: usize) -> u64 {
    (bytes + args * RECORD_BYTES) as u64
}

impl Keyspace {
    /// Makes sure that the log has room for so many bytes, if it is in force. A write that `frees` has room where others
    /// have none.
    ///
    /// # Errors
    /// What stands against it.
    #[inline]
    pub fn log_ready(&self, scratch: &mut Scratch, frees: bool, bytes: u64) -> Result<(), NotReady> {
        let Some(tier) = self.tier().filter(|tier| tier.logs()) else { return Ok(()) };
        scratch.tier.promised = bytes;
        let lane = scratch.tier.lane(tier);
        let Err(error) = lane.ready(bytes) else { return Ok(()) };
        if frees && lane.ready_to_free(bytes).is_ok() {
            return Ok(());
        }
        if tier.store.is_passing(&error) {
            return Err(NotReady::Yet(error.to_string()));
        }
        // Nobody is making room, perhaps because it is there by now.
        lane.ready(bytes).map_err(|error| {
            let noted = tier.store.failure();
            NotReady::Failed(if noted.is_empty() { error.to_string() } else { noted })
        })
    }
}

impl Scratch {
    /// Why a handler had no room, if the last one had none.
    pub fn take_not_ready(&mut self) -> Option<NotReady> {
        self.tier.not_ready.take()
    }
}

/// What the record of an entry takes, at most.
fn whole_bytes(state: &ShardState, entry: &Entry) -> usize {
    let Some(collection) = entry.collection() else {
        return entry.string().map_or(0, |string| string.len());
    };
    match Place::from_bits(entry.place()) {
        Some(place) => {
            let deltas = state.chains.get(place.location().bits()).map_or(0, |chain| chain.bytes);
            (place.bytes() + deltas) as usize
        }
        None => collection.memory_bytes(usize::MAX),
    }
}

/// Whether a change of so many bytes is logged as a delta. One that `grows` is refused when deltas are no longer enough
/// and there is no room for the whole: what is left is for those that do not.
fn has_delta(state: &ShardState, entry: &Entry, grows: bool, bytes: u64) -> bool {
    Place::from_bits(entry.place()).is_some_and(|place| {
        let chain = state.chains.get(place.location().bits());
        chain.is_some_and(|chain| !chain.broken && (!grows || chain.bytes + bytes <= place.bytes()))
    })
}

/// What of an entry is logged with such a change.
fn kept_bytes(state: &ShardState, entry: &Entry, grows: bool, bytes: u64) -> usize {
    if has_delta(state, entry, grows, bytes) { 0 } else { whole_bytes(state, entry) }
}

impl Access<'_> {
    /// Makes sure that the log has room for the records of collections that any change writes anew; others have deltas. For
    /// a transaction, which must not be refused when half of it is done, there is room for its strings, too, and for the
    /// values of the keys that are `copied`.
    ///
    /// # Errors
    /// As [`Keyspace::log_ready`].
    #[inline]
    pub fn log_ready_for(
        &mut self,
        keys: &[Key<'_>],
        frees: bool,
        copied: Option<&[Key<'_>]>,
    ) -> Result<(), NotReady> {
        let Some(tier) = self.space().tier().filter(|tier| tier.logs()) else { return Ok(()) };
        let own = &self.scratch.tier;
        // With its deltas a value has twice what it had at first.
        let values = (keys.len() + copied.map_or(0, <[_]>::len)) as u64;
        let most = values * (2 * tier.store.longest() + RECORD_BYTES as u64);
        if own.lane.as_ref().map_or(0, Lane::room) < own.promised + most {
            self.log_ready_for_values(keys, frees, copied)?;
        }
        self.has_room = copied.is_some();
        Ok(())
    }

    #[cold]
    fn log_ready_for_values(
        &mut self,
        keys: &[Key<'_>],
        frees: bool,
        copied: Option<&[Key<'_>]>,
    ) -> Result<(), NotReady> {
        let mut keys: Vec<Key<'_>> = keys.to_vec();
        let steps = (keys.len() + copied.map_or(0, <[_]>::len)) as u64;
        keys.sort_unstable_by_key(|key| (key.database, key.name));
        keys.dedup_by_key(|key| (key.database, key.name));
        // Each step of a transaction asks for a record's head, too.
        let (mut of_strings, mut of_collections) = (copied.map_or(0, |_| steps * RECORD_BYTES as u64), 0);
        for key in keys {
            let Some((lock, index)) = self.find(key) else { continue };
            let state = self.locks.state(lock);
            let entry = state.table.at(index);
            let kept = kept_bytes(state, &entry, !frees, self.scratch.tier.promised) as u64;
            match entry.collection() {
                Some(_) => of_collections += kept,
                None if copied.is_some() => of_strings += kept,
                None => {}
            }
        }
        for key in copied.unwrap_or_default() {
            let Some((lock, index)) = self.find(*key) else { continue };
            let state = self.locks.state(lock);
            of_strings += whole_bytes(state, &state.table.at(index)) as u64;
        }
        let promised = self.scratch.tier.promised + of_collections;
        let ready = self.space().log_ready(self.scratch, frees, promised + of_strings);
        // For those the handlers ask themselves.
        self.scratch.tier.promised = promised;
        ready
    }

    /// Makes sure that the log has room for a record of so many bytes, beside what was asked for before.
    ///
    /// # Errors
    /// As [`Keyspace::log_ready`]. Nothing may be changed then.
    #[inline]
    pub fn log_room(&mut self, bytes: usize) -> Result<(), NotReady> {
        if self.space().tier().is_none_or(|tier| !tier.logs()) {
            return Ok(());
        }
        let own = &mut self.scratch.tier;
        let wanted = own.promised + (bytes + RECORD_BYTES) as u64;
        if own.lane.as_ref().map_or(0, Lane::room) >= wanted {
            own.promised = wanted;
            return Ok(());
        }
        let promised = own.promised;
        let ready = self.space().log_ready(self.scratch, false, wanted);
        if let Err(why) = &ready {
            self.scratch.tier.promised = promised;
            self.scratch.tier.not_ready = Some(why.clone());
        }
        ready
    }

    /// The same for what a collection takes.
    ///
    /// # Errors
    /// See there.
    pub fn log_room_for(&mut self, value: &Collection) -> Result<(), NotReady> {
        let is_logged = self.space().tier().is_some_and(|tier| tier.logs());
        self.log_room(if is_logged { value.memory_bytes(usize::MAX) } else { 0 })
    }

    /// The same for a change of a key's value that makes at least so many bytes of a string.
    ///
    /// # Errors
    /// See there.
    #[inline]
    pub fn log_room_to_change(&mut self, key: Key<'_>, bytes: usize) -> Result<(), NotReady> {
        if self.space().tier().is_none_or(|tier| !tier.logs()) {
            return Ok(());
        }
        let promised = self.scratch.tier.promised;
        let wanted = self.find(key).map_or(bytes, |(lock, index)| {
            let state = self.locks.state(lock);
            let entry = state.table.at(index);
            let whole = whole_bytes(state, &entry);
            match self.has_room {
                // What there was before the transaction has its room.
                true if entry.string().is_some() => bytes.saturating_sub(whole),
                _ if has_delta(state, &entry, entry.string().is_some(), promised) => 0,
                _ => whole.max(bytes),
            }
        });
        self.log_room(wanted)
    }

    /// The same for a delta that names so many members of a key's collection, which nobody has sent.
    ///
    /// # Errors
    /// See there.
    pub fn log_room_to_name(&mut self, key: Key<'_>, members: usize) -> Result<(), NotReady> {
        if self.space().tier().is_none_or(|tier| !tier.logs()) {
            return Ok(());
        }
        let bytes = self.find(key).map_or(0, |(lock, index)| {
            let state = self.locks.state(lock);
            let entry = state.table.at(index);
            let len = entry.collection().map_or(0, Collection::len);
            whole_bytes(state, &entry) / len.max(1) * members.min(len)
        });
        self.log_room(bytes)
    }

    /// The same for a copy of a key's value.
    ///
    /// # Errors
    /// See there.
    pub fn log_room_to_copy(&mut self, key: Key<'_>) -> Result<(), NotReady> {
        let whole = self.find(key).map_or(0, |(lock, index)| {
            let state = self.locks.state(lock);
            whole_bytes(state, &state.table.at(index))
        });
        self.log_room(whole)
    }
}
