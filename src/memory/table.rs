//! A hash table kept in hash order: linear probing in which an earlier hash always sits further left.
//!
//! A key's home is its hash scaled to the capacity, so homes grow with the hash, and because every
//! cluster is kept sorted (Robin Hood), the whole array is sorted by hash. That gives, from one array of
//! 8-byte slots and nothing else:
//!
//! - a lookup that reads one cache line of slots and one entry, and stops at the first larger hash;
//! - any capacity, not only powers of two: growth is by a quarter, so 9 to 12 bytes a key always, without
//!   the saw-tooth of doubling, and rehashing reads slots only;
//! - SCAN order that survives every resize: a position in hash space means the same in every capacity.
//!
//! The last slot is never used, so that a search ends without a bounds test of its own.

use super::entry::Entry;
use super::slot::{EntryMut, EntryRef, POSITION_BITS, Slot};
use crate::value::Collection;
use crate::value::size_class::size_class;

/// Of 16 home slots, how many may be in use before the table grows.
const LOAD_MAX_SIXTEENTHS: usize = 14;
/// Below this the table shrinks.
const LOAD_MIN_SIXTEENTHS: usize = 5;
/// How many slots there are at least beyond the homes.
const OVERFLOW_MIN: usize = 16;
/// The smallest table that is not empty.
const CAPACITY_MIN: usize = 8;

/// Entries in hash order.
#[derive(Default)]
pub struct Table {
    /// `capacity` homes and some room for the last cluster to run over.
    slots: Box<[Slot]>,
    capacity: u32,
    len: u32,
    /// How many of the keys have their value on disk only.
    cold: u32,
}

/// What a slot holds.
pub enum Held<'a> {
    /// A value in memory.
    Resident(EntryRef<'a>),
    /// The location of a value that is on disk only.
    Cold(u64),
}

fn home_of(position: u32, capacity: u32) -> usize {
    ((u64::from(position) * u64::from(capacity)) >> POSITION_BITS) as usize
}

impl Table {
    /// The number of entries.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many of the keys have their value on disk only.
    pub fn cold_len(&self) -> usize {
        self.cold as usize
    }

    /// The bytes of the slot array.
    pub fn slot_bytes(&self) -> usize {
        self.slots.len() * size_of::<Slot>()
    }

    /// The number of home slots.
    pub fn capacity(&self) -> u32 {
        self.capacity
    }

    /// The slot array, for prefetching.
    pub fn slots_ptr(&self) -> *const Slot {
        self.slots.as_ptr()
    }

    /// The index of the first slot whose position is at least `position`; `slots.len()` for none.
    fn lower_bound(&self, position: u32) -> usize {
        let mut index = home_of(position, self.capacity);
        while let Some(slot) = self.slots.get(index) {
            if slot.is_empty() || slot.position() >= position {
                break;
            }
            index += 1;
        }
        index
    }

    /// Where the resident entry of `key` is, whose hash begins with `position`; good until the table is next
    /// changed.
    pub fn find(&self, position: u32, key: &[u8]) -> Option<usize> {
        if self.len == 0 {
            return None;
        }
        let mut index = home_of(position, self.capacity);
        loop {
            let slot = self.slots[index];
            if slot.is_empty() || slot.position() > position {
                return None;
            }
            if slot.position() == position && slot.is_resident() {
                // The value's cache line is asked for together with the key's.
                slot.prefetch();
                // SAFETY: the slot is resident and `&self` keeps the table as it is.
                if unsafe { slot.entry() }.key() == key {
                    return Some(index);
                }
            }
            index += 1;
        }
    }

    /// Whether [`Self::find`] would answer with this index, whatever it is.
    #[inline]
    pub fn has_at(&self, index: usize, position: u32, key: &[u8]) -> bool {
        self.slots.get(index).is_some_and(|slot| {
            // SAFETY: the slot is resident and `&self` keeps the table as it is.
            slot.position() == position && slot.is_resident() && unsafe { slot.entry() }.key() == key
        })
    }

    /// Asks the processor to fetch the first entry that a lookup of `position` would compare; answers its index.
    #[inline]
    pub fn prefetch(&self, position: u32) -> Option<usize> {
        let index = self.first_index(position)?;
        // The address of a cold slot leads nowhere, which does no harm.
        self.slots[index].prefetch();
        Some(index)
    }

    /// The location at an index that [`Self::prefetch`] gave, if the slot is cold.
    #[inline]
    pub fn location_at(&self, index: usize) -> Option<u64> {
        self.slots[index].location()
    }

