//! Lists: one pack of elements, or a row of packs.

use super::listpack::{Element, Listpack, Position};
use super::prefetch::{Aim, prefetch, prefetch_all};
use std::collections::VecDeque;
use std::ops::Range;

/// How large a pack may become: `list-max-listpack-size`.
#[derive(Clone, Copy, Debug)]
pub struct ChunkLimit {
    bytes: usize,
    len: usize,
}

/// The most bytes of a pack among others: a size of which the allocator puts four in one piece. Of 8192 bytes
/// each has a piece of its own, and what the allocator keeps for one comes to a quarter of a byte an element
/// of 16.
const CHUNK_BYTES: usize = 7168;
/// From how many packs on a new one has its whole room at once, or half of it.
const PACKS_OF_LONG: usize = 8;
const PACKS_OF_SHORT: usize = 2;
/// What the entry of an element has more than the element, at most.
const ENTRY_BYTES_MORE_MAX: usize = 10;
/// A limit by number of elements has this bound besides.
const SAFE_BYTES: usize = 8192;

impl ChunkLimit {
    /// From the parameter: a positive number of elements, or -1 to -5 for 4 to 64 KiB.
    pub fn new(parameter: i64) -> ChunkLimit {
        match usize::try_from(parameter) {
            Ok(len) => ChunkLimit { bytes: SAFE_BYTES, len: len.max(1) },
            Err(_) => ChunkLimit { bytes: 2048 << parameter.unsigned_abs().clamp(1, 5), len: usize::MAX },
        }
    }

    /// The limit of one of many packs: what is moved when an element goes in between must be short.
    fn of_chunk(self) -> ChunkLimit {
        ChunkLimit { bytes: self.bytes.min(CHUNK_BYTES), ..self }
    }

    fn allows(&self, bytes: usize, len: usize) -> bool {
        bytes <= self.bytes && len <= self.len
    }

    #[inline]
    fn has_room(&self, chunk: &Listpack, element: &[u8]) -> bool {
        let bytes = chunk.byte_len() + element.len();
        (bytes + ENTRY_BYTES_MORE_MAX <= self.bytes
            || chunk.byte_len() + Listpack::entry_bytes(element) <= self.bytes)
            && (self.len == usize::MAX || chunk.len() < self.len)
    }

    fn half(&self) -> ChunkLimit {
        ChunkLimit { bytes: self.bytes / 2, len: self.len / 2 }
    }
}

/// Elements in the order of insertion.
#[derive(Clone)]
pub enum List {
    /// Few and short elements.
    Packed(Listpack),
    /// Anything. No chunk is empty.
    Chunks(Box<Chunks>),
}

/// Packs in order.
#[derive(Clone, Default)]
pub struct Chunks {
    packs: VecDeque<Listpack>,
    len: usize,
}

/// Which end of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The left.
    Front,
    /// The right.
    Back,
}

impl Default for List {
    fn default() -> List {
        List::Packed(Listpack::new())
    }
}

impl Chunks {
    /// Asks the processor for the pack at an end: at step 0 for where it is, then for its header and the bytes where the
    /// element would go.
    pub(super) fn prefetch(&self, step: usize, aim: Aim<'_>) -> bool {
        let pack = if aim.front { self.packs.front() } else { self.packs.back() };
        match pack {
            Some(pack) if step == 0 => prefetch_all(pack),
            Some(pack) => {
                let Range { start, end } = pack.as_bytes().as_ptr_range();
                prefetch(start);
                if aim.front {
                    prefetch(start.wrapping_sub(aim.member.len()));
                } else {
                    prefetch(end);
                    prefetch(end.wrapping_add(aim.member.len()));
                }
            }
            None => {}
        }
        step == 0
    }

    /// The chunk and the place in it of the element at `index`, which must exist.
    fn seek(&self, index: usize) -> Option<(usize, usize)> {
        if index < self.len / 2 {
            let mut rest = index;
            for (number, pack) in self.packs.iter().enumerate() {
                if rest < pack.len() {
                    return Some((number, rest));
                }
                rest -= pack.len();
            }
        } else {
            let mut end = self.len;
            for (number, pack) in self.packs.iter().enumerate().rev() {
                let start = end - pack.len();
                if index >= start {
                    return (index < end).then_some((number, index - start));
                }
                end = start;
            }
        }
        None
    }

