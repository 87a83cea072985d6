//! A consumer group: how far it has read, who its consumers are, and what each has yet to acknowledge.

use super::id::Id;
use std::collections::{BTreeMap, BTreeSet};

/// A group of consumers.
#[derive(Clone, Debug)]
pub struct Group {
    /// The last entry that was delivered.
    pub last_id: Id,
    /// How many entries have been read up to there, if that can be known.
    pub entries_read: Option<i64>,
    /// What is delivered and not acknowledged.
    pending: BTreeMap<Id, Pending>,
    names: BTreeMap<Box<[u8]>, ConsumerId>,
    /// Consumers by their number; the places of deleted ones are used again.
    consumers: Vec<Option<Consumer>>,
}

/// A consumer's number within its group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConsumerId(u32);

/// A consumer.
#[derive(Clone, Debug)]
pub struct Consumer {
    /// Its name.
    pub name: Box<[u8]>,
    /// When it last asked, Unix milliseconds.
    pub seen_at_ms: i64,
    /// When it last got something, Unix milliseconds.
    pub active_at_ms: Option<i64>,
    /// What it has yet to acknowledge.
    pending: BTreeSet<Id>,
}

/// A delivery that is not acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    /// Who has it.
    pub consumer: ConsumerId,
    /// When it was last delivered, Unix milliseconds.
    pub delivered_at_ms: i64,
    /// How often it was.
    pub deliveries: u64,
}

impl Consumer {
    /// How much it has yet to acknowledge.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// The IDs that it has yet to acknowledge, from one on.
    pub fn pending_from(&self, start: Id) -> impl Iterator<Item = Id> + '_ {
        self.pending.range(start..).copied()
    }
}

impl Group {
    /// A group without consumers.
    pub fn new(last_id: Id, entries_read: Option<i64>) -> Group {
        Group {
            last_id,
            entries_read,
            pending: BTreeMap::new(),
            names: BTreeMap::new(),
            consumers: Vec::new(),
        }
    }

    /// The consumer of this name.
    pub fn find(&self, name: &[u8]) -> Option<ConsumerId> {
        self.names.get(name).copied()
    }

    /// A consumer.
    ///
    /// # Panics
    /// When it was deleted.
    pub fn consumer(&self, id: ConsumerId) -> &Consumer {
        self.consumers[id.0 as usize].as_ref().expect("a number is that of a consumer")
    }

    /// A consumer, to edit.
    ///
    /// # Panics
    /// When it was deleted.
    pub fn consumer_mut(&mut self, id: ConsumerId) -> &mut Consumer {
        self.consumers[id.0 as usize].as_mut().expect("a number is that of a consumer")
    }

    /// All consumers in the order of their names.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = &Consumer> {
        self.names.values().map(|id| self.consumer(*id))
    }

    /// Adds a consumer, whose name must be new.
    pub fn add_consumer(&mut self, name: &[u8], now_ms: i64) -> ConsumerId {
        let place = self.consumers.iter().position(Option::is_none).unwrap_or_else(|| {
            self.consumers.push(None);
            self.consumers.len() - 1
        });
        let id = ConsumerId(place as u32);
        self.consumers[place] = Some(Consumer {
            name: name.into(),
            seen_at_ms: now_ms,
            active_at_ms: None,
            pending: BTreeSet::new(),
        });
        self.names.insert(name.into(), id);
        id
    }

    /// Removes a consumer with all that it has yet to acknowledge; answers how much that was.
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let id = self.names.remove(name)?;
        let consumer = self.consumers[id.0 as usize].take()?;
        for id in &consumer.pending {
            self.pending.remove(id);
        }
        Some(consumer.pending.len())
    }

    /// How much is not acknowledged.
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// What is not acknowledged, from an ID on.
    pub fn pending_from(&self, start: Id) -> impl DoubleEndedIterator<Item = (Id, &Pending)> {
        self.pending.range(start..).map(|(id, pending)| (*id, pending))
    }

    /// The delivery of an entry.
    pub fn pending(&self, id: Id) -> Option<&Pending> {
        self.pending.get(&id)
    }

    /// Notes a delivery, in the place of an earlier one of the same entry.
    pub fn deliver(&mut self, id: Id, delivery: Pending) {
        let old = self.pending.insert(id, delivery);
        if let Some(old) = old.filter(|old| old.consumer != delivery.consumer) {
            self.consumer_mut(old.consumer).pending.remove(&id);
        }
        if old.is_none_or(|old| old.consumer != delivery.consumer) {
            self.consumer_mut(delivery.consumer).pending.insert(id);
        }
    }

    /// Forgets a delivery; answers whether there was one.
    pub fn acknowledge(&mut self, id: Id) -> bool {
        let Some(pending) = self.pending.remove(&id) else { return false };
        self.consumer_mut(pending.consumer).pending.remove(&id);
        true
    }

    /// The bytes that it points to, about.
    pub(super) fn memory_bytes(&self) -> usize {
        // A tree's nodes are about two thirds full.
        let pending = size_of::<(Id, Pending)>() + size_of::<Id>();
        let consumer = size_of::<Consumer>() + size_of::<(Box<[u8]>, ConsumerId)>() * 3 / 2;
        let names: usize = self.names.keys().map(|name| name.len() * 2).sum();
        self.pending.len() * pending * 3 / 2 + self.consumers.len() * consumer + names
    }
}
