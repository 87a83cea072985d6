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
//! The buffer fills the allocator's size class, no more. What of it is free lies on either side of these
//! bytes, so that elements come and go at both ends without a move of the others: an edit moves the shorter
//! side of them. A [`Position`] is good until the next edit.

mod encoding;
mod start;
#[cfg(test)]
mod tests;

use super::size_class::size_class;
use encoding::{
    Encoded, SHORT_TEXT_BYTES_MAX, backlen_bytes, decode, integer_of, is_short_text, read_backlen,
    short_text_bytes,
};
use start::Start;

const HEADER_BYTES: usize = 6;
const END: u8 = 0xFF;
const EMPTY: [u8; 7] = [7, 0, 0, 0, 0, 0, END];

/// The format has 32 bits for the length.
const BYTES_MAX: usize = u32::MAX as usize;

/// The number of elements that stands for "count them".
const UNCOUNTED: u16 = u16::MAX;

/// Elements one after another in one piece of memory.
pub struct Listpack {
    /// The listpack and what is free on either side of it.
    buffer: Box<[u8]>,
    /// Where in the buffer the listpack is. It is valid at all times: `from_bytes` checks, every edit keeps
    /// it so.
    start: Start,
    stop: u32,
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
        let mut buffer = vec![0; class_of(bytes.max(EMPTY.len()))].into_boxed_slice();
        buffer[..EMPTY.len()].copy_from_slice(&EMPTY);
        Listpack { buffer, start: Start::new(0), stop: EMPTY.len() as u32 }
    }

    /// As [`Self::with_capacity`], for one that grows at its front.
    pub fn with_capacity_in_front(bytes: usize) -> Listpack {
        let mut pack = Listpack::with_capacity(bytes);
        pack.place_at((pack.buffer.len() - EMPTY.len()).min(Start::MAX));
        pack
    }

    /// Takes bytes that come from elsewhere, after a check of every one of them.
    ///
    /// # Errors
    /// When they are no listpack.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Listpack, Malformed> {
        check(&bytes).ok_or(Malformed)?;
        Ok(Listpack { stop: bytes.len() as u32, start: Start::new(0), buffer: bytes.into_boxed_slice() })
    }

    /// The whole of it, as DUMP carries it.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.buffer[self.start.get()..self.stop as usize]
    }

    #[inline]
    fn as_bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start.get()..self.stop as usize]
    }

    /// The length of [`Self::as_bytes`].
    #[inline]
    pub fn byte_len(&self) -> usize {
        self.stop as usize - self.start.get()
    }

    /// The memory it takes, without the struct.
    pub fn allocated_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// The number of elements: known, except for 65535 and more.
    #[inline]
    pub fn len(&self) -> usize {
        match self.header_count() {
            UNCOUNTED => self.count(),
            count => count.into(),
        }
    }

    #[cold]
    fn count(&self) -> usize {
        self.iter().count()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.byte_len() == EMPTY.len()
    }

    #[inline]
    fn header(&self) -> &[u8; HEADER_BYTES] {
        self.as_bytes().first_chunk().expect("every listpack has a header")
    }

    #[inline]
    fn header_count(&self) -> u16 {
        let header = self.header();
        u16::from_le_bytes([header[4], header[5]])
    }

    /// Where the end mark is.
    fn end(&self) -> usize {
        self.byte_len() - 1
    }

    /// The bytes of the entry at a place, with its length at the end.
    #[inline]
    fn entry_at(&self, at: usize) -> (Element<'_>, usize) {
        entry_in(&self.buffer, self.start.get() + at)
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
        let body = read_backlen(&self.buffer, self.start.get() + end)?;
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
        Iter { bytes: self.as_bytes(), front: HEADER_BYTES, back: self.end() }
    }

    /// The elements from a position on.
    pub fn iter_from(&self, at: Position) -> Iter<'_> {
        Iter { bytes: self.as_bytes(), front: at.0, back: self.end() }
    }

    /// The first element equal to `needle` at or after `from`, where `skip` elements are passed over between
    /// one that is compared and the next.
    pub fn find(&self, from: Position, needle: &[u8], skip: usize) -> Option<Position> {
        let int = integer_of(needle);
        let (all, end) = (self.as_bytes(), self.end());
        // How the entry of a short text begins and ends. Names often begin alike and end differently.
        let head = if needle.len() <= SHORT_TEXT_BYTES_MAX { 0x80 | needle.len() as u8 } else { END };
        let last = needle.last().copied().unwrap_or(head);
        let mut at = from.0;
        while at < end {
            let bytes = match short_text_bytes(all[at]) {
                Some(bytes) => {
                    if all[at] == head
                        && all[at + bytes - 2] == last
                        && all[at + 1..at + bytes - 1] == *needle
                    {
                        return Some(Position(at));
                    }
                    bytes
                }
                None => {
                    let (element, bytes) = entry_in(all, at);
                    let found = match element {
                        Element::Bytes(bytes) => bytes == needle,
                        Element::Int(element) => int == Some(element),
                    };
                    if found {
                        return Some(Position(at));
                    }
                    bytes
                }
            };
            at += bytes;
            for _ in 0..skip {
                if at >= end {
                    return None;
                }
                at += short_text_bytes(all[at]).unwrap_or_else(|| entry_in(all, at).1);
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
        self.byte_len().saturating_add(more) <= 1 << 30
    }

    /// Adds an element at the end.
    pub fn push_back(&mut self, element: &[u8]) {
        if !self.push_short_text(element) {
            self.append(|to| to.push(element));
        }
    }

    /// Adds a short text at the end where there is room: most elements are that, and the rest of its entry is then one
    /// byte on either side. Answers whether it did.
    #[inline]
    fn push_short_text(&mut self, element: &[u8]) -> bool {
        if !is_short_text(element) {
            return false;
        }
        // In the place of the end mark.
        let at = self.stop as usize - 1;
        let Some(place) = self.buffer.get_mut(at..at + element.len() + 3) else { return false };
        let [head, text @ .., back, end] = place else { return false };
        (*head, *back, *end) = (0x80 | element.len() as u8, element.len() as u8 + 1, END);
        text.copy_from_slice(element);
        self.stop += element.len() as u32 + 2;
        self.note_change(1, 0);
        true
    }

    /// Adds an integer at the end.
    pub fn push_int(&mut self, int: i64) {
        self.append(|to| to.push_int(int));
    }

    /// Adds many elements at the end at once.
    pub fn append(&mut self, write: impl FnOnce(&mut Appender<'_>)) {
        let mut appender = Appender { pack: self, added: 0 };
        write(&mut appender);
        let added = appender.added;
        self.note_change(added, 0);
    }

    /// Adds an element at the front.
    pub fn push_front(&mut self, element: &[u8]) {
        if !self.push_short_text_in_front(element) {
            self.splice(HEADER_BYTES, 0, &Encoded::of(element));
        }
    }

    /// As [`Self::push_short_text`], at the front.
    #[inline]
    fn push_short_text_in_front(&mut self, element: &[u8]) -> bool {
        if !is_short_text(element) {
            return false;
        }
        let old = self.start.get();
        let Some(start) = old.checked_sub(element.len() + 2) else { return false };
        // The header goes forward, and the entry behind it.
        let header = *self.header();
        let place = &mut self.buffer[start..old + HEADER_BYTES];
        let Some((to, [head, text @ .., back])) = place.split_first_chunk_mut() else { return false };
        *to = header;
        (*head, *back) = (0x80 | element.len() as u8, element.len() as u8 + 1);
        text.copy_from_slice(element);
        self.start = Start::new(start);
        self.note_change(1, 0);
        true
    }

    /// Takes the first element, after `read` has seen it. The memory stays: [`Self::shrink`].
    pub fn pop_front<R>(&mut self, read: impl FnOnce(Element<'_>) -> R) -> Option<R> {
        self.first()?;
        self.pop(HEADER_BYTES, read)
    }

    /// Takes the last element, as [`Self::pop_front`] does the first.
    pub fn pop_back<R>(&mut self, read: impl FnOnce(Element<'_>) -> R) -> Option<R> {
        let Position(at) = self.last()?;
        self.pop(at, read)
    }

    fn pop<R>(&mut self, at: usize, read: impl FnOnce(Element<'_>) -> R) -> Option<R> {
        let (element, bytes) = self.entry_at(at);
        let result = read(element);
        self.close(at, at + bytes);
        self.note_change(0, 1);
        Some(result)
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
        let new = entry.bytes();
        if new > old {
            self.open(at + old, new - old);
        } else if new < old {
            self.close(at + new, at + old);
        }
        entry.write(&mut self.as_bytes_mut()[at..at + new]);
        if new < old {
            self.shrink();
        }
        self.note_change(usize::from(old == 0), 0);
    }

    /// Makes a place of `more` bytes at `at`.
    fn open(&mut self, at: usize, more: usize) {
        let (in_front, behind) = (more <= self.start.get(), more <= self.free_behind());
        let nearer_front = at < self.byte_len() / 2;
        // What is pushed to the front will be again: room there is worth a move of all.
        let front =
            if nearer_front { in_front || !behind || at == HEADER_BYTES } else { in_front && !behind };
        let front = front && more <= Start::MAX;
        if !(if front { in_front } else { behind }) {
            self.make_free(more, front);
        }
        let (start, stop) = (self.start.get(), self.stop as usize);
        if front {
            self.buffer.copy_within(start..start + at, start - more);
            self.start = Start::new(start - more);
        } else {
            self.buffer.copy_within(start + at..stop, start + at + more);
            self.stop += more as u32;
        }
    }

    /// Takes out the bytes from `from` up to before `to`.
    fn close(&mut self, from: usize, to: usize) {
        let (start, stop) = (self.start.get(), self.stop as usize);
        if from < self.byte_len() - to && start + to - from <= Start::MAX {
            self.buffer.copy_within(start..start + from, start + to - from);
            self.start = Start::new(start + to - from);
        } else {
            self.buffer.copy_within(start + to..stop, start + from);
            self.stop -= (to - from) as u32;
        }
    }

    /// How many bytes are free behind the listpack.
    #[inline]
    fn free_behind(&self) -> usize {
        self.buffer.len() - self.stop as usize
    }

    /// Has at least `more` bytes free in front or behind, by a move of all to the other end of a buffer that
    /// is of the size class of what it is to hold.
    #[cold]
    fn make_free(&mut self, more: usize, front: bool) {
        let len = self.byte_len();
        assert!(len + more <= BYTES_MAX, "a listpack is under 4 GiB");
        if len + more > self.buffer.len() {
            let mut buffer = std::mem::take(&mut self.buffer).into_vec();
            let class = class_of(len + more);
            buffer.reserve_exact(class - buffer.len());
            buffer.resize(class, 0);
            self.buffer = buffer.into_boxed_slice();
        }
        self.place_at(if front { (self.buffer.len() - len).min(Start::MAX) } else { 0 });
    }

    /// Moves the listpack within the buffer.
    fn place_at(&mut self, start: usize) {
        let len = self.byte_len();
        self.buffer.copy_within(self.start.get()..self.stop as usize, start);
        (self.start, self.stop) = (Start::new(start), (start + len) as u32);
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
        self.close(start, end);
        self.shrink();
        self.note_change(0, elements);
    }

    /// Brings the header up to date.
    #[inline]
    fn note_change(&mut self, added: usize, removed: usize) {
        let count = self.header_count();
        let (total, start) = (self.byte_len() as u32, self.start.get());
        let count = match count {
            UNCOUNTED => UNCOUNTED,
            count => (usize::from(count) - removed + added).min(UNCOUNTED.into()) as u16,
        };
        let header = &mut self.buffer[start..start + HEADER_BYTES];
        header[..4].copy_from_slice(&total.to_le_bytes());
        header[4..].copy_from_slice(&count.to_le_bytes());
    }

    /// As [`Self::shrink`], once half of the memory is free.
    pub fn shrink_if_half(&mut self) {
        if self.byte_len() < self.buffer.len() / 2 {
            self.shrink();
        }
    }

    /// Gives the memory back that the content does not need.
    pub fn shrink(&mut self) {
        let class = class_of(self.byte_len());
        if class < self.buffer.len() {
            self.place_at(0);
            let mut buffer = std::mem::take(&mut self.buffer).into_vec();
            buffer.truncate(class);
            self.buffer = buffer.into_boxed_slice();
        }
    }
}

impl Clone for Listpack {
    fn clone(&self) -> Listpack {
        Listpack { buffer: self.as_bytes().into(), start: Start::new(0), stop: self.byte_len() as u32 }
    }
}

impl PartialEq for Listpack {
    fn eq(&self, other: &Listpack) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Listpack {}

impl std::fmt::Debug for Listpack {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_list().entries(self).finish()
    }
}

/// The buffer for so many bytes.
fn class_of(bytes: usize) -> usize {
    size_class(bytes).min(BYTES_MAX)
}

/// The entry at a place of a listpack, and its bytes with its length at the end.
#[inline]
fn entry_in(bytes: &[u8], at: usize) -> (Element<'_>, usize) {
    let (element, body) = decode(bytes, at).expect("a position is that of an element");
    (element, body + backlen_bytes(body))
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

/// Writes elements at the end of a pack, whose header waits for the last.
pub struct Appender<'a> {
    pack: &'a mut Listpack,
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
        let more = entry.bytes();
        if more > self.pack.free_behind() {
            self.pack.make_free(more, false);
        }
        let stop = self.pack.stop as usize;
        entry.write(&mut self.pack.buffer[stop - 1..stop - 1 + more]);
        self.pack.buffer[stop - 1 + more] = END;
        self.pack.stop += more as u32;
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
    bytes: &'a [u8],
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
        let (element, bytes) = entry_in(self.bytes, self.front);
        self.front += bytes;
        Some(element)
    }
}

impl DoubleEndedIterator for Iter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        if self.front >= self.back {
            return None;
        }
        let body = read_backlen(self.bytes, self.back)?;
        self.back -= body + backlen_bytes(body);
        Some(entry_in(self.bytes, self.back).0)
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
