//! Room in the log, which a write asks for before it changes anything: what is done and cannot be logged cannot be taken
//! back.

use super::access::Access;
use super::{Key, Keyspace, Scratch};
use crate::disk::{Lane, Place};
use crate::memory::{Entry, ShardState};

/// What a record has beside its key and value, at most.
const RECORD_BYTES: usize = 96;

/// So many members stand for all of a collection.
const SAMPLES: usize = 5;

/// Why a write cannot be logged.
#[derive(Debug, PartialEq, Eq)]
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

/// What the record of an entry takes, about.
fn whole_bytes(state: &ShardState, entry: &Entry) -> u64 {
    let own = RECORD_BYTES + entry.key().len();
    if let Some(string) = entry.string() {
        return (own + string.len()) as u64;
    }
    let in_memory =
        (own + entry.collection().map_or(0, |collection| collection.memory_bytes(SAMPLES))) as u64;
    Place::from_bits(entry.place()).map_or(in_memory, |place| {
        let deltas = state.chains.get(place.location().bits()).map_or(0, |chain| chain.bytes);
        // What came may have taken the place of something, and memory has more than the record.
        in_memory.min(place.bytes() + deltas)
    })
}

/// Whether a change of so many bytes is logged without the rest of the value.
fn has_delta(state: &ShardState, entry: &Entry, bytes: u64) -> bool {
    Place::from_bits(entry.place()).is_some_and(|place| {
        let chain = state.chains.get(place.location().bits());
        chain.is_some_and(|chain| !chain.broken && chain.bytes + bytes <= place.bytes())
    })
}

impl Access<'_> {
    /// Whether every write is logged.
    #[inline]
    pub fn is_logged(&self) -> bool {
        self.space().tier().is_some_and(|tier| tier.logs())
    }

    /// Whether the log has room for so many bytes and for the values of so many keys, whichever they are. Where it does not
    /// know it says no.
    #[inline]
    pub fn has_log_room(&self, keys: usize, bytes: u64) -> bool {
        let Some(tier) = self.space().tier().filter(|tier| tier.logs()) else { return true };
        let room = self.scratch.tier.lane.as_ref().map_or(0, Lane::room);
        // With its deltas a value has twice what it had at first.
        room >= bytes + keys as u64 * 2 * tier.store.longest()
    }

    /// What of the present value of a key a change of so many bytes puts into the log.
    pub fn logged_with(&mut self, key: Key<'_>, bytes: u64) -> u64 {
        let Some((lock, index)) = self.find(key) else { return 0 };
        let state = self.locks.state(lock);
        let entry = state.table.at(index);
        if has_delta(state, &entry, bytes) { 0 } else { whole_bytes(state, &entry) }
    }

    /// What a copy of the value of a key takes in the log.
    pub fn logged_as_copy(&mut self, key: Key<'_>) -> u64 {
        let Some((lock, index)) = self.find(key) else { return 0 };
        let state = self.locks.state(lock);
        whole_bytes(state, &state.table.at(index))
    }

    /// As [`Keyspace::log_ready`].
    ///
    /// # Errors
    /// See there.
    pub fn log_ready(&mut self, frees: bool, bytes: u64) -> Result<(), NotReady> {
        self.space().log_ready(self.scratch, frees, bytes)
    }
}
