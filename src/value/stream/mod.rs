//! Streams: entries in the order of their IDs, and groups of consumers that share them.
//!
//! ```text
//! Stream
//!   log      nodes (listpacks of up to 100 entries) in the order of their IDs, and what is known of all
//!            entries ever added
//!   groups   name -> Group: the last ID delivered, its consumers, what is not acknowledged
//! ```
//!
//! Entries are added at the end and trimmed at the front; one deleted in between is only marked, until its
//! node has no other.

mod group;
mod id;
mod node;
mod range;
#[cfg(test)]
mod tests;
mod trim;

pub use group::{Consumer, ConsumerId, Group, Pending};
pub use id::{Id, NewId};
pub use node::{Entry, Malformed, Node, NodeLimits};
pub use range::Range;
pub use trim::{Trim, TrimTo};

use super::prefetch::{prefetch_all, prefetch_ends};
use node::NODE_BYTES_MAX;
use std::collections::{BTreeMap, VecDeque};

/// Entries, and the groups that read them.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// The entries.
    pub log: Log,
    /// The groups in the order of their names.
    pub groups: BTreeMap<Box<[u8]>, Group>,
}

/// The entries of a stream.
#[derive(Clone, Debug, Default)]
pub struct Log {
    nodes: VecDeque<Node>,
    len: u64,
    first_id: Id,
    /// The last ID ever given, whether or not its entry is still there.
    pub last_id: Id,
    /// The greatest ID that was deleted (but not trimmed).
    pub max_deleted_id: Id,
    /// How many entries were ever added.
    pub entries_added: u64,
}

/// Why an entry cannot be added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// There is no greater ID.
    Exhausted,
    /// The ID is not greater than the last.
    NotGreater,
    /// The fields and values are too long.
    TooLarge,
}

impl Log {
    /// A log that comes from elsewhere; `None` where its parts do not fit together.
    pub fn from_nodes(
        nodes: Vec<Node>,
        len: u64,
        last_id: Id,
        max_deleted_id: Id,
        entries_added: u64,
    ) -> Option<Log> {
        if !nodes.is_sorted_by(|a, b| a.id() < b.id()) {
            return None;
        }
        let mut log =
            Log { nodes: nodes.into(), len, first_id: Id::MIN, last_id, max_deleted_id, entries_added };
        let (mut seen, mut first, mut last) = (0, None, None);
        for entry in log.range(Id::MIN, Id::MAX) {
            if last.is_some_and(|last| last >= entry.id) {
                return None;
            }
            first = first.or(Some(entry.id));
            last = Some(entry.id);
            seen += 1;
        }
        log.first_id = first.unwrap_or(Id::MIN);
        (seen == len && last.is_none_or(|last| last <= last_id)).then_some(log)
    }

    /// Asks the processor for the last node: at step 0 for where it is, then for its bytes.
    pub(super) fn prefetch(&self, step: usize) -> bool {
        match self.nodes.back() {
            Some(node) if step == 0 => prefetch_all(node),
            Some(node) => prefetch_ends(node.pack().as_bytes()),
            None => {}
        }
        step == 0
    }

    /// How many entries there are.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The ID of the first entry, 0-0 without one.
    pub fn first_id(&self) -> Id {
        self.first_id
    }

