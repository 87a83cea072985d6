//! Listpacks: many short elements in one piece of memory, in Redis's own format to the byte, because DUMP
//! payloads carry it as it is.
//!
//! ```text
//! u32  all bytes, these included
//! u16  elements; 65535 when there are that many or more
//! ...  elements, see `encoding`
//! 0xFF
//! ```
//!
//! The buffer fills the allocator's size class, no more. A [`Position`] is good until the next edit.

mod encoding;
#[cfg(test)]
mod tests;

use super::size_class::{grow_to_class, shrink_to_class};
use encoding::{Encoded, backlen_bytes, decode, integer_of, read_backlen};

const HEADER_BYTES: usize = 6;
const END: u8 = 0xFF;
const EMPTY: [u8; 7] = [7, 0, 0, 0, 0, 0, END];

/// The number of elements that stands for "count them".
const UNCOUNTED: u16 = u16::MAX;

/// Elements one after another in one piece of memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listpack {
    /// Valid at all times: `from_bytes` checks, every edit keeps it so.
    bytes: Vec<u8>,
}

/// An element as it is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Element<'a> {
    /// The canonical decimal form of this integer.
    Int(i64),
    /// Any other bytes.
    Bytes(&'a [u8]),
}

/// Where an element begins, good until the next edit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Position(usize);

/// The bytes are no listpack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

impl Default for Listpack {
    fn default() -> Self {
        Listpack::new()
    }
}

impl Listpack {
    /// An empty one.
    pub fn new() -> Listpack {
        Listpack::with_capacity(EMPTY.len())
    }

    /// An empty one with room for `bytes` in all, for one that is known to grow.
    pub fn with_capacity(bytes: usize) -> Listpack {
        let mut pack = Vec::new();
        grow_to_class(&mut pack, bytes.max(EMPTY.len()));
        pack.extend_from_slice(&EMPTY);
        Listpack { bytes: pack }
    }

