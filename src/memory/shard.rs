//! Databases and their shards: each shard is a table, a wheel and a version counter behind one lock.
//!
//! Lock order: databases by number, then shards by index, always ascending. No lock is held across an
//! await, and nothing is sent, published or freed in bulk while one is held.

use super::capture::Capture;
use super::chain::Chains;
use super::entry::Entry;
use super::slot::{POSITION_BITS, Slot};
use super::table::Table;
use super::wheel::Wheel;
use crate::value::prefetch::prefetch;
use parking_lot::{Mutex, MutexGuard};
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicI64, AtomicPtr, AtomicU32, Ordering::Relaxed};

/// The keyed hash of a key: its low bits choose the shard, its top 20 the position in hash order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyHash(pub u64);

impl KeyHash {
    /// The position in hash order within the shard, 20 bits.
    pub fn position(self) -> u32 {
        (self.0 >> (64 - POSITION_BITS)) as u32
    }
}

/// What a shard's lock protects.
#[derive(Default)]
pub struct ShardState {
    /// The keys.
    pub table: Table,
    /// Deadlines of the keys that expire; made by the first of them.
    wheel: Option<Box<Wheel>>,
    /// How many keys of the table expire.
    pub expires: u32,
    /// Grows with every write to the shard.
    pub version: u64,
    /// What a snapshot has yet to save of the shard; `None` while none is taken.
    pub capture: Option<Box<Capture>>,
    /// The records on disk of large collections.
    pub chains: Chains,
}

impl ShardState {
    /// Files a deadline that has no earlier item in the wheel.
    pub fn file_expiry(&mut self, position: u32, deadline_ms: i64, now_ms: i64) {
        self.wheel.get_or_insert_default().file(position, deadline_ms, now_ms);
    }

    /// The wheel, where any key ever expired.
    pub fn wheel_mut(&mut self) -> Option<&mut Wheel> {
        self.wheel.as_deref_mut()
    }

    /// The bytes of slots and wheel.
    pub fn overhead_bytes(&self) -> usize {
        self.table.slot_bytes() + self.wheel.as_ref().map_or(0, |wheel| wheel.bytes())
    }

    /// Takes an entry out, whose deadline no longer counts.
    pub fn take_out(&mut self, index: usize) -> Entry {
        self.before_change(index);
        let entry = self.table.remove_at(index);
        self.expires -= u32::from(entry.expires_at_ms().is_some());
        entry
    }

    /// To be called before the entry at an index of the table is changed or taken out.
    #[inline]
    pub fn before_change(&mut self, index: usize) {
        if let Some(capture) = &mut self.capture {
            capture.keep(self.table.position_at(index), &self.table.at(index));
        }
    }

    /// To be called when an entry was taken out of the table.
    #[inline]
    pub fn after_removal(&mut self, position: u32, entry: &Entry) {
        if let Some(capture) = &mut self.capture {
            capture.keep(position, entry);
        }
    }

    /// To be called before a key is added to the table.
    #[inline]
    pub fn before_insert(&mut self, position: u32, key: &[u8]) {
        if let Some(capture) = &mut self.capture {
            capture.pass_over(position, key);
        }
    }

    fn next_due_ms(&self) -> i64 {
        self.wheel.as_ref().map_or(i64::MAX, |wheel| wheel.next_due_ms())
    }
}

/// A locked part of a database, with hints that are read without the lock.
#[repr(align(128))]
pub struct Shard {
    /// Where the slots were when the lock was last released; only ever prefetched.
    slots_hint: AtomicPtr<Slot>,
    capacity_hint: AtomicU32,
    /// When the wheel comes up next, Unix milliseconds.
    next_due_ms: AtomicI64,
    state: Mutex<ShardState>,
}

// More would be a third cache line, which nobody asks for ahead.
const _: () = assert!(size_of::<Shard>() == 128);

