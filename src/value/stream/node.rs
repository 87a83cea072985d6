//! A node of a stream: entries in the order of their IDs in one listpack, in Redis's own format, because
//! DUMP payloads carry it as it is.
//!
//! ```text
//! master entry   live, deleted, n, field 1 .. field n, 0
//! entry          flags, ms, seq, value 1 .. value n, pieces                     (with SAME_FIELDS)
//! entry          flags, ms, seq, m, field 1, value 1 .. field m, value m, pieces
//! ```
//!
//! `live` and `deleted` count the entries; `ms` and `seq` are what an ID has more than the node's; `pieces`
//! is the number of elements of the entry before it, to walk backwards by. What is deleted is only marked.

use super::id::Id;
use crate::value::listpack::{Element, Listpack, Position};

const DELETED: i64 = 1;
const SAME_FIELDS: i64 = 2;

/// When a node is full.
#[derive(Clone, Copy, Debug)]
pub struct NodeLimits {
    /// `stream-node-max-bytes`; 0 for as many as a listpack takes.
    pub bytes: usize,
    /// `stream-node-max-entries`; 0 for any number.
    pub entries: usize,
}

/// The most bytes of a node, and of an entry.
pub(super) const NODE_BYTES_MAX: usize = 1 << 30;

/// Entries in one listpack.
#[derive(Clone, Debug)]
pub struct Node {
    /// The ID that those of the entries are relative to: that of the first entry ever.
    master: Id,
    pack: Listpack,
}

/// The master entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Master {
    pub(super) live: i64,
    deleted: i64,
    /// How many fields it names.
    fields: usize,
    names: Option<Position>,
    /// The first entry.
    pub(super) first: Option<Position>,
}

/// The bytes are no node of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed;

/// An entry of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its ID.
    pub id: Id,
    pub(super) deleted: bool,
    fields: usize,
    pack: &'a Listpack,
    /// The names in the master entry, where they are the same.
    names: Option<Position>,
    /// The first value, or the first field and value.
    pairs: Option<Position>,
}

fn int(element: Element<'_>) -> i64 {
    element.as_int().unwrap_or(0)
}

impl Node {
    /// A node with its first entry.
    pub(super) fn new(id: Id, fields: &[&[u8]], capacity: usize) -> Node {
        let mut pack = Listpack::with_capacity(capacity);
        pack.append(|pack| {
            pack.push_int(0);
            pack.push_int(0);
            pack.push_int((fields.len() / 2) as i64);
            fields.iter().step_by(2).for_each(|name| pack.push(name));
            pack.push_int(0);
        });
        let mut node = Node { master: id, pack };
        node.append(id, fields);
        node
    }

    /// Takes a node from elsewhere, after a check of all that reading relies on.
    ///
    /// # Errors
    /// When the pack is no node.
    pub fn from_pack(master: Id, pack: Listpack) -> Result<Node, Malformed> {
        let node = Node { master, pack };
        node.check().ok_or(Malformed)?;
        Ok(node)
    }

    /// The ID that is its key.
    pub fn id(&self) -> Id {
        self.master
    }

    /// Its entries.
    pub fn pack(&self) -> &Listpack {
        &self.pack
    }

    pub(super) fn master(&self) -> Master {
        let empty = Master { live: 0, deleted: 0, fields: 0, names: None, first: None };
        let mut at = self.pack.first();
        let mut next = || {
            let here = at?;
            let (element, after) = self.pack.get_and_next(here);
            at = after;
            Some(int(element))
        };
        let (Some(live), Some(deleted), Some(fields)) = (next(), next(), next()) else { return empty };
        let fields = usize::try_from(fields).unwrap_or(0);
        let names = at;
        for _ in 0..=fields {
            at = at.and_then(|at| self.pack.next(at));
        }
        Master { live, deleted, fields, names, first: at }
    }

    /// Whether an entry of this size needs a new node.
    pub(super) fn is_full(&self, more: usize, limits: NodeLimits) -> bool {
        let bytes_max = match limits.bytes {
            1..=NODE_BYTES_MAX => limits.bytes,
            _ => NODE_BYTES_MAX,
        };
        if self.pack.byte_len() + more >= bytes_max {
            return true;
        }
        let mut counts = self.pack.iter().take(2).map(int);
        let entries = counts.next().unwrap_or(0) + counts.next().unwrap_or(0);
        limits.entries > 0 && entries as usize >= limits.entries
    }

    /// Gives back the memory that was kept for growth.
    pub(super) fn shrink(&mut self) {
        self.pack.shrink();
    }

    /// Adds an entry, whose ID is greater than all: fields and values by turns.
    pub(super) fn append(&mut self, id: Id, fields: &[&[u8]]) {
        let mut elements = self.pack.iter();
        let live = elements.next().map_or(0, int);
        let mut names = elements.skip(1);
        let count = fields.len() / 2;
        let same = names.next().map(int) == Some(count as i64)
            && fields.iter().step_by(2).zip(names).all(|(field, name)| name == **field);
        if let Some(first) = self.pack.first() {
            self.pack.replace_int(first, live + 1);
        }
        let (ms, seq) = (id.ms.wrapping_sub(self.master.ms), id.seq.wrapping_sub(self.master.seq));
        self.pack.append(|pack| {
            pack.push_int(if same { SAME_FIELDS } else { 0 });
            pack.push_int(ms as i64);
            pack.push_int(seq as i64);
            if same {
                fields.iter().skip(1).step_by(2).for_each(|value| pack.push(value));
                pack.push_int(count as i64 + 3);
            } else {
                pack.push_int(count as i64);
                fields.iter().for_each(|element| pack.push(element));
                pack.push_int(count as i64 * 2 + 4);
            }
        });
    }