    /// The collection at an index that [`Self::prefetch`] gave, if it is one and in memory.
    #[inline]
    pub fn collection_at(&self, index: usize) -> Option<&Collection> {
        let slot = self.slots[index];
        // SAFETY: the slot is resident, and `&self` keeps the table as it is.
        if slot.is_resident() { unsafe { slot.entry() }.into_collection() } else { None }
    }

    /// The index of the first resident slot from `index` on.
    pub fn next_resident(&self, index: usize) -> Option<usize> {
        let rest = self.slots.get(index..)?;
        rest.iter().position(|slot| slot.is_resident()).map(|offset| index + offset)
    }

    /// The cold slots at a position: index and location.
    pub fn cold_at(&self, position: u32) -> impl Iterator<Item = (usize, u64)> {
        let start = if self.cold == 0 { self.slots.len() } else { self.lower_bound(position) };
        let here = self.slots[start..]
            .iter()
            .take_while(move |slot| !slot.is_empty() && slot.position() == position);
        here.enumerate().filter_map(move |(offset, slot)| Some((start + offset, slot.location()?)))
    }

    /// The index of the first resident entry at a position whose place on disk is the right one.
    pub fn index_of_place(&self, position: u32, is_right: impl Fn(u64) -> bool) -> Option<usize> {
        let start = if self.len == 0 { self.slots.len() } else { self.lower_bound(position) };
        let here =
            self.slots[start..].iter().take_while(|slot| !slot.is_empty() && slot.position() == position);
        // SAFETY: a resident slot, and `&self` keeps the table as it is.
        let has_place = |slot: &Slot| slot.is_resident() && is_right(unsafe { slot.entry() }.place());
        here.enumerate().find(|(_, slot)| has_place(slot)).map(|(offset, _)| start + offset)
    }

    /// Adds a key whose value is on disk only.
    pub fn insert_cold(&mut self, position: u32, location: u64) {
        self.insert_slot(Slot::cold(position, location));
        self.cold += 1;
    }

    /// Gives a cold slot another location.
    ///
    /// # Panics
    /// When the slot is not cold.
    pub fn move_cold(&mut self, index: usize, location: u64) {
        let slot = self.slots[index];
        assert!(slot.location().is_some(), "an index from `cold_at`");
        self.slots[index] = Slot::cold(slot.position(), location);
    }

    /// Makes a cold slot resident.
    ///
    /// # Panics
    /// When the slot is not cold.
    pub fn promote(&mut self, index: usize, entry: Entry) {
        let slot = self.slots[index];
        assert!(slot.location().is_some(), "an index from `cold_at`");
        self.slots[index] = Slot::resident(slot.position(), entry);
        self.cold -= 1;
    }

    /// Leaves of a resident entry only where its value is on disk; the entry is the caller's to free.
    ///
    /// # Panics
    /// When the slot is not resident.
    pub fn demote(&mut self, index: usize, location: u64) -> Entry {
        let slot = self.slots[index];
        assert!(slot.is_resident(), "an index from `find`");
        self.slots[index] = Slot::cold(slot.position(), location);
        self.cold += 1;
        // SAFETY: the slot was resident, and its only copy has just been overwritten.
        unsafe { slot.into_entry() }
    }

    /// Removes a cold slot.
    ///
    /// # Panics
    /// When the slot is not cold.
    pub fn remove_cold(&mut self, index: usize) {
        assert!(self.slots[index].location().is_some(), "an index from `cold_at`");
        self.take_slot(index);
        self.cold -= 1;
    }

    /// What the slots at positions of at least `from` hold, in hash order.
    pub fn held_from(&self, from: u32) -> impl Iterator<Item = (u32, Held<'_>)> {
        let start = if self.len == 0 { self.slots.len() } else { self.lower_bound(from) };
        let occupied =
            self.slots[start..].iter().filter(move |slot| !slot.is_empty() && slot.position() >= from);
        occupied.map(|slot| {
            let held = match slot.location() {
                Some(location) => Held::Cold(location),
                // SAFETY: a resident slot; the iterator borrows the table.
                None => Held::Resident(unsafe { slot.entry() }),
            };
            (slot.position(), held)
        })
    }

    #[inline]
    fn first_index(&self, position: u32) -> Option<usize> {
        if self.len == 0 {
            return None;
        }
        let home = home_of(position, self.capacity);
        for (offset, slot) in self.slots[home..].iter().enumerate() {
            if slot.is_empty() || slot.position() > position {
                return None;
            }
            if slot.position() == position {
                return Some(home + offset);
            }
        }
        None
    }