    /// Takes bytes that come from elsewhere, after a check of every one of them.
    ///
    /// # Errors
    /// When they are no listpack.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Listpack, Malformed> {
        check(&bytes).ok_or(Malformed)?;
        Ok(Listpack { bytes })
    }

    /// The whole of it, as DUMP carries it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The length of [`Self::as_bytes`].
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// The memory it takes, without the struct.
    pub fn allocated_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// The number of elements: known, except for 65535 and more.
    pub fn len(&self) -> usize {
        match self.header_count() {
            UNCOUNTED => self.iter().count(),
            count => count.into(),
        }
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == EMPTY.len()
    }

    fn header_count(&self) -> u16 {
        u16::from_le_bytes([self.bytes[4], self.bytes[5]])
    }

    /// Where the end mark is.
    fn end(&self) -> usize {
        self.bytes.len() - 1
    }

    /// The bytes of the entry at a place, with its length at the end.
    #[inline]
    fn entry_at(&self, at: usize) -> (Element<'_>, usize) {
        let (element, body) = decode(&self.bytes, at).expect("a position is that of an element");
        (element, body + backlen_bytes(body))
    }

    /// The first element.
    pub fn first(&self) -> Option<Position> {
        (!self.is_empty()).then_some(Position(HEADER_BYTES))
    }

    /// The last element.
    pub fn last(&self) -> Option<Position> {
        self.before(self.end())
    }

    /// The element after this one.
    #[inline]
    pub fn next(&self, at: Position) -> Option<Position> {
        let next = at.0 + self.entry_at(at.0).1;
        (next < self.end()).then_some(Position(next))
    }

    /// The element before this one.
    pub fn prev(&self, at: Position) -> Option<Position> {
        self.before(at.0)
    }

    fn before(&self, end: usize) -> Option<Position> {
        if end == HEADER_BYTES {
            return None;
        }
        let body = read_backlen(&self.bytes, end)?;
        Some(Position(end - body - backlen_bytes(body)))
    }

    /// The `index`-th element, counted from 0, or from -1 at the end.
    pub fn at(&self, index: isize) -> Option<Position> {
        let count = self.header_count();
        let (mut steps, forward) = match (index, count) {
            (_, UNCOUNTED) => (index.unsigned_abs(), index >= 0),
            _ => {
                let count = isize::try_from(count).ok()?;
                let index = if index < 0 { index + count } else { index };
                if index < 0 || index >= count {
                    return None;
                }
                if index <= count / 2 {
                    (index.unsigned_abs(), true)
                } else {
                    ((count - index).unsigned_abs(), false)
                }
            }
        };
        if forward {
            let mut at = self.first()?;
            while steps > 0 {
                at = self.next(at)?;
                steps -= 1;
            }
            return Some(at);
        }
        let mut at = self.last()?;
        while steps > 1 {
            at = self.prev(at)?;
            steps -= 1;
        }
        Some(at)
    }

    /// The element at a position.
    ///
    /// # Panics
    /// When an edit has made the position invalid.
    #[inline]
    pub fn get(&self, at: Position) -> Element<'_> {
        self.entry_at(at.0).0
    }

    /// The element at a position, and the position after it.
    #[inline]
    pub fn get_and_next(&self, at: Position) -> (Element<'_>, Option<Position>) {
        let (element, bytes) = self.entry_at(at.0);
        let next = at.0 + bytes;
        (element, (next < self.end()).then_some(Position(next)))
    }

    /// All elements.
    pub fn iter(&self) -> Iter<'_> {
        Iter { pack: self, front: HEADER_BYTES, back: self.end() }
    }

    /// The elements from a position on.
    pub fn iter_from(&self, at: Position) -> Iter<'_> {
        Iter { pack: self, front: at.0, back: self.end() }
    }

    /// The first element equal to `needle` at or after `from`, where `skip` elements are passed over between
    /// one that is compared and the next.
    pub fn find(&self, from: Position, needle: &[u8], skip: usize) -> Option<Position> {
        let int = integer_of(needle);
        let end = self.end();
        let mut at = from.0;
        while at < end {
            let (element, bytes) = self.entry_at(at);
            let found = match element {
                // Names often begin alike and end differently.
                Element::Bytes(bytes) => {
                    bytes.len() == needle.len() && bytes.last() == needle.last() && bytes == needle
                }
                Element::Int(element) => int == Some(element),
            };
            if found {
                return Some(Position(at));
            }
            at += bytes;
            for _ in 0..skip {
                if at >= end {
                    return None;
                }
                at += self.entry_at(at).1;
            }
        }
        None
    }

    /// What an element would add to [`Self::byte_len`].
    pub fn entry_bytes(element: &[u8]) -> usize {
        Encoded::of(element).bytes()
    }

    /// Whether it may grow by so many bytes: the format and prudence allow 1 GiB.
    pub fn has_room_for(&self, more: usize) -> bool {
        self.bytes.len().saturating_add(more) <= 1 << 30
    }

    /// Adds an element at the end.
    pub fn push_back(&mut self, element: &[u8]) {
        self.append(|to| to.push(element));
    }

    /// Adds an integer at the end.
    pub fn push_int(&mut self, int: i64) {
        self.append(|to| to.push_int(int));
    }

    /// Adds many elements at the end at once.
    pub fn append(&mut self, write: impl FnOnce(&mut Appender<'_>)) {
        let end = self.end();
        self.bytes.truncate(end);
        let mut appender = Appender { bytes: &mut self.bytes, added: 0 };
        write(&mut appender);
        let added = appender.added;
        self.bytes.push(END);
        self.note_change(added, 0);
    }

    /// Adds an element at the front.
    pub fn push_front(&mut self, element: &[u8]) {
        self.splice(HEADER_BYTES, 0, &Encoded::of(element));
    }

    /// Adds all elements of another at the front.
    pub fn prepend(&mut self, other: &Listpack) {
        let more = &other.bytes[HEADER_BYTES..other.end()];
        let len = self.bytes.len();
        grow_to_class(&mut self.bytes, len + more.len());
        self.bytes.resize(len + more.len(), END);
        self.bytes.copy_within(HEADER_BYTES..len, HEADER_BYTES + more.len());
        self.bytes[HEADER_BYTES..HEADER_BYTES + more.len()].copy_from_slice(more);
        self.note_change(other.len(), 0);
    }

    /// Takes elements from the front until they have so many bytes together.
    pub fn take_front(&mut self, bytes: usize) -> Listpack {
        let (mut end, mut count) = (HEADER_BYTES, 0);
        while end < self.end() && end - HEADER_BYTES < bytes {
            end += self.entry_at(end).1;
            count += 1;
        }
        let mut front = Listpack::with_capacity(end + 1);
        front.bytes.splice(HEADER_BYTES..HEADER_BYTES, self.bytes[HEADER_BYTES..end].iter().copied());
        front.note_change(count, 0);
        self.cut(HEADER_BYTES, end, count);
        front
    }

    /// Removes all elements; the memory stays.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.extend_from_slice(&EMPTY);
    }

    /// Adds an element before another; returns where it is.
    pub fn insert_before(&mut self, at: Position, element: &[u8]) -> Position {
        self.splice(at.0, 0, &Encoded::of(element));
        at
    }

    /// Adds an element after another; returns where it is.
    pub fn insert_after(&mut self, at: Position, element: &[u8]) -> Position {
        let after = at.0 + self.entry_at(at.0).1;
        self.splice(after, 0, &Encoded::of(element));
        Position(after)
    }

    /// Puts an element in the place of another.
    pub fn replace(&mut self, at: Position, element: &[u8]) -> Position {
        let old = self.entry_at(at.0).1;
        self.splice(at.0, old, &Encoded::of(element));
        at
    }

    /// Puts an integer in the place of another element.
    pub fn replace_int(&mut self, at: Position, int: i64) -> Position {
        let old = self.entry_at(at.0).1;
        self.splice(at.0, old, &Encoded::of_int(int));
        at
    }

    /// Replaces `old` bytes (a whole entry, or none) by an entry.
    fn splice(&mut self, at: usize, old: usize, entry: &Encoded<'_>) {
        let (len, new) = (self.bytes.len(), entry.bytes());
        assert!(len - old + new <= u32::MAX as usize, "a listpack is under 4 GiB");
        if new >= old {
            grow_to_class(&mut self.bytes, len - old + new);
            self.bytes.resize(len - old + new, END);
        }
        if new != old {
            self.bytes.copy_within(at + old..len, at + new);
        }
        entry.write(&mut self.bytes[at..at + new]);
        if new < old {
            self.bytes.truncate(len - old + new);
            shrink_to_class(&mut self.bytes);
        }
        self.note_change(usize::from(old == 0), 0);
    }

    /// Removes an element; returns the one after it.
    pub fn remove(&mut self, at: Position) -> Option<Position> {
        let bytes = self.entry_at(at.0).1;
        self.cut(at.0, at.0 + bytes, 1);
        (at.0 < self.end()).then_some(at)
    }

    /// Removes up to `count` elements from the `index`-th on, which counts from -1 at the end.
    pub fn remove_range(&mut self, index: isize, count: usize) {
        let Some(start) = self.at(index) else { return };
        self.remove_from(start, count);
    }

    /// Removes up to `count` elements from a position on; returns the one after them.
    pub fn remove_from(&mut self, start: Position, count: usize) -> Option<Position> {
        let (mut end, mut removed) = (start.0, 0);
        while removed < count && end < self.end() {
            end += self.entry_at(end).1;
            removed += 1;
        }
        self.cut(start.0, end, removed);
        (start.0 < self.end()).then_some(start)
    }

    fn cut(&mut self, start: usize, end: usize, elements: usize) {
        self.bytes.drain(start..end);
        shrink_to_class(&mut self.bytes);
        self.note_change(0, elements);
    }

    /// Brings the header up to date.
    fn note_change(&mut self, added: usize, removed: usize) {
        let total = u32::try_from(self.bytes.len()).expect("a listpack is under 4 GiB");
        self.bytes[..4].copy_from_slice(&total.to_le_bytes());
        let count = self.header_count();
        if count != UNCOUNTED {
            let count = (usize::from(count) - removed + added).min(UNCOUNTED.into()) as u16;
            self.bytes[4..HEADER_BYTES].copy_from_slice(&count.to_le_bytes());
        }
    }

    /// Gives the memory back that the content does not need.
    pub fn shrink(&mut self) {
        shrink_to_class(&mut self.bytes);
    }
}

