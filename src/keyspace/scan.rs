//! What concerns whole databases: SCAN, KEYS, RANDOMKEY, FLUSHDB, SWAPDB.
//!
//! A SCAN cursor is a position in hash order, `shard << 20 | position`; nothing is kept on the server.
//! Every table is in hash order whatever its size, so a key that is there throughout is returned, once
//! unless its shard's neighbours at the very position of the cursor are.

use super::access::is_due;
use super::reclaim::Garbage;
use super::{Change, Effect, Keyspace, Scratch};
use crate::config::NotifyFlags;
use crate::memory::slot::POSITION_BITS;
use crate::memory::{Entry, ShardState};
use tokio::sync::oneshot;

impl Keyspace {
    /// Shows `visit` at least `count` entries from `cursor` on, where there are so many, and returns the
    /// next cursor; 0 when it is through. Keys that are due are not shown.
    pub fn scan(
        &self,
        database: usize,
        cursor: u64,
        count: usize,
        now_ms: i64,
        mut visit: impl FnMut(&Entry),
    ) -> u64 {
        let shards = self.database(database).shards();
        let mut from = (cursor & ((1 << POSITION_BITS) - 1)) as u32;
        let first = usize::try_from(cursor >> POSITION_BITS).unwrap_or(usize::MAX);
        let mut seen = 0;
        for (index, shard) in shards.iter().enumerate().skip(first) {
            let state = shard.lock();
            let mut last = None;
            for (position, entry) in state.table.iter_from(from) {
                if seen >= count && last != Some(position) {
                    return (index as u64) << POSITION_BITS | u64::from(position);
                }
                last = Some(position);
                seen += 1;
                if !is_due(&entry, now_ms) {
                    visit(&entry);
                }
            }
            from = 0;
            if seen >= count && index + 1 < shards.len() {
                return (index as u64 + 1) << POSITION_BITS;
            }
        }
        0
    }

    /// Some key that is not due, picked at random.
    pub fn random_key(&self, scratch: &mut Scratch, database: usize, now_ms: i64) -> Option<Vec<u8>> {
        let shards = self.database(database).shards();
        let first = scratch.random() as usize % shards.len();
        for step in 0..=shards.len() {
            let state = shards[(first + step) % shards.len()].lock();
            let from = if step == 0 { scratch.random() as u32 & ((1 << POSITION_BITS) - 1) } else { 0 };
            let mut live = state.table.iter_from(from).filter(|(_, entry)| !is_due(entry, now_ms));
            // Among few keys of one shard the gaps before them differ much: skip some at random.
            let skip = if state.table.len() < 32 && step > 0 {
                scratch.random() as usize % state.table.len().max(1)
            } else {
                0
            };
            if let Some((_, entry)) = live.nth(skip) {
                return Some(entry.key().to_vec());
            }
            let mut live = state.table.iter_from(from).filter(|(_, entry)| !is_due(entry, now_ms));
            if let Some((_, entry)) = live.next() {
                return Some(entry.key().to_vec());
            }
        }
        None
    }

    /// Empties a database at once; the memory is freed in the background, and the answer comes then.
    pub fn flush(&self, scratch: &mut Scratch, database: usize) -> oneshot::Receiver<()> {
        let mut locked = self.database(database).lock_all();
        let mut old = Vec::with_capacity(locked.len());
        let mut version = 0;
        for state in &mut locked {
            let mut next = ShardState::default();
            next.version = state.version + 1;
            version = version.max(next.version);
            old.push(std::mem::replace(&mut **state, next));
        }
        drop(locked);
        let effect = Effect {
            database,
            key: Box::default(),
            version,
            change: Change::Flush,
            class: NotifyFlags::GENERIC,
            event: "",
        };
        self.push_effect(scratch, effect);
        self.deliver(scratch);
        self.reclaimer().free(Garbage::Shards(old))
    }

    /// Exchanges two databases: nobody sees one without the other.
    pub fn swap(&self, scratch: &mut Scratch, one: usize, other: usize) {
        if one == other {
            return;
        }
        let (first, second) = (one.min(other), one.max(other));
        let (mut a, mut b) = (self.database(first).lock_all(), self.database(second).lock_all());
        for (a, b) in a.iter_mut().zip(&mut b) {
            std::mem::swap(&mut **a, &mut **b);
            let version = a.version.max(b.version) + 1;
            (a.version, b.version) = (version, version);
        }
        drop((a, b));
        for database in [first, second] {
            self.watchers.touch_database(database);
        }
        scratch.counts.changes += 1;
    }

    /// Keys, keys that expire, and bytes of slots and wheels of a database.
    pub fn sizes(&self, database: usize) -> (usize, usize, usize) {
        self.database(database).shards().iter().map(|shard| shard.lock()).fold((0, 0, 0), |sum, state| {
            (sum.0 + state.table.len(), sum.1 + state.expires as usize, sum.2 + state.overhead_bytes())
        })
    }

    /// The average time that keys which expire have left, in milliseconds, estimated from a sample.
    pub fn average_ttl_ms(&self, database: usize, now_ms: i64) -> i64 {
        const SAMPLES: i64 = 64;
        let (mut sum, mut count) = (0_i64, 0_i64);
        for shard in self.database(database).shards() {
            let state = shard.lock();
            if state.expires == 0 {
                continue;
            }
            let left = state.table.iter_from(0).filter_map(|(_, entry)| entry.expires_at_ms());
            for at in left.take((SAMPLES - count) as usize) {
                sum = sum.saturating_add((at - now_ms).max(0));
                count += 1;
            }
            if count == SAMPLES {
                break;
            }
        }
        sum.checked_div(count).unwrap_or(0)
    }
}