    /// The entry at an index that [`Self::find`] gave.
    ///
    /// # Panics
    /// When the slot is not resident.
    pub fn at(&self, index: usize) -> EntryRef<'_> {
        assert!(self.slots[index].is_resident(), "an index from `find`");
        // SAFETY: the slot is resident; the borrow of self holds the table.
        unsafe { self.slots[index].entry() }
    }

    /// The position in hash order of the entry at an index that [`Self::find`] gave.
    pub fn position_at(&self, index: usize) -> u32 {
        self.slots[index].position()
    }

    /// As [`Self::at`], to edit.
    ///
    /// # Panics
    /// When the slot is not resident.
    pub fn at_mut(&mut self, index: usize) -> EntryMut<'_> {
        assert!(self.slots[index].is_resident(), "an index from `find`");
        // SAFETY: the slot is resident, and each entry has one slot.
        unsafe { EntryMut::new(&mut self.slots[index]) }
    }

    /// The entry of `key`, whose hash begins with `position`.
    pub fn get(&self, position: u32, key: &[u8]) -> Option<EntryRef<'_>> {
        Some(self.at(self.find(position, key)?))
    }

    /// As [`Self::get`], to edit.
    pub fn get_mut(&mut self, position: u32, key: &[u8]) -> Option<EntryMut<'_>> {
        let index = self.find(position, key)?;
        Some(self.at_mut(index))
    }

    /// Adds an entry whose key is not in the table. Returns its index, good until the table is next changed.
    pub fn insert(&mut self, position: u32, entry: Entry) -> usize {
        self.insert_slot(Slot::resident(position, entry))
    }

    /// Makes room for so many more slots. To be called before many are added in hash order: a table that grows under them
    /// has them all at its front.
    pub fn reserve(&mut self, slots: usize) {
        let wanted = (self.len() + slots + 1) * 16 / LOAD_MAX_SIXTEENTHS + 1;
        if wanted > self.capacity as usize {
            self.resize(wanted);
        }
    }

    fn insert_slot(&mut self, slot: Slot) -> usize {
        if (self.len() + 1) * 16 > self.capacity as usize * LOAD_MAX_SIXTEENTHS {
            self.resize((self.capacity as usize * 5 / 4).max(CAPACITY_MIN));
        }
        let index = self.place(slot);
        self.len += 1;
        index
    }

    /// Puts a slot in its place, growing where the last cluster would run over the end.
    fn place(&mut self, slot: Slot) -> usize {
        loop {
            let mut index = home_of(slot.position(), self.capacity);
            while !self.slots[index].is_empty() && self.slots[index].position() <= slot.position() {
                index += 1;
            }
            let mut free = index;
            while !self.slots[free].is_empty() {
                free += 1;
            }
            if free + 1 < self.slots.len() {
                self.slots.copy_within(index..free, index + 1);
                self.slots[index] = slot;
                return index;
            }
            self.resize(self.capacity as usize * 5 / 4);
        }
    }

    /// Rebuilds the array. Slots are met in hash order and so are placed left to right.
    fn resize(&mut self, capacity: usize) {
        let mut wanted = capacity;
        'larger: loop {
            // The allocator hands out whole size classes: use all of one.
            let len =
                size_class((wanted + OVERFLOW_MIN + wanted / 64) * size_of::<Slot>()) / size_of::<Slot>();
            let capacity = (len - OVERFLOW_MIN) - (len - OVERFLOW_MIN) / 65;
            let mut slots = vec![Slot::EMPTY; len].into_boxed_slice();
            let mut free = 0;
            for slot in self.slots.iter().filter(|slot| !slot.is_empty()) {
                let at = home_of(slot.position(), capacity as u32).max(free);
                if at + 1 >= slots.len() {
                    wanted += wanted / 4;
                    continue 'larger;
                }
                slots[at] = *slot;
                free = at + 1;
            }
            self.slots = slots;
            self.capacity = capacity as u32;
            return;
        }
    }

    /// Takes the entry of `key` out.
    pub fn remove(&mut self, position: u32, key: &[u8]) -> Option<Entry> {
        let index = self.find(position, key)?;
        Some(self.remove_at(index))
    }

    /// Takes the entry at an index that [`Self::find`] gave out.
    ///
    /// # Panics
    /// When the slot is empty.
    pub fn remove_at(&mut self, index: usize) -> Entry {
        assert!(self.slots[index].is_resident(), "an index from `find`");
        let removed = self.take_slot(index);
        // SAFETY: the slot was resident, and its only copy is gone.
        unsafe { removed.into_entry() }
    }

    /// Takes a slot out and closes the gap.
    fn take_slot(&mut self, index: usize) -> Slot {
        let removed = self.slots[index];
        let mut end = index + 1;
        while !self.slots[end].is_empty() && home_of(self.slots[end].position(), self.capacity) < end {
            end += 1;
        }
        self.slots.copy_within(index + 1..end, index);
        self.slots[end - 1] = Slot::EMPTY;
        self.len -= 1;
        if self.capacity as usize > CAPACITY_MIN
            && self.len() * 16 < self.capacity as usize * LOAD_MIN_SIXTEENTHS
        {
            self.resize((self.len() * 3 / 2).max(CAPACITY_MIN));
        }
        removed
    }

    /// Resident entries at positions of at least `from`, in hash order, with their positions.
    pub fn iter_from(&self, from: u32) -> impl Iterator<Item = (u32, EntryRef<'_>)> {
        let start = if self.len == 0 { self.slots.len() } else { self.lower_bound(from) };
        self.slots[start..]
            .iter()
            .filter(move |slot| slot.is_resident() && slot.position() >= from)
            // SAFETY: resident slots; the iterator borrows the table.
            .map(|slot| (slot.position(), unsafe { slot.entry() }))
    }

    /// Shows `visit` the resident entries at positions of at least `from`, to edit, until it answers false.
    pub fn visit_from(&mut self, from: u32, mut visit: impl FnMut(u32, &mut Entry) -> bool) {
        let start = if self.len == 0 { self.slots.len() } else { self.lower_bound(from) };
        for index in start..self.slots.len() {
            if let Some(ahead) = self.slots.get(index + 4) {
                ahead.prefetch();
            }
            let slot = &mut self.slots[index];
            if !slot.is_resident() || slot.position() < from {
                continue;
            }
            let position = slot.position();
            // SAFETY: the slot is resident, and each entry has one slot.
            let mut entry = unsafe { EntryMut::new(slot) };
            if !visit(position, &mut entry) {
                return;
            }
        }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        for slot in self.slots.iter().filter(|slot| slot.is_resident()) {
            // SAFETY: the table owns its entries and is gone after this loop.
            drop(unsafe { slot.into_entry() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::string::NewString;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u16),
        Remove(u16),
        Edit(u16),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => any::<u16>().prop_map(|k| Step::Insert(k % 3000)),
            2 => any::<u16>().prop_map(|k| Step::Remove(k % 3000)),
            1 => any::<u16>().prop_map(|k| Step::Edit(k % 3000)),
        ];
        proptest::collection::vec(step, 0..4000)
    }

    /// A hash with many equal positions, and with all of them high or low for some runs.
    fn position(key: u16, spread: u32) -> u32 {
        (u32::from(key).wrapping_mul(0x9E37_79B1) >> 12) % spread + ((1 << POSITION_BITS) - spread)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

        #[test]
        fn behaves_as_a_map_in_hash_order(steps in steps(), spread in prop_oneof![Just(3u32), Just(900), Just(1 << 20)]) {
            let mut table = Table::default();
            let mut model: BTreeMap<(u32, Vec<u8>), i64> = BTreeMap::new();
            for (count, step) in steps.into_iter().enumerate() {
                let count = count as i64;
                match step {
                    Step::Insert(k) => {
                        let (at, key) = (position(k, spread), k.to_string().into_bytes());
                        if table.get(at, &key).is_none() {
                            table.insert(at, Entry::new(&key, NewString::Int(count), None));
                            prop_assert!(model.insert((at, key), count).is_none());
                        }
                    }
                    Step::Remove(k) => {
                        let (at, key) = (position(k, spread), k.to_string().into_bytes());
                        let removed = table.remove(at, &key).map(|e| e.string().unwrap().as_int().unwrap());
                        prop_assert_eq!(removed, model.remove(&(at, key)));
                    }
                    Step::Edit(k) => {
                        let (at, key) = (position(k, spread), k.to_string().into_bytes());
                        if let Some(mut entry) = table.get_mut(at, &key) {
                            entry.overwrite(NewString::Int(-count), Some(count));
                            model.insert((at, key), -count);
                        }
                    }
                }
                prop_assert_eq!(table.len(), model.len());
            }
            let mut seen: Vec<_> = table.iter_from(0).map(|(at, e)| ((at, e.key().to_vec()), e.string().unwrap().as_int().unwrap())).collect();
            prop_assert!(seen.is_sorted_by_key(|((at, _), _)| *at));
            seen.sort();
            prop_assert_eq!(seen, model.clone().into_iter().collect::<Vec<_>>());
            let half = (1 << POSITION_BITS) - spread / 2;
            prop_assert_eq!(table.iter_from(half).count(), model.keys().filter(|(at, _)| *at >= half).count());
        }
    }
}
