//! A slot of the table: 8 bytes that say where a key's value is and 20 bits of its hash.
//!
//! ```text
//! bits 44..64  the top 20 bits of the key's hash (its position in hash order)
//! bit  43      1: the value is on disk only, and bits 0..43 are its location
//! bits  0..43  the address of the entry, divided by 16, or the location
//! ```
//!
//! Zero is an empty slot. Slots compare by hash first, so an array of them sorts into hash order.

use super::entry::{ENTRY_ALIGN, Entry};
use crate::value::Collection;
use crate::value::prefetch::prefetch;
use crate::value::string::StringRef;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// How many bits of hash a slot carries.
pub const POSITION_BITS: u32 = 20;
const POSITION_SHIFT: u32 = 64 - POSITION_BITS;
const ADDRESS_MASK: u64 = (1 << 43) - 1;
const COLD: u64 = 1 << 43;

/// One slot. Owns its entry: a table drops what its slots hold.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Slot(u64);

impl Slot {
    /// A slot that holds nothing.
    pub const EMPTY: Slot = Slot(0);

    /// Takes over `entry`, whose hash begins with `position`.
    pub fn resident(position: u32, entry: Entry) -> Slot {
        let address = entry.into_raw().as_ptr() as u64 / ENTRY_ALIGN as u64;
        assert!(address & !ADDRESS_MASK == 0, "user addresses have 47 bits");
        Slot(u64::from(position) << POSITION_SHIFT | address)
    }

    /// A key whose value is at a location on disk, 43 bits.
    pub fn cold(position: u32, location: u64) -> Slot {
        assert!(location & !ADDRESS_MASK == 0, "a location has 43 bits");
        Slot(u64::from(position) << POSITION_SHIFT | COLD | location)
    }

    /// The location of a value that is on disk only.
    pub fn location(self) -> Option<u64> {
        (self.0 & COLD != 0).then_some(self.0 & ADDRESS_MASK)
    }

    /// Whether there is an entry in memory.
    pub fn is_resident(self) -> bool {
        self.0 != 0 && self.0 & COLD == 0
    }

    /// Whether nothing is here.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The position in hash order, 20 bits.
    pub fn position(self) -> u32 {
        (self.0 >> POSITION_SHIFT) as u32
    }

    fn address(self) -> Option<NonNull<u8>> {
        NonNull::new(((self.0 & ADDRESS_MASK) * ENTRY_ALIGN as u64) as *mut u8)
    }

    /// Borrows the entry.
    ///
    /// # Safety
    /// The slot must be resident, and must be in a table that nobody changes for as long as `'a`.
    pub unsafe fn entry<'a>(self) -> EntryRef<'a> {
        let start = self.address().expect("an occupied slot");
        // SAFETY: a slot is made from `into_raw`; the ManuallyDrop leaves ownership with the table.
        EntryRef { entry: ManuallyDrop::new(unsafe { Entry::from_raw(start) }), table: PhantomData }
    }

    /// Takes the entry out.
    ///
    /// # Safety
    /// The slot must be resident, and the caller must forget every copy of it.
    pub unsafe fn into_entry(self) -> Entry {
        // SAFETY: the caller owns the slot, and with it the entry.
        unsafe { Entry::from_raw(self.address().expect("an occupied slot")) }
    }

    /// Asks the processor to fetch the entry's first cache lines.
    pub fn prefetch(self) {
        prefetch((self.0 & ADDRESS_MASK).wrapping_mul(ENTRY_ALIGN as u64) as *const u8);
        prefetch(((self.0 & ADDRESS_MASK).wrapping_mul(ENTRY_ALIGN as u64) as *const u8).wrapping_add(64));
    }
}

/// A borrowed entry.
pub struct EntryRef<'a> {
    entry: ManuallyDrop<Entry>,
    table: PhantomData<&'a Entry>,
}

impl Deref for EntryRef<'_> {
    type Target = Entry;
    fn deref(&self) -> &Entry {
        &self.entry
    }
}

/// A mutably borrowed entry. An edit may move it to another allocation; the slot follows on drop.
pub struct EntryMut<'a> {
    entry: ManuallyDrop<Entry>,
    slot: &'a mut Slot,
}

impl<'a> EntryMut<'a> {
    /// Borrows what `slot` holds.
    ///
    /// # Safety
    /// The slot must be resident and must be the only one that holds this entry.
    pub unsafe fn new(slot: &'a mut Slot) -> EntryMut<'a> {
        // SAFETY: as the caller promises; `&mut Slot` keeps everyone else away until the drop.
        EntryMut { entry: ManuallyDrop::new(unsafe { slot.into_entry() }), slot }
    }
}

impl<'a> EntryMut<'a> {
    /// The entry's collection for as long as the table is borrowed: an edit of it does not move the entry.
    pub fn into_collection(mut self) -> Option<&'a mut Collection> {
        let collection = std::ptr::from_mut(self.collection_mut()?);
        // SAFETY: the collection has an allocation of its own that the entry, back in its slot after the
        // drop, owns; for 'a the slot is borrowed mutably, so nobody else reaches either.
        Some(unsafe { &mut *collection })
    }
}

impl<'a> EntryMut<'a> {
    /// The entry's long string, as [`Entry::shared_mut`], for as long as the table is borrowed.
    pub fn into_shared(mut self) -> Option<&'a mut Vec<u8>> {
        let text = std::ptr::from_mut(self.shared_mut()?);
        // SAFETY: as above: the text is in an allocation that the entry owns, and alone, as it was asked for to be edited.
        Some(unsafe { &mut *text })
    }
}

impl<'a> EntryRef<'a> {
    /// The entry's collection for as long as the table is borrowed.
    pub fn into_collection(self) -> Option<&'a Collection> {
        let collection = std::ptr::from_ref(self.collection()?);
        // SAFETY: the table's entries, this one among them, stay as they are for 'a.
        Some(unsafe { &*collection })
    }

    /// The entry's string for as long as the table is borrowed.
    pub fn into_string(self) -> Option<StringRef<'a>> {
        // SAFETY: the string lies in the entry or what it owns, and the table's entries stay as they are
        // for 'a; only the lifetime changes.
        self.string().map(|string| unsafe { std::mem::transmute::<StringRef<'_>, StringRef<'a>>(string) })
    }
}

impl Deref for EntryMut<'_> {
    type Target = Entry;
    fn deref(&self) -> &Entry {
        &self.entry
    }
}

impl DerefMut for EntryMut<'_> {
    fn deref_mut(&mut self) -> &mut Entry {
        &mut self.entry
    }
}

impl Drop for EntryMut<'_> {
    fn drop(&mut self) {
        // SAFETY: `entry` is not used after this; ownership goes back to the slot.
        let start = unsafe { ManuallyDrop::take(&mut self.entry) }.into_raw();
        // Most edits leave the entry where it was, which the compiler often sees.
        if self.slot.address() != Some(start) {
            // SAFETY: taken from the entry just now, and still owned by nobody else.
            *self.slot = Slot::resident(self.slot.position(), unsafe { Entry::from_raw(start) });
        }
    }
}