impl Default for Shard {
    fn default() -> Self {
        Shard {
            slots_hint: AtomicPtr::default(),
            capacity_hint: AtomicU32::new(0),
            next_due_ms: AtomicI64::new(i64::MAX),
            state: Mutex::default(),
        }
    }
}

impl Shard {
    /// Locks the shard.
    pub fn lock(&self) -> ShardGuard<'_> {
        ShardGuard { shard: self, state: self.state.lock() }
    }

    /// When the wheel comes up next, Unix milliseconds; `i64::MAX` for never.
    pub fn next_due_ms(&self) -> i64 {
        self.next_due_ms.load(Relaxed)
    }

    /// Asks the processor for the shard itself, both of its cache lines.
    pub fn prefetch(&self) {
        let shard = std::ptr::from_ref(self).cast::<u8>();
        prefetch(shard);
        prefetch(shard.wrapping_add(64));
    }

    /// Asks the processor for the slots where `hash` would be.
    pub fn prefetch_slots(&self, hash: KeyHash) {
        let capacity = self.capacity_hint.load(Relaxed);
        let home = (u64::from(hash.position()) * u64::from(capacity)) >> POSITION_BITS;
        prefetch(self.slots_hint.load(Relaxed).wrapping_add(home as usize).cast());
    }

    /// Holds the shard for a look where its lock is free. Others may be held: nobody who waits for a lock has
    /// taken one like this.
    #[inline]
    pub fn try_look(&self) -> Option<MutexGuard<'_, ShardState>> {
        self.state.try_lock()
    }

    /// Asks the processor for the entry of `hash`; skipped where the lock is not free. Answers where it is, if that is on
    /// disk.
    pub fn prefetch_entry(&self, hash: KeyHash) -> Option<u64> {
        let state = self.state.try_lock()?;
        let index = state.table.prefetch(hash.position())?;
        state.table.location_at(index)
    }
}

/// A locked shard.
pub struct ShardGuard<'a> {
    shard: &'a Shard,
    state: MutexGuard<'a, ShardState>,
}

impl Deref for ShardGuard<'_> {
    type Target = ShardState;
    fn deref(&self) -> &ShardState {
        &self.state
    }
}

impl DerefMut for ShardGuard<'_> {
    fn deref_mut(&mut self) -> &mut ShardState {
        &mut self.state
    }
}

impl Drop for ShardGuard<'_> {
    fn drop(&mut self) {
        let slots = self.state.table.slots_ptr().cast_mut();
        if self.shard.slots_hint.load(Relaxed) != slots {
            self.shard.slots_hint.store(slots, Relaxed);
            self.shard.capacity_hint.store(self.state.table.capacity(), Relaxed);
        }
        let due = self.state.next_due_ms();
        if self.shard.next_due_ms.load(Relaxed) != due {
            self.shard.next_due_ms.store(due, Relaxed);
        }
    }
}

/// One of the numbered databases.
pub struct Database {
    shards: Box<[Shard]>,
}

impl Database {
    /// An empty database; `shards` is a power of two.
    pub fn new(shards: usize) -> Database {
        assert!(shards.is_power_of_two(), "the shard is chosen by a mask");
        Database { shards: (0..shards).map(|_| Shard::default()).collect() }
    }

    /// All shards, in lock order.
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// Which shard has the keys of this hash.
    pub fn shard_index(&self, hash: KeyHash) -> usize {
        hash.0 as usize & (self.shards.len() - 1)
    }

    /// The shard that has the keys of this hash.
    pub fn shard_of(&self, hash: KeyHash) -> &Shard {
        &self.shards[self.shard_index(hash)]
    }

    /// Locks every shard, in order.
    pub fn lock_all(&self) -> Vec<ShardGuard<'_>> {
        self.shards.iter().map(Shard::lock).collect()
    }

    /// The number of keys, those included that are due and not yet removed.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().table.len()).sum()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.lock().table.is_empty())
    }
}