    #[inline]
    fn push(&mut self, end: End, element: &[u8], limit: ChunkLimit) {
        let limit = limit.of_chunk();
        self.len += 1;
        let last = match end {
            End::Front => self.packs.front_mut(),
            End::Back => self.packs.back_mut(),
        };
        match last {
            Some(pack) if limit.has_room(pack, element) => match end {
                End::Front => pack.push_front(element),
                End::Back => pack.push_back(element),
            },
            _ => self.push_pack(end, element, limit),
        }
    }

    /// Adds a pack with one element at an end; that which was there is full.
    #[cold]
    fn push_pack(&mut self, end: End, element: &[u8], limit: ChunkLimit) {
        let full = match end {
            End::Front => self.packs.front_mut(),
            End::Back => self.packs.back_mut(),
        };
        full.into_iter().for_each(Listpack::shrink);
        // What has filled some packs will fill another.
        let room = match self.packs.len() {
            0..PACKS_OF_SHORT => 0,
            PACKS_OF_SHORT..PACKS_OF_LONG => limit.bytes / 2,
            PACKS_OF_LONG.. => limit.bytes,
        };
        self.make_place();
        match end {
            End::Front => {
                let mut fresh = Listpack::with_capacity_in_front(room);
                fresh.push_front(element);
                self.packs.push_front(fresh);
            }
            End::Back => {
                let mut fresh = Listpack::with_capacity(room);
                fresh.push_back(element);
                self.packs.push_back(fresh);
            }
        }
    }

    /// Makes a place for one more pack.
    fn make_place(&mut self) {
        if self.packs.len() == self.packs.capacity() {
            // In small steps: a row that is doubled is half empty.
            self.packs.reserve_exact((self.packs.len() / 8).max(2));
        }
    }

    /// Inserts before the place `within` of a chunk; `within` may be its length.
    fn insert(&mut self, number: usize, within: usize, element: &[u8], limit: ChunkLimit) {
        let limit = limit.of_chunk();
        self.len += 1;
        let chunk = &mut self.packs[number];
        if !limit.has_room(chunk, element) && chunk.len() > 1 && within > 0 && within < chunk.len() {
            // Room is made by splitting the chunk where the element goes.
            let mut rest = chunk.clone();
            rest.remove_range(0, within);
            chunk.remove_range(within as isize, usize::MAX);
            self.packs.insert(number + 1, rest);
        }
        let chunk = &mut self.packs[number];
        if limit.has_room(chunk, element) {
            match chunk.at(within as isize) {
                Some(position) if within < chunk.len() => {
                    chunk.insert_before(position, element);
                }
                _ => chunk.push_back(element),
            }
            return;
        }
        let mut fresh = Listpack::new();
        fresh.push_back(element);
        self.packs.insert(number + usize::from(within > 0), fresh);
    }

    fn drop_if_empty(&mut self, number: usize) -> bool {
        let empty = self.packs[number].is_empty();
        if empty {
            self.packs.remove(number);
        }
        empty
    }
}