/// Every length, every form, the count and the end.
fn check(bytes: &[u8]) -> Option<()> {
    let total: [u8; 4] = bytes.get(..4)?.try_into().ok()?;
    if bytes.len() < EMPTY.len() || u32::from_le_bytes(total) as usize != bytes.len() {
        return None;
    }
    let end = bytes.len() - 1;
    let (mut at, mut count) = (HEADER_BYTES, 0);
    while at < end {
        let (_, body) = decode(&bytes[..end], at)?;
        let next = at + body + backlen_bytes(body);
        if next > end
            || read_backlen(bytes, next)? != body
            || backlen_bytes_at(bytes, next) != next - at - body
        {
            return None;
        }
        at = next;
        count += 1;
    }
    let declared = u16::from_le_bytes([bytes[4], bytes[5]]);
    (at == end && bytes[end] == END && (declared == UNCOUNTED || usize::from(declared) == count))
        .then_some(())
}

/// How many bytes the length that ends before `end` really takes.
fn backlen_bytes_at(bytes: &[u8], end: usize) -> usize {
    1 + bytes[..end].iter().rev().take(5).take_while(|byte| **byte & 0x80 != 0).count()
}

/// Writes elements at the end of a pack.
pub struct Appender<'a> {
    bytes: &'a mut Vec<u8>,
    added: usize,
}