    /// The nodes, in order.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &Node> {
        self.nodes.iter()
    }

    /// The ID of a new entry.
    fn choose(&self, id: NewId, now_ms: i64) -> Result<Id, Refused> {
        let after_last = self.last_id.next().ok_or(Refused::Exhausted)?;
        let now_ms = u64::try_from(now_ms).unwrap_or(0);
        let chosen = match id {
            NewId::Auto if now_ms > self.last_id.ms => Id { ms: now_ms, seq: 0 },
            NewId::Auto => after_last,
            NewId::Millisecond(ms) if ms == self.last_id.ms && after_last.ms == ms => after_last,
            NewId::Millisecond(ms) => Id { ms, seq: 0 },
            NewId::Exact(id) => id,
        };
        if chosen > self.last_id { Ok(chosen) } else { Err(Refused::NotGreater) }
    }

    /// Adds an entry: fields and values by turns.
    ///
    /// # Errors
    /// When it cannot be added; nothing is changed then.
    pub fn add(
        &mut self,
        id: NewId,
        now_ms: i64,
        fields: &[&[u8]],
        limits: NodeLimits,
    ) -> Result<Id, Refused> {
        let id = self.choose(id, now_ms)?;
        let bytes = fields.iter().fold(0_usize, |sum, element| sum.saturating_add(element.len()));
        if bytes > NODE_BYTES_MAX {
            return Err(Refused::TooLarge);
        }
        match self.nodes.back_mut() {
            Some(node) if !node.is_full(bytes, limits) => node.append(id, fields),
            Some(node) => {
                node.shrink();
                // What has filled one node will fill another.
                let capacity = node.pack().byte_len().min(limits.bytes);
                if self.nodes.len() == self.nodes.capacity() {
                    // In small steps: a row that is doubled is half empty.
                    self.nodes.reserve_exact((self.nodes.len() / 16).max(2));
                }
                self.nodes.push_back(Node::new(id, fields, capacity));
            }
            None => self.nodes.push_back(Node::new(id, fields, 0)),
        }
        self.len += 1;
        // XSETID and RESTORE give any number.
        self.entries_added = self.entries_added.wrapping_add(1);
        self.last_id = id;
        if self.len == 1 {
            self.first_id = id;
        }
        Ok(id)
    }

    /// The entries from `start` to `end`.
    pub fn range(&self, start: Id, end: Id) -> Range<'_> {
        Range::forward(&self.nodes, start, end)
    }

    /// The entries from `end` back to `start`.
    pub fn range_back(&self, start: Id, end: Id) -> Range<'_> {
        Range::backward(&self.nodes, start, end)
    }

    /// The entry of an ID.
    pub fn get(&self, id: Id) -> Option<Entry<'_>> {
        self.range(id, id).next()
    }

    /// The ID of the last entry that is still there.
    pub fn last_entry_id(&self) -> Option<Id> {
        self.range_back(Id::MIN, Id::MAX).next().map(|entry| entry.id)
    }

    /// Deletes entries; answers how many there were.
    pub fn delete(&mut self, ids: &[Id]) -> usize {
        let (mut deleted, mut first) = (0, false);
        for id in ids {
            if !self.delete_one(*id) {
                continue;
            }
            deleted += 1;
            first |= *id == self.first_id;
            self.max_deleted_id = self.max_deleted_id.max(*id);
        }
        if self.len == 0 || first {
            self.find_first();
        }
        deleted
    }

    fn delete_one(&mut self, id: Id) -> bool {
        let Some((index, at)) = self.range(id, id).locate() else { return false };
        if self.nodes[index].delete(&[at]) == 0 {
            self.nodes.remove(index);
        }
        self.len -= 1;
        true
    }

    /// Brings the first ID up to date.
    fn find_first(&mut self) {
        self.first_id = self.range(Id::MIN, Id::MAX).next().map_or(Id::MIN, |entry| entry.id);
    }

    /// Whether an entry after `start` may have been deleted.
    pub fn has_gap_after(&self, start: Id) -> bool {
        !self.is_empty()
            && !self.max_deleted_id.is_zero()
            && self.first_id <= self.max_deleted_id
            && start <= self.max_deleted_id
    }

    /// How many entries were ever added up to an ID, where that can be told.
    pub fn entries_up_to(&self, id: Id) -> Option<i64> {
        let added = self.entries_added as i64;
        if self.entries_added == 0 {
            return Some(0);
        }
        if (self.is_empty() && id <= self.last_id) || id == self.last_id {
            return Some(added);
        }
        if id > self.last_id || (!self.max_deleted_id.is_zero() && self.max_deleted_id >= self.first_id) {
            return None;
        }
        let before_first = added - self.len as i64;
        match id.cmp(&self.first_id) {
            std::cmp::Ordering::Less => Some(before_first),
            std::cmp::Ordering::Equal => Some(before_first + 1),
            std::cmp::Ordering::Greater => None,
        }
    }

    /// How many entries a group has yet to read, where that can be told.
    pub fn lag(&self, group: &Group) -> Option<i64> {
        if self.entries_added == 0 {
            return Some(0);
        }
        let read = match group.entries_read {
            Some(read) if !self.has_gap_after(group.last_id) => read,
            _ => self.entries_up_to(group.last_id)?,
        };
        Some((self.entries_added as i64).wrapping_sub(read))
    }

    /// Moves a group on to an entry that it is given.
    pub fn note_read(&self, group: &mut Group, id: Id) {
        if id <= group.last_id {
            return;
        }
        match group.entries_read {
            Some(read) if !self.has_gap_after(id) => group.entries_read = Some(read.wrapping_add(1)),
            _ if self.entries_added > 0 => group.entries_read = self.entries_up_to(id),
            _ => {}
        }
        group.last_id = id;
    }

    /// How many nodes a radix tree of the nodes' IDs would have, which XINFO STREAM shows.
    pub fn radix_nodes(&self) -> usize {
        let key = |node: &Node| u128::from(node.id().ms) << 64 | u128::from(node.id().seq);
        let keys: Vec<u128> = self.nodes.iter().map(key).collect();
        if keys.is_empty() { 1 } else { radix_nodes(&keys, 0) }
    }

    /// The bytes that it points to, about: a part of the nodes stands for all.
    fn memory_bytes(&self, samples: usize) -> usize {
        let of_node = |node: &Node| size_of::<Node>() + node.pack().allocated_bytes();
        let sampled = samples.clamp(1, self.nodes.len().max(1));
        let bytes: usize = self.nodes.iter().take(sampled).map(of_node).sum();
        bytes * self.nodes.len() / sampled
    }
}

/// The nodes of a radix tree of sorted keys, below their first `depth` bytes, which are equal. Bytes that all
/// share are one node, the branch behind them is another, and each key ends in a leaf.
fn radix_nodes(keys: &[u128], depth: u32) -> usize {
    let (Some(first), Some(last)) = (keys.first(), keys.last()) else { return 0 };
    let shared = (first ^ last).leading_zeros() / 8;
    let run = usize::from(shared > depth);
    if shared == 16 {
        return run + 1;
    }
    let byte = |key: &u128| *key >> (120 - 8 * shared) & 0xFF;
    let children = keys.chunk_by(|a, b| byte(a) == byte(b)).map(|child| radix_nodes(child, shared + 1));
    run + 1 + children.sum::<usize>()
}

impl Stream {
    /// The bytes that it points to; of a large one an estimate from `samples` nodes.
    pub fn memory_bytes(&self, samples: usize) -> usize {
        let groups = self.groups.iter();
        let groups: usize =
            groups.map(|(name, group)| name.len() + size_of::<Group>() + group.memory_bytes()).sum();
        size_of::<Stream>() + self.log.memory_bytes(samples) + groups
    }
}