impl List {
    /// The name that Redis has for the form.
    pub fn encoding(&self) -> &'static str {
        match self {
            List::Packed(_) => "listpack",
            List::Chunks(_) => "quicklist",
        }
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        match self {
            List::Packed(pack) => pack.len(),
            List::Chunks(chunks) => chunks.len,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is one pack, which [`Self::make_room`] may have to change.
    #[inline]
    pub fn is_packed(&self) -> bool {
        matches!(self, List::Packed(_))
    }

    /// The packs, in order.
    pub fn packs(&self) -> impl Iterator<Item = &Listpack> {
        let (one, many) = match self {
            List::Packed(pack) => (Some(pack), None),
            List::Chunks(chunks) => (None, Some(chunks.packs.iter())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    /// Goes over to chunks if `len` more elements of together `bytes` bytes are too many for one pack.
    #[inline]
    pub fn make_room(&mut self, bytes: usize, len: usize, limit: ChunkLimit) {
        if let List::Packed(pack) = self
            && !limit.allows(pack.byte_len() + bytes, pack.len() + len)
        {
            self.go_over_to_chunks();
        }
    }

    #[cold]
    fn go_over_to_chunks(&mut self) {
        if let List::Packed(pack) = self {
            let pack = std::mem::take(pack);
            let len = pack.len();
            let packs = if len > 0 { VecDeque::from([pack]) } else { VecDeque::new() };
            *self = List::Chunks(Box::new(Chunks { packs, len }));
        }
    }

    /// Goes back to one pack where the list has become small.
    pub fn shrink(&mut self, limit: ChunkLimit) {
        if let List::Chunks(chunks) = self
            && chunks.packs.len() <= limit.half().bytes.div_ceil(CHUNK_BYTES) + 1
            && limit.half().allows(chunks.packs.iter().map(Listpack::byte_len).sum(), chunks.len)
        {
            let mut one = chunks.packs.pop_front().unwrap_or_default();
            for pack in &chunks.packs {
                pack.iter().for_each(|element| element.with(|text| one.push_back(text)));
            }
            one.shrink();
            *self = List::Packed(one);
        }
    }

    /// Adds an element at an end; [`Self::make_room`] has been asked.
    #[inline]
    pub fn push(&mut self, end: End, element: &[u8], limit: ChunkLimit) {
        match (self, end) {
            (List::Packed(pack), End::Front) => pack.push_front(element),
            (List::Packed(pack), End::Back) => pack.push_back(element),
            (List::Chunks(chunks), end) => chunks.push(end, element, limit),
        }
    }

    /// Takes the element at an end, after `read` has seen it.
    pub fn pop<R>(&mut self, end: End, read: impl FnOnce(Element<'_>) -> R) -> Option<R> {
        let take = |pack: &mut Listpack| match end {
            End::Front => pack.pop_front(read),
            End::Back => pack.pop_back(read),
        };
        match self {
            List::Packed(pack) => {
                let result = take(pack);
                pack.shrink();
                result
            }
            List::Chunks(chunks) => {
                let number = if end == End::Front { 0 } else { chunks.packs.len().checked_sub(1)? };
                let pack = chunks.packs.get_mut(number)?;
                let result = take(pack)?;
                pack.shrink_if_half();
                chunks.len -= 1;
                chunks.drop_if_empty(number);
                Some(result)
            }
        }
    }

    /// The pack and position of the element at `index`.
    fn seek(&self, index: usize) -> Option<(&Listpack, Position)> {
        let (pack, within) = match self {
            List::Packed(pack) => (pack, index),
            List::Chunks(chunks) => {
                let (number, within) = chunks.seek(index)?;
                (&chunks.packs[number], within)
            }
        };
        Some((pack, pack.at(isize::try_from(within).ok()?)?))
    }

    /// The element at `index`.
    pub fn get(&self, index: usize) -> Option<Element<'_>> {
        self.seek(index).map(|(pack, position)| pack.get(position))
    }

    /// Replaces the element at `index`, which must exist.
    pub fn set(&mut self, index: usize, element: &[u8], limit: ChunkLimit) {
        self.make_room(element.len(), 0, limit);
        match self {
            List::Packed(pack) => {
                if let Some(position) = pack.at(index as isize) {
                    pack.replace(position, element);
                }
            }
            List::Chunks(chunks) => {
                let Some((number, within)) = chunks.seek(index) else { return };
                let pack = &mut chunks.packs[number];
                let Some(position) = pack.at(within as isize) else { return };
                let bytes = pack.byte_len() + Listpack::entry_bytes(element);
                if pack.len() == 1 || limit.allows(bytes, pack.len()) {
                    pack.replace(position, element);
                } else {
                    pack.remove(position);
                    chunks.len -= 1;
                    chunks.insert(number, within, element, limit);
                }
            }
        }
    }

    /// Inserts before the element at `index`, or at the end.
    pub fn insert(&mut self, index: usize, element: &[u8], limit: ChunkLimit) {
        self.make_room(element.len(), 1, limit);
        match self {
            List::Packed(pack) => match pack.at(index as isize) {
                Some(position) => {
                    pack.insert_before(position, element);
                }
                None => pack.push_back(element),
            },
            List::Chunks(chunks) => match chunks.seek(index) {
                Some((number, within)) => chunks.insert(number, within, element, limit),
                None => chunks.push(End::Back, element, limit),
            },
        }
    }

    /// Shows the elements from `start` up to before `end` to `visit`, backwards if `reverse`, until it
    /// answers false.
    pub fn visit(&self, start: usize, end: usize, reverse: bool, mut visit: impl FnMut(Element<'_>) -> bool) {
        let end = end.min(self.len());
        let mut left = end.saturating_sub(start);
        if left == 0 {
            return;
        }
        let first = if reverse { end - 1 } else { start };
        let (skip, within) = match self {
            List::Packed(_) => (0, first),
            List::Chunks(chunks) => match chunks.seek(first) {
                Some(place) => place,
                None => return,
            },
        };
        let count = match self {
            List::Packed(_) => 1,
            List::Chunks(chunks) => chunks.packs.len(),
        };
        let pack_at = |number: usize| match self {
            List::Packed(pack) => pack,
            List::Chunks(chunks) => &chunks.packs[number],
        };
        let mut number = skip;
        let mut position = pack_at(number).at(within as isize);
        while let Some(at) = position {
            let pack = pack_at(number);
            if !visit(pack.get(at)) {
                return;
            }
            left -= 1;
            if left == 0 {
                return;
            }
            position = if reverse { pack.prev(at) } else { pack.next(at) };
            if position.is_none() {
                let next = if reverse { number.checked_sub(1) } else { Some(number + 1) };
                let Some(next) = next.filter(|next| *next < count) else { return };
                number = next;
                position = if reverse { pack_at(number).last() } else { pack_at(number).first() };
            }
        }
    }

    /// The index of the first element that equals `needle`.
    pub fn find(&self, needle: &[u8]) -> Option<usize> {
        let mut before = 0;
        for pack in self.packs() {
            if let Some(found) = pack.first().and_then(|first| pack.find(first, needle, 0)) {
                let (mut at, mut index) = (found, before);
                while let Some(previous) = pack.prev(at) {
                    (at, index) = (previous, index + 1);
                }
                return Some(index);
            }
            before += pack.len();
        }
        None
    }

    /// Removes the elements from `start` up to before `end`.
    pub fn remove_range(&mut self, start: usize, end: usize) {
        let end = end.min(self.len());
        let mut left = end.saturating_sub(start);
        match self {
            List::Packed(pack) => pack.remove_range(start as isize, left),
            List::Chunks(chunks) => {
                let Some((mut number, mut within)) = chunks.seek(start) else { return };
                chunks.len -= left;
                let mut whole = number..number;
                while left > 0 {
                    let pack = &mut chunks.packs[number];
                    let here = left.min(pack.len() - within);
                    if here == pack.len() {
                        if whole.is_empty() {
                            whole.start = number;
                        }
                        whole.end = number + 1;
                    } else {
                        pack.remove_range(within as isize, here);
                    }
                    left -= here;
                    (number, within) = (number + 1, 0);
                }
                chunks.packs.drain(whole);
            }
        }
    }

    /// Removes up to `most` elements that equal `needle`, from the back if `reverse`; returns how many.
    pub fn remove_equal(&mut self, needle: &[u8], most: usize, reverse: bool) -> usize {
        let mut removed = 0;
        match self {
            List::Packed(pack) => removed = remove_from_pack(pack, needle, most, reverse),
            List::Chunks(chunks) => {
                let mut number = if reverse { chunks.packs.len() } else { 0 };
                loop {
                    let next = if reverse { number.checked_sub(1) } else { Some(number) };
                    let Some(at) = next.filter(|at| *at < chunks.packs.len() && removed < most) else {
                        break;
                    };
                    removed += remove_from_pack(&mut chunks.packs[at], needle, most - removed, reverse);
                    let dropped = chunks.drop_if_empty(at);
                    number = if reverse || dropped { at } else { at + 1 };
                }
                chunks.len -= removed;
            }
        }
        removed
    }

    /// The bytes that it points to.
    pub fn memory_bytes(&self, samples: usize) -> usize {
        match self {
            List::Packed(pack) => pack.allocated_bytes(),
            List::Chunks(chunks) => {
                let some = samples.clamp(1, chunks.packs.len().max(1));
                let sampled: usize = chunks.packs.iter().take(some).map(Listpack::allocated_bytes).sum();
                size_of::<Chunks>()
                    + chunks.packs.capacity() * size_of::<Listpack>()
                    + sampled * chunks.packs.len() / some
            }
        }
    }
}

fn remove_from_pack(pack: &mut Listpack, needle: &[u8], most: usize, reverse: bool) -> usize {
    let mut removed = 0;
    let mut position = if reverse { pack.last() } else { pack.first() };
    while let Some(at) = position.filter(|_| removed < most) {
        if reverse {
            let previous = pack.prev(at);
            if pack.get(at) == *needle {
                pack.remove(at);
                removed += 1;
            }
            position = previous;
        } else {
            let Some(found) = pack.find(at, needle, 0) else { break };
            position = pack.remove(found);
            removed += 1;
        }
    }
    removed
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

        #[test]
        fn behaves_as_a_sequence(
            parameter in prop_oneof![Just(4_i64), Just(-1)],
            steps in proptest::collection::vec((0..9_u8, any::<u16>(), any::<u16>(), prop_oneof![
                "[0-9]{1,3}", "[a-b]", "x{900}", "y{5000}"
            ]), 1..60),
        ) {
            let limit = ChunkLimit::new(parameter);
            let (mut list, mut model): (List, Vec<Vec<u8>>) = Default::default();
            for (action, a, b, element) in steps {
                let element = element.into_bytes();
                let (a, b) = (usize::from(a) % (model.len() + 1), usize::from(b) % (model.len() + 1));
                match action {
                    0..=2 => {
                        let end = if action == 0 { End::Front } else { End::Back };
                        list.make_room(element.len(), 1, limit);
                        list.push(end, &element, limit);
                        model.insert(if action == 0 { 0 } else { model.len() }, element.clone());
                    }
                    3 => {
                        let popped = list.pop(End::Front, |element| element.to_vec());
                        prop_assert_eq!(popped, (!model.is_empty()).then(|| model.remove(0)));
                        list.shrink(limit);
                    }
                    4 => {
                        prop_assert_eq!(list.pop(End::Back, |element| element.to_vec()), model.pop());
                        list.shrink(limit);
                    }
                    5 if a < model.len() => {
                        list.set(a, &element, limit);
                        model[a] = element.clone();
                    }
                    6 => {
                        list.insert(a, &element, limit);
                        model.insert(a, element.clone());
                    }
                    7 => {
                        let (from, to) = (a.min(b), a.max(b).min(a.min(b) + 3));
                        list.remove_range(from, to);
                        model.drain(from..to);
                    }
                    _ => {
                        let most = b % 3 + 1;
                        let mut left = most;
                        let before = model.len();
                        let mut drop_equal = |other: &Vec<u8>| {
                            let gone = *other == element && left > 0;
                            left -= usize::from(gone);
                            !gone
                        };
                        if a % 2 == 0 {
                            model.retain(&mut drop_equal);
                        } else {
                            model.reverse();
                            model.retain(&mut drop_equal);
                            model.reverse();
                        }
                        prop_assert_eq!(list.remove_equal(&element, most, a % 2 == 1), before - model.len());
                    }
                }
                prop_assert_eq!(list.len(), model.len());
                prop_assert_eq!(list.find(&element), model.iter().position(|other| *other == element));
                prop_assert_eq!(list.get(a).map(|element| element.to_vec()), model.get(a).cloned());
                let (from, to) = (a.min(b).min(model.len()), a.max(b).min(model.len()));
                for reverse in [false, true] {
                    let mut seen = Vec::new();
                    list.visit(from, to, reverse, |element| { seen.push(element.to_vec()); true });
                    if reverse { seen.reverse(); }
                    prop_assert_eq!(&seen[..], &model[from..to]);
                }
                if let List::Chunks(chunks) = &list {
                    prop_assert!(chunks.packs.iter().all(|pack| !pack.is_empty()));
                }
            }
        }
    }
}