    /// The entry at a place.
    #[inline]
    pub(super) fn entry(&self, master: &Master, at: Position) -> Entry<'_> {
        let (flags, at) = self.pack.get_and_next(at);
        let (ms, at) = at.map_or((Element::Int(0), None), |at| self.pack.get_and_next(at));
        let (seq, mut at) = at.map_or((Element::Int(0), None), |at| self.pack.get_and_next(at));
        let flags = int(flags);
        let (mut fields, mut names) = (master.fields, master.names);
        if flags & SAME_FIELDS == 0 {
            let (count, after) = at.map_or((Element::Int(0), None), |at| self.pack.get_and_next(at));
            fields = usize::try_from(int(count)).unwrap_or(0);
            names = None;
            at = after;
        }
        let id = Id {
            ms: self.master.ms.wrapping_add(int(ms) as u64),
            seq: self.master.seq.wrapping_add(int(seq) as u64),
        };
        Entry { id, deleted: flags & DELETED != 0, fields, pack: &self.pack, names, pairs: at }
    }

    /// The place of the entry before that at `at`; of the last one where there is no `at`.
    pub(super) fn entry_before(&self, at: Option<Position>) -> Option<Position> {
        let pieces_at = match at {
            Some(at) => self.pack.prev(at)?,
            None => self.pack.last()?,
        };
        let pieces = int(self.pack.get(pieces_at));
        if pieces <= 0 {
            return None;
        }
        let mut at = pieces_at;
        for _ in 0..pieces {
            at = self.pack.prev(at)?;
        }
        Some(at)
    }

    /// Marks the entries at these places as deleted, in ascending order; answers how many are left.
    pub(super) fn delete(&mut self, places: &[Position]) -> i64 {
        // A flag takes one byte before and after, so that no place moves.
        for at in places {
            let flags = int(self.pack.get(*at));
            self.pack.replace_int(*at, flags | DELETED);
        }
        let (count, master) = (places.len() as i64, self.master());
        let at = self.pack.first().map(|at| self.pack.replace_int(at, master.live - count));
        if let Some(at) = at.and_then(|at| self.pack.next(at)) {
            self.pack.replace_int(at, master.deleted + count);
        }
        master.live - count
    }

    fn check(&self) -> Option<()> {
        let mut elements = self.pack.iter();
        let mut next_int = || elements.next()?.as_int();
        let (live, deleted, fields) = (next_int()?, next_int()?, usize::try_from(next_int()?).ok()?);
        let len = self.pack.len();
        if live < 0 || deleted < 0 || fields > len {
            return None;
        }
        let mut elements = elements.skip(fields);
        if elements.next()?.as_int()? != 0 {
            return None;
        }
        let mut rest = elements.peekable();
        let (mut seen, mut seen_deleted, mut last) = (0, 0, None);
        while rest.peek().is_some() {
            let mut next_int = || rest.next()?.as_int();
            let (flags, ms, seq) = (next_int()?, next_int()?, next_int()?);
            let id = Id {
                ms: self.master.ms.wrapping_add(ms as u64),
                seq: self.master.seq.wrapping_add(seq as u64),
            };
            if last.is_some_and(|last| last >= id) || !(0..4).contains(&flags) {
                return None;
            }
            last = Some(id);
            let (skipped, pieces) = if flags & SAME_FIELDS != 0 {
                (fields, fields + 3)
            } else {
                let count = usize::try_from(next_int()?).ok().filter(|count| *count <= len)?;
                (count * 2, count * 2 + 4)
            };
            for _ in 0..skipped {
                rest.next()?;
            }
            if rest.next()?.as_int()? != pieces as i64 {
                return None;
            }
            seen += 1;
            seen_deleted += i64::from(flags & DELETED != 0);
        }
        (seen == live.checked_add(deleted)? && seen_deleted == deleted).then_some(())
    }
}

impl<'a> Entry<'a> {
    /// How many fields it has.
    pub fn len(&self) -> usize {
        self.fields
    }

    /// Whether it has no field.
    pub fn is_empty(&self) -> bool {
        self.fields == 0
    }

    /// Fields and values.
    pub fn pairs(&self) -> Pairs<'a> {
        Pairs { pack: self.pack, left: self.fields, names: self.names, at: self.pairs }
    }

    /// The place of the entry after it in its node.
    #[inline]
    pub(super) fn after(&self) -> Option<Position> {
        let mut at = self.pairs;
        let pieces = if self.names.is_some() || self.fields == 0 { self.fields } else { self.fields * 2 };
        for _ in 0..=pieces {
            at = self.pack.next(at?);
        }
        at
    }
}

/// The fields and values of an entry.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    pack: &'a Listpack,
    left: usize,
    names: Option<Position>,
    at: Option<Position>,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (Element<'a>, Element<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let field = match self.names {
            Some(at) => {
                let (field, next) = self.pack.get_and_next(at);
                self.names = next;
                field
            }
            None => {
                let (field, next) = self.pack.get_and_next(self.at?);
                self.at = next;
                field
            }
        };
        let (value, next) = self.pack.get_and_next(self.at?);
        self.at = next;
        Some((field, value))
    }
}
