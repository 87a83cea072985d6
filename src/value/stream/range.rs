//! Walks over the entries of a stream, in either direction.

use super::id::Id;
use super::node::{Entry, Master, Node};
use crate::value::listpack::Position;
use std::collections::VecDeque;

/// How many entries are looked at from the end of the last node, before it is read from its start.
const BACK_LOOK: usize = 8;

/// Entries from one ID to another.
#[derive(Clone, Debug)]
pub struct Range<'a> {
    nodes: &'a VecDeque<Node>,
    start: Id,
    end: Id,
    backward: bool,
    /// The node to look at; past the last when there is none.
    node: usize,
    /// The node's master entry, once the node is entered.
    master: Option<Master>,
    /// Forward, the entry to look at; backward, the one looked at last.
    at: Option<Position>,
}

impl<'a> Range<'a> {
    pub(super) fn forward(nodes: &'a VecDeque<Node>, start: Id, end: Id) -> Range<'a> {
        let after = nodes.partition_point(|node| node.id() <= start);
        let node = after.saturating_sub(1);
        let mut range = Range { nodes, start, end, backward: false, node, master: None, at: None };
        if after == nodes.len() && after > 0 {
            range.look_back();
        }
        range
    }

    pub(super) fn backward(nodes: &'a VecDeque<Node>, start: Id, end: Id) -> Range<'a> {
        let after = nodes.partition_point(|node| node.id() <= end);
        let node = after.checked_sub(1).unwrap_or(nodes.len());
        Range { nodes, start, end, backward: true, node, master: None, at: None }
    }

    /// Those who follow a stream ask for its last few entries: they are found from the end.
    fn look_back(&mut self) {
        let node = &self.nodes[self.node];
        let master = node.master();
        let mut place = None;
        for _ in 0..BACK_LOOK {
            let Some(before) = node.entry_before(place) else { break };
            if node.entry(&master, before).id < self.start {
                match place {
                    Some(_) => (self.master, self.at) = (Some(master), place),
                    None => self.node = self.nodes.len(),
                }
                return;
            }
            place = Some(before);
        }
    }

    /// The node and place of the first entry.
    pub(super) fn locate(mut self) -> Option<(usize, Position)> {
        loop {
            let (node, place, entry) = self.step()?;
            if entry.id >= self.start && !entry.deleted {
                return (entry.id <= self.end).then_some((node, place));
            }
        }
    }

    /// The next entry, deleted or not, in the range or not.
    #[inline]
    fn step(&mut self) -> Option<(usize, Position, Entry<'a>)> {
        loop {
            let index = self.node;
            let node = self.nodes.get(index)?;
            let entered = self.master.is_some();
            let master = *self.master.get_or_insert_with(|| node.master());
            let place = match (self.backward, entered) {
                (false, false) => master.first,
                (false, true) => self.at,
                (true, false) => node.entry_before(None),
                (true, true) => node.entry_before(self.at),
            };
            let Some(place) = place else {
                self.node =
                    if self.backward { index.checked_sub(1).unwrap_or(self.nodes.len()) } else { index + 1 };
                (self.master, self.at) = (None, None);
                continue;
            };
            let entry = node.entry(&master, place);
            self.at = if self.backward { Some(place) } else { entry.after() };
            return Some((index, place, entry));
        }
    }
}

impl<'a> Iterator for Range<'a> {
    type Item = Entry<'a>;

    #[inline]
    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            let (_, _, entry) = self.step()?;
            let (before, beyond) = match self.backward {
                false => (entry.id < self.start, entry.id > self.end),
                true => (entry.id > self.end, entry.id < self.start),
            };
            if beyond {
                self.node = self.nodes.len();
                return None;
            }
            if !before && !entry.deleted {
                return Some(entry);
            }
        }
    }
}
