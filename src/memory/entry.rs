//! One key and its value in one allocation.
//!
//! ```text
//! offset 0    header, 8 bytes, native endian
//!             bits  0..4   kind of the value (see `Kind`)
//!             bit   4      an expiry follows the header
//!             bit   5      the place of the value's record on disk follows
//!             bit   6      the key is longer than 255 bytes: its length follows as u32
//!             bit   7      the string was edited in place (OBJECT ENCODING says `raw`)
//!             bits  8..16  length of the key
//!             bits 16..40  length of an inline string
//!             bits 40..64  access bits, see `access`
//! then        expiry, i64 milliseconds of Unix time            (if bit 4)
//! then        place of the record, u64, 0 for none             (if bit 5)
//! then        length of a long key, u32                        (if bit 6)
//! then        the key
//! then        the value: 8 bytes of an integer, the bytes of an inline string, or 8 bytes of a pointer to
//!             a shared string or to a collection
//! ```
//!
//! Allocations are rounded up to the allocator's size classes, so that a value which still fits its
//! class is overwritten in place. All pointer work is here, behind a safe face: an [`Entry`] owns its
//! allocation, and every length in the header was written by this module.

use crate::value::Collection;
use crate::value::size_class::{QUANTUM_BYTES, size_class};
use crate::value::string::{INLINE_BYTES_MAX, LongString, NewString, StringRef};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::Arc;

const KIND_MASK: u64 = 0xF;
const HAS_EXPIRY: u64 = 1 << 4;
const HAS_PLACE: u64 = 1 << 5;
const LONG_KEY: u64 = 1 << 6;
const EDITED: u64 = 1 << 7;
const KEY_LEN_SHIFT: u32 = 8;
const VALUE_LEN_SHIFT: u32 = 16;
const VALUE_LEN_MASK: u64 = 0xFF_FFFF;
const ACCESS_SHIFT: u32 = 40;
const ACCESS_MASK: u64 = 0xFF_FFFF << ACCESS_SHIFT;

/// From this size on a string is freed in the background.
const LARGE_BYTES: usize = 256 * 1024;

const HEADER_BYTES: usize = 8;
const EXPIRY_BYTES: usize = 8;
const PLACE_BYTES: usize = 8;
const LONG_KEY_BYTES: usize = 4;

/// Alignment of every entry; the slot has no room for the four low bits of the address.
pub const ENTRY_ALIGN: usize = QUANTUM_BYTES;

/// How the value is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
enum Kind {
    Int = 0,
    Inline = 1,
    Shared = 2,
    Collection = 3,
}

/// A value on its way into an entry.
pub enum NewValue<'a> {
    /// A string.
    String(NewString<'a>),
    /// Anything else.
    Collection(Box<Collection>),
}

impl<'a> From<NewString<'a>> for NewValue<'a> {
    fn from(string: NewString<'a>) -> Self {
        NewValue::String(string)
    }
}

impl From<Collection> for NewValue<'_> {
    fn from(collection: Collection) -> Self {
        NewValue::Collection(Box::new(collection))
    }
}

/// An owned key-value entry.
pub struct Entry(NonNull<u8>);

// SAFETY: an entry owns its allocation and everything in it; the only shared part is an Arc<LongString>, and
// collections are Send and Sync themselves.
unsafe impl Send for Entry {}
// SAFETY: `&Entry` only reads; every writer takes `&mut Entry`.
unsafe impl Sync for Entry {}

/// What an entry of this shape needs, before rounding.
fn bytes_needed(key_len: usize, has_expiry: bool, has_place: bool, payload_len: usize) -> usize {
    let expiry = if has_expiry { EXPIRY_BYTES } else { 0 };
    let place = if has_place { PLACE_BYTES } else { 0 };
    let long_key = if key_len > 255 { LONG_KEY_BYTES } else { 0 };
    HEADER_BYTES + expiry + place + long_key + key_len + payload_len
}

fn kind_and_payload(value: &NewValue<'_>) -> (Kind, usize) {
    match value {
        NewValue::String(NewString::Int(_)) => (Kind::Int, 8),
        NewValue::String(NewString::Inline(bytes)) => (Kind::Inline, bytes.len()),
        NewValue::String(NewString::Shared(_)) => (Kind::Shared, 8),
        NewValue::Collection(_) => (Kind::Collection, 8),
    }
}