impl Appender<'_> {
    /// Adds an element.
    #[inline]
    pub fn push(&mut self, element: &[u8]) {
        self.write(&Encoded::of(element));
    }

    /// Adds an integer.
    #[inline]
    pub fn push_int(&mut self, int: i64) {
        self.write(&Encoded::of_int(int));
    }

    #[inline]
    fn write(&mut self, entry: &Encoded<'_>) {
        // One more for the end mark.
        grow_to_class(self.bytes, self.bytes.len() + entry.bytes() + 1);
        entry.append(self.bytes);
        self.added += 1;
    }
}

impl<'a> IntoIterator for &'a Listpack {
    type Item = Element<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Elements in order, from either end.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    pack: &'a Listpack,
    front: usize,
    back: usize,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        if self.front >= self.back {
            return None;
        }
        let (element, bytes) = self.pack.entry_at(self.front);
        self.front += bytes;
        Some(element)
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.front >= self.back {
            return None;
        }
        let Position(at) = self.pack.before(self.back)?;
        self.back = at;
        Some(self.pack.entry_at(at).0)
    }
}

impl Element<'_> {
    /// Gives the bytes to `read`; an integer is written out on the stack.
    #[inline]
    pub fn with<R>(&self, read: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Element::Int(int) => read(itoa::Buffer::new().format(*int).as_bytes()),
            Element::Bytes(bytes) => read(bytes),
        }
    }

    /// A copy of the bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        self.with(<[u8]>::to_vec)
    }

    /// The length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Element::Int(int) => itoa::Buffer::new().format(*int).len(),
            Element::Bytes(bytes) => bytes.len(),
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        matches!(self, Element::Bytes(b""))
    }

    /// The integer that the bytes are in canonical form, if they are one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Element::Int(int) => Some(*int),
            Element::Bytes(bytes) => integer_of(bytes),
        }
    }
}

impl PartialEq<[u8]> for Element<'_> {
    fn eq(&self, other: &[u8]) -> bool {
        match self {
            Element::Int(int) => integer_of(other) == Some(*int),
            Element::Bytes(bytes) => *bytes == other,
        }
    }
}