impl Entry {
    /// A new entry. `expires_at_ms` is Unix time.
    ///
    /// # Panics
    /// When an inline value is longer than 16 MiB or a key longer than 4 GiB, which the limits of the
    /// protocol and of `NewString` rule out.
    pub fn new<'v>(key: &[u8], value: impl Into<NewValue<'v>>, expires_at_ms: Option<i64>) -> Entry {
        Entry::make(key, value.into(), expires_at_ms, false)
    }

    /// As [`Entry::new`], with room for the place of a record on disk.
    ///
    /// # Panics
    /// See there.
    pub fn with_place<'v>(key: &[u8], value: impl Into<NewValue<'v>>, expires_at_ms: Option<i64>) -> Entry {
        Entry::make(key, value.into(), expires_at_ms, true)
    }

    fn make(key: &[u8], value: NewValue<'_>, expires_at_ms: Option<i64>, has_place: bool) -> Entry {
        let (_, payload_len) = kind_and_payload(&value);
        let mut entry = Entry::without_value(key, payload_len, expires_at_ms, has_place);
        entry.write_value(value);
        entry
    }

    /// An entry with room for a payload, which the caller must write together with its kind.
    fn without_value(key: &[u8], payload_len: usize, expires_at_ms: Option<i64>, has_place: bool) -> Entry {
        let bytes = size_class(bytes_needed(key.len(), expires_at_ms.is_some(), has_place, payload_len));
        let mut entry = Entry::allocate(bytes);
        let mut header = if has_place { HAS_PLACE } else { 0 };
        if expires_at_ms.is_some() {
            header |= HAS_EXPIRY;
        }
        if key.len() > 255 {
            header |= LONG_KEY;
        } else {
            header |= (key.len() as u64) << KEY_LEN_SHIFT;
        }
        entry.set_header(header);
        if let Some(at) = expires_at_ms {
            entry.write_expiry(at);
        }
        if has_place {
            entry.set_place(0);
        }
        if key.len() > 255 {
            let len = u32::try_from(key.len()).expect("a key is under 4 GiB");
            let offset = entry.key_offset() - LONG_KEY_BYTES;
            // SAFETY: `bytes_needed` counted these four bytes; the write needs no alignment.
            unsafe { entry.at(offset).cast::<u32>().write_unaligned(len) };
        }
        // SAFETY: the key's bytes were counted, start at `key_offset`, and the allocation is new.
        unsafe { ptr::copy_nonoverlapping(key.as_ptr(), entry.at(entry.key_offset()), key.len()) };
        entry
    }

    fn allocate(bytes: usize) -> Entry {
        let layout = Layout::from_size_align(bytes, ENTRY_ALIGN).expect("an entry's size is in bounds");
        // SAFETY: the layout is not of size zero: `size_class` returns at least 16.
        let start = unsafe { alloc(layout) };
        Entry(NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout)))
    }

    /// Gives up ownership as an address whose four low bits are zero.
    pub fn into_raw(self) -> NonNull<u8> {
        let start = self.0;
        std::mem::forget(self);
        start
    }

    /// Takes ownership back.
    ///
    /// # Safety
    /// `start` must come from [`Entry::into_raw`] and be owned by nobody else.
    pub unsafe fn from_raw(start: NonNull<u8>) -> Entry {
        Entry(start)
    }

    fn at(&self, offset: usize) -> *mut u8 {
        // SAFETY: every caller's offset lies inside the allocation, by the lengths in the header.
        unsafe { self.0.as_ptr().add(offset) }
    }

    fn header(&self) -> u64 {
        // SAFETY: the first eight bytes are the header, initialised by `new`, aligned to 16.
        unsafe { self.0.as_ptr().cast::<u64>().read() }
    }

    fn set_header(&mut self, header: u64) {
        // SAFETY: as in `header`; `&mut self` excludes readers.
        unsafe { self.0.as_ptr().cast::<u64>().write(header) };
    }

    fn kind(&self) -> Kind {
        match self.header() & KIND_MASK {
            0 => Kind::Int,
            1 => Kind::Inline,
            2 => Kind::Shared,
            _ => Kind::Collection,
        }
    }

    fn has_expiry(&self) -> bool {
        self.header() & HAS_EXPIRY != 0
    }

    fn key_offset(&self) -> usize {
        let header = self.header();
        let long_key = if header & LONG_KEY != 0 { LONG_KEY_BYTES } else { 0 };
        let place = if header & HAS_PLACE != 0 { PLACE_BYTES } else { 0 };
        self.place_offset() + place + long_key
    }

    fn place_offset(&self) -> usize {
        HEADER_BYTES + if self.has_expiry() { EXPIRY_BYTES } else { 0 }
    }

    fn has_place(&self) -> bool {
        self.header() & HAS_PLACE != 0
    }

    /// The place of the value's record on disk; 0 for none.
    pub fn place(&self) -> u64 {
        // SAFETY: with HAS_PLACE these eight bytes, aligned to 8, are a u64.
        if self.has_place() { unsafe { self.at(self.place_offset()).cast::<u64>().read() } } else { 0 }
    }

    /// Notes the place of the value's record on disk; 0 for none.
    pub fn set_place(&mut self, place: u64) {
        if !self.has_place() {
            if place == 0 {
                return;
            }
            *self = self.moved(None, self.expires_at_ms(), true);
        }
        // SAFETY: HAS_PLACE is set, which reserves these eight bytes, aligned to 8.
        unsafe { self.at(self.place_offset()).cast::<u64>().write(place) };
    }

    fn key_len(&self) -> usize {
        let header = self.header();
        if header & LONG_KEY == 0 {
            return (header >> KEY_LEN_SHIFT) as usize & 0xFF;
        }
        // SAFETY: with LONG_KEY the four bytes before the key hold its length.
        unsafe { self.at(self.key_offset() - LONG_KEY_BYTES).cast::<u32>().read_unaligned() as usize }
    }

    fn payload_len(&self) -> usize {
        match self.kind() {
            Kind::Int | Kind::Shared | Kind::Collection => 8,
            Kind::Inline => ((self.header() >> VALUE_LEN_SHIFT) & VALUE_LEN_MASK) as usize,
        }
    }

    fn payload_offset(&self) -> usize {
        self.key_offset() + self.key_len()
    }

    /// The bytes of the entry's own allocation.
    pub fn allocated_bytes(&self) -> usize {
        size_class(bytes_needed(self.key_len(), self.has_expiry(), self.has_place(), self.payload_len()))
    }

    /// The bytes of the entry and of what it points to; of a large collection an estimate from `samples`
    /// members.
    pub fn total_bytes(&self, samples: usize) -> usize {
        let pointed_to = match (self.string(), self.collection()) {
            (Some(StringRef::Shared(bytes)), _) => bytes.own_bytes() + size_of::<LongString>() + 16,
            (_, Some(collection)) => size_of::<Collection>() + collection.memory_bytes(samples),
            _ => 0,
        };
        self.allocated_bytes() + pointed_to
    }

    /// Whether freeing the entry takes so long that no worker should do it.
    pub fn is_large(&self) -> bool {
        match (self.string(), self.collection()) {
            (Some(StringRef::Shared(bytes)), _) => bytes.own_bytes() >= LARGE_BYTES,
            (_, Some(collection)) => collection.is_large(),
            _ => false,
        }
    }

    /// The key.
    pub fn key(&self) -> &[u8] {
        // SAFETY: `key_len` bytes at `key_offset` were written by `new`.
        unsafe { std::slice::from_raw_parts(self.at(self.key_offset()), self.key_len()) }
    }

    /// The string value; `None` where the value is a collection.
    #[inline]
    pub fn string(&self) -> Option<StringRef<'_>> {
        let start = self.at(self.payload_offset());
        Some(match self.kind() {
            // SAFETY: an Int payload is eight bytes of an i64.
            Kind::Int => StringRef::Int(unsafe { start.cast::<i64>().read_unaligned() }),
            Kind::Inline => {
                // SAFETY: an Inline payload is `payload_len` initialised bytes.
                StringRef::Inline(unsafe { std::slice::from_raw_parts(start, self.payload_len()) })
            }
            // SAFETY: a Shared payload holds a leaked `Box<Arc>`'s pointer, freed only with `&mut self`.
            Kind::Shared => StringRef::Shared(unsafe { &*self.shared_box() }),
            Kind::Collection => return None,
        })
    }

    /// The collection; `None` where the value is a string.
    #[inline]
    pub fn collection(&self) -> Option<&Collection> {
        // SAFETY: a Collection payload holds a leaked box's pointer, freed only with `&mut self`.
        (self.kind() == Kind::Collection).then(|| unsafe { &*self.collection_box() })
    }

    /// The collection, to edit.
    #[inline]
    pub fn collection_mut(&mut self) -> Option<&mut Collection> {
        // SAFETY: as in `collection`, and `&mut self` makes this the only reference.
        (self.kind() == Kind::Collection).then(|| unsafe { &mut *self.collection_box() })
    }

    /// The pointer in a Collection payload.
    fn collection_box(&self) -> *mut Collection {
        // SAFETY: only called for Collection payloads, which are eight bytes of this pointer.
        unsafe { self.at(self.payload_offset()).cast::<*mut Collection>().read_unaligned() }
    }

    /// The pointer in a Shared payload. It points to a boxed `Arc`, so that readers can borrow the Arc.
    fn shared_box(&self) -> *mut Arc<LongString> {
        // SAFETY: only called for Shared payloads, which are eight bytes of this pointer.
        unsafe { self.at(self.payload_offset()).cast::<*mut Arc<LongString>>().read_unaligned() }
    }

    /// The bytes of a shared string for editing in place; `None` for the other kinds, and copied first
    /// where a reply still holds them.
    pub fn shared_mut(&mut self) -> Option<&mut Vec<u8>> {
        if self.kind() != Kind::Shared {
            return None;
        }
        self.set_header(self.header() | EDITED);
        // SAFETY: the kind was checked, and `&mut self` makes this the only reference to the box.
        Some(Arc::make_mut(unsafe { &mut *self.shared_box() }).make_own())
    }

    /// The bytes of a string for editing in place, whose length stays; `None` for an integer.
    pub fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        match self.kind() {
            Kind::Int | Kind::Collection => None,
            Kind::Shared => self.shared_mut().map(Vec::as_mut_slice),
            Kind::Inline => {
                self.set_header(self.header() | EDITED);
                let (start, len) = (self.at(self.payload_offset()), self.payload_len());
                // SAFETY: an Inline payload is `len` initialised bytes, and `&mut self` makes this the
                // only reference to them.
                Some(unsafe { std::slice::from_raw_parts_mut(start, len) })
            }
        }
    }

    /// Replaces a range of a short string by other bytes where the allocation has room for them; answers
    /// whether it had.
    ///
    /// # Panics
    /// When the range is not within the string.
    pub fn splice(&mut self, range: Range<usize>, with: &[u8]) -> bool {
        let len = self.payload_len();
        if self.kind() != Kind::Inline {
            return false;
        }
        assert!(range.start <= range.end && range.end <= len, "the range is within the string");
        let new_len = len - range.len() + with.len();
        let needed = bytes_needed(self.key_len(), self.has_expiry(), self.has_place(), new_len);
        if new_len > INLINE_BYTES_MAX || size_class(needed) != self.allocated_bytes() {
            return false;
        }
        let start = self.at(self.payload_offset());
        // SAFETY: the range lies within the string, and the longer of the old and the new string within the
        // allocation, by the check of the size class; `with` is borrowed and so lies elsewhere.
        unsafe {
            ptr::copy(start.add(range.end), start.add(range.start + with.len()), len - range.end);
            ptr::copy_nonoverlapping(with.as_ptr(), start.add(range.start), with.len());
        }
        let header = self.header() & !(VALUE_LEN_MASK << VALUE_LEN_SHIFT);
        self.set_header(header | (new_len as u64) << VALUE_LEN_SHIFT | EDITED);
        true
    }

    /// Marks a string as edited in place.
    pub fn mark_edited(&mut self) {
        self.set_header(self.header() | EDITED);
    }

    /// Whether the string was edited in place since it was set.
    pub fn is_edited(&self) -> bool {
        self.header() & EDITED != 0
    }

    /// When the key expires, in milliseconds of Unix time.
    pub fn expires_at_ms(&self) -> Option<i64> {
        // SAFETY: with HAS_EXPIRY the eight bytes after the header are an i64, aligned to 8.
        self.has_expiry().then(|| unsafe { self.at(HEADER_BYTES).cast::<i64>().read() })
    }

    fn write_expiry(&mut self, at_ms: i64) {
        // SAFETY: only called when HAS_EXPIRY is set, which reserves these eight aligned bytes.
        unsafe { self.at(HEADER_BYTES).cast::<i64>().write(at_ms) };
    }

    /// The 24 access bits; their meaning is `access`'s.
    pub fn access_bits(&self) -> u32 {
        (self.header() >> ACCESS_SHIFT) as u32
    }

    /// Sets the 24 access bits.
    pub fn set_access_bits(&mut self, bits: u32) {
        self.set_header(self.header() & !ACCESS_MASK | (u64::from(bits) << ACCESS_SHIFT));
    }

    /// Writes kind, length and payload. The old payload, if any, must have been released.
    fn write_value(&mut self, value: NewValue<'_>) {
        let (kind, payload_len) = kind_and_payload(&value);
        let mut header = self.header() & !(KIND_MASK | EDITED | (VALUE_LEN_MASK << VALUE_LEN_SHIFT));
        header |= kind as u64;
        if kind == Kind::Inline {
            assert!(payload_len as u64 <= VALUE_LEN_MASK, "inline strings are short");
            header |= (payload_len as u64) << VALUE_LEN_SHIFT;
        }
        self.set_header(header);
        let start = self.at(self.payload_offset());
        // SAFETY: the allocation has room for `payload_len` bytes after the key: `new` and
        // `overwrite` sized it with `bytes_needed` of this very value.
        unsafe {
            match value {
                NewValue::String(NewString::Int(int)) => start.cast::<i64>().write_unaligned(int),
                NewValue::String(NewString::Inline(bytes)) => {
                    ptr::copy_nonoverlapping(bytes.as_ptr(), start, bytes.len());
                }
                NewValue::String(NewString::Shared(bytes)) => {
                    let boxed = Box::into_raw(Box::new(bytes));
                    start.cast::<*mut Arc<LongString>>().write_unaligned(boxed);
                }
                NewValue::Collection(collection) => {
                    start.cast::<*mut Collection>().write_unaligned(Box::into_raw(collection));
                }
            }
        }
    }

    /// Drops what the payload owns; the payload is invalid afterwards.
    fn release_payload(&mut self) {
        match self.kind() {
            // SAFETY: the box was leaked by `write_value` and is taken back exactly once.
            Kind::Shared => drop(unsafe { Box::from_raw(self.shared_box()) }),
            // SAFETY: as above.
            Kind::Collection => drop(unsafe { Box::from_raw(self.collection_box()) }),
            Kind::Int | Kind::Inline => {}
        }
    }

    /// Replaces value and expiry, in place where the size class allows; the access bits stay.
    pub fn overwrite<'v>(&mut self, value: impl Into<NewValue<'v>>, expires_at_ms: Option<i64>) {
        let value = value.into();
        let (_, payload_len) = kind_and_payload(&value);
        let needed = bytes_needed(self.key_len(), expires_at_ms.is_some(), self.has_place(), payload_len);
        if size_class(needed) != self.allocated_bytes() {
            let mut new = Entry::make(self.key(), value, expires_at_ms, self.has_place());
            new.set_place(self.place());
            new.set_access_bits(self.access_bits());
            *self = new;
            return;
        }
        self.release_payload();
        self.move_key_for(expires_at_ms);
        self.write_value(value);
    }

    /// Sets the header's expiry flag and the expiry, moving place and key where the flag changes. The payload
    /// is left behind: the caller writes or moves it.
    fn move_key_for(&mut self, expires_at_ms: Option<i64>) {
        if self.has_expiry() != expires_at_ms.is_some() {
            let from = self.place_offset();
            let bytes = self.payload_offset() - from;
            self.set_header(self.header() ^ HAS_EXPIRY);
            let to = self.place_offset();
            // SAFETY: both ranges lie inside the allocation, which fits the larger form by the
            // caller's check of the size class; `copy` allows the overlap.
            unsafe { ptr::copy(self.at(from), self.at(to), bytes) };
        }
        if let Some(at) = expires_at_ms {
            self.write_expiry(at);
        }
    }

    /// Sets, moves or removes the expiry; value and access bits stay.
    pub fn set_expiry(&mut self, expires_at_ms: Option<i64>) {
        if self.has_expiry() == expires_at_ms.is_some() {
            if let Some(at) = expires_at_ms {
                self.write_expiry(at);
            }
            return;
        }
        *self = self.moved(None, expires_at_ms, self.has_place());
    }

    /// An entry that has taken over this one's value; this one is left with an integer.
    fn moved(&mut self, key: Option<&[u8]>, expires_at_ms: Option<i64>, has_place: bool) -> Entry {
        let payload_len = self.payload_len();
        let mut new = Entry::without_value(key.unwrap_or(self.key()), payload_len, expires_at_ms, has_place);
        if key.is_none() {
            new.set_place(self.place());
        }
        let carried = KIND_MASK | EDITED | (VALUE_LEN_MASK << VALUE_LEN_SHIFT) | ACCESS_MASK;
        new.set_header(new.header() & !carried | self.header() & carried);
        // SAFETY: both payloads are `payload_len` bytes long by their construction; what is moved, a
        // pointer perhaps, is disowned by the next statement.
        unsafe {
            let from = self.at(self.payload_offset());
            ptr::copy_nonoverlapping(from, new.at(new.payload_offset()), payload_len);
        }
        if matches!(self.kind(), Kind::Shared | Kind::Collection) {
            self.set_header(self.header() & !KIND_MASK | Kind::Int as u64);
        }
        new
    }

    /// The same entry under another key.
    pub fn renamed(mut self, key: &[u8]) -> Entry {
        let expires_at_ms = self.expires_at_ms();
        self.moved(Some(key), expires_at_ms, self.has_place())
    }

    /// Replaces an integer by another, which counts as new: the mark of an edit goes.
    ///
    /// # Panics
    /// When the value is no integer.
    pub fn set_int(&mut self, int: i64) {
        assert!(self.kind() == Kind::Int, "only an integer is counted up");
        self.set_header(self.header() & !EDITED);
        // SAFETY: an Int payload is eight bytes of an i64.
        unsafe { self.at(self.payload_offset()).cast::<i64>().write_unaligned(int) };
    }

    /// A copy of the value under another key.
    pub fn copied(&self, key: &[u8], expires_at_ms: Option<i64>) -> Entry {
        let value = match (self.string(), self.collection()) {
            (Some(StringRef::Int(int)), _) => NewString::Int(int).into(),
            (Some(StringRef::Inline(bytes)), _) => NewString::Inline(bytes).into(),
            (Some(StringRef::Shared(bytes)), _) => NewString::Shared(Arc::clone(bytes)).into(),
            (None, collection) => NewValue::Collection(Box::new(
                collection.expect("a value is a string or a collection").clone(),
            )),
        };
        let mut new = Entry::make(key, value, expires_at_ms, self.has_place());
        new.set_header(new.header() | (self.header() & EDITED));
        new.set_access_bits(self.access_bits());
        new
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let layout =
            Layout::from_size_align(self.allocated_bytes(), ENTRY_ALIGN).expect("it was allocated with it");
        self.release_payload();
        // SAFETY: allocated by `allocate` with this layout: size classes are stable under every edit.
        unsafe { dealloc(self.0.as_ptr(), layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(entry: &Entry) -> Vec<u8> {
        entry.string().expect("a string").to_vec()
    }

    #[test]
    fn every_shape_reads_back_what_was_written() {
        for key_len in [0, 1, 16, 255, 256, 70_000] {
            let key = vec![b'k'; key_len];
            for value_len in [0, 1, 8, 64, 100, 16_384, 16_385, 100_000] {
                let value = vec![b'v'; value_len];
                for expiry in [None, Some(i64::MIN), Some(1_700_000_000_000)] {
                    for place in [None, Some(0), Some(u64::MAX >> 1)] {
                        reads_back(&key, &value, expiry, place);
                    }
                }
            }
        }
    }

    fn reads_back(key: &[u8], value: &[u8], expiry: Option<i64>, place: Option<u64>) {
        let mut entry = match place {
            None => Entry::new(key, NewString::encode(value), expiry),
            Some(_) => Entry::with_place(key, NewString::encode(value), expiry),
        };
        assert_eq!((entry.key(), entry.expires_at_ms(), entry.place()), (key, expiry, 0));
        assert_eq!(text(&entry), value);
        let place = place.unwrap_or(7);
        entry.set_place(place);
        entry.set_access_bits(0xABCDEF);
        entry.set_expiry(Some(5));
        assert_eq!((entry.key(), entry.expires_at_ms(), entry.place()), (key, Some(5), place));
        entry.set_expiry(None);
        assert_eq!((text(&entry), entry.access_bits()), (value.to_vec(), 0xABCDEF));
        entry.overwrite(NewString::encode(b"-12"), Some(9));
        assert_eq!((entry.string(), entry.place()), (Some(StringRef::Int(-12)), place));
        entry.overwrite(NewString::encode(value), None);
        assert_eq!((text(&entry), entry.key(), entry.place()), (value.to_vec(), key, place));
        let other = entry.copied(b"other", Some(3));
        assert_eq!((text(&other), other.key(), other.place()), (value.to_vec(), &b"other"[..], 0));
        let other = entry.renamed(b"another");
        assert_eq!((text(&other), other.key(), other.place()), (value.to_vec(), &b"another"[..], 0));
    }

    #[test]
    fn bytes_are_edited_where_they_are() {
        for len in [0, 1, 100, 16_384, 16_385] {
            let mut entry = Entry::new(b"key", NewString::encode_raw(&vec![7; len]), Some(5));
            entry.bytes_mut().expect("a string").fill(8);
            assert_eq!(
                (text(&entry), entry.key(), entry.expires_at_ms()),
                (vec![8; len], &b"key"[..], Some(5))
            );
            assert!(entry.is_edited());
        }
        assert!(Entry::new(b"key", NewString::encode(b"12"), None).bytes_mut().is_none());
    }

    #[test]
    fn a_splice_is_that_of_a_vector_as_long_as_it_fits() {
        for key_len in [3, 300] {
            let key = vec![b'k'; key_len];
            let mut model: Vec<u8> = (0..100).collect();
            let mut entry = Entry::new(&key, NewString::encode_raw(&model), Some(5));
            let mut refused = 0;
            for step in 0..200 {
                let start = step * 7 % model.len();
                let range = start..model.len().min(start + step % 5);
                let with = vec![step as u8; step % 7];
                model.splice(range.clone(), with.iter().copied());
                if !entry.splice(range, &with) {
                    refused += 1;
                    entry.overwrite(NewString::encode_raw(&model), Some(5));
                }
                assert_eq!(
                    (text(&entry), entry.key(), entry.expires_at_ms()),
                    (model.clone(), &key[..], Some(5))
                );
            }
            assert!((1..40).contains(&refused), "{refused}");
        }
        assert!(!Entry::new(b"key", NewString::encode(b"12"), None).splice(0..0, b""));
    }

    #[test]
    fn a_shared_string_outlives_its_overwriting() {
        let mut entry = Entry::new(b"k", NewString::encode(&vec![7; 50_000]), None);
        let Some(StringRef::Shared(held)) = entry.string() else { panic!("long strings are shared") };
        let held = Arc::clone(held);
        entry.shared_mut().expect("it is shared").push(8);
        assert_eq!((held.len(), text(&entry).len()), (50_000, 50_001));
        entry.overwrite(NewString::encode(b"x"), None);
        assert_eq!(held.len(), 50_000);
    }
}
