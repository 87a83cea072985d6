//! What concerns whole databases: SCAN, KEYS, RANDOMKEY, FLUSHDB, SWAPDB.
//!
//! A SCAN cursor is a position in hash order, `shard << 20 | position`; nothing is kept on the server.
//! Every table is in hash order whatever its size, so a key that is there throughout is returned, once
//! unless its shard's neighbours at the very position of the cursor are.

use super::access::{Access, is_due};
use super::reclaim::Garbage;
use super::{Change, Effect, Keyspace, Scratch};
use crate::config::NotifyFlags;
use crate::memory::slot::POSITION_BITS;
use crate::memory::table::Held;
use crate::memory::{Entry, ShardState};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Once a scan has missed so many, it sees no more.
const MISSED_MAX: usize = 4096;

impl Access<'_> {
    /// Shows `visit` at least `count` entries from `cursor` on, where there are so many, and returns the
    /// next cursor; 0 when it is through. Keys that are due are not shown. What it misses (see [`Scratch::has_missed`]) is
    /// all that it would have seen, up to a bound.
    pub fn scan(&mut self, database: usize, cursor: u64, count: usize, mut visit: impl FnMut(&Entry)) -> u64 {
        let shards = self.space.database(database).shards().len();
        let now_ms = self.now_ms();
        let mut from = (cursor & ((1 << POSITION_BITS) - 1)) as u32;
        let first = usize::try_from(cursor >> POSITION_BITS).unwrap_or(usize::MAX);
        let mut seen = 0;
        let mut missed = std::mem::take(&mut self.scratch.tier.missed);
        let waits = self.waits();
        let mut next = 0;
        for index in first..shards {
            let stopped_at = self.with_shard(database, index, |state| {
                let mut last = None;
                for (position, held) in state.table.held_from(from) {
                    if (seen >= count || missed.len() >= MISSED_MAX) && last != Some(position) {
                        return Some(position);
                    }
                    last = Some(position);
                    seen += 1;
                    self.space.show(held, (!waits).then_some(&mut missed), |entry| {
                        if !is_due(entry, now_ms) {
                            visit(entry);
                        }
                    });
                }
                None
            });
            if let Some(position) = stopped_at {
                next = (index as u64) << POSITION_BITS | u64::from(position);
                break;
            }
            from = 0;
            if seen >= count && index + 1 < shards {
                next = (index as u64 + 1) << POSITION_BITS;
                break;
            }
        }
        self.scratch.tier.missed = missed;
        next
    }

    /// Some key that is not due, picked at random.
    pub fn random_key(&mut self, database: usize) -> Option<Vec<u8>> {
        let (shards, now_ms) = (self.space.database(database).shards().len(), self.now_ms());
        let mut random = self.random_source();
        let mut missed = std::mem::take(&mut self.scratch.tier.missed);
        let waits = self.waits();
        let mut picked = None;
        let first = random.next() as usize % shards;
        for step in 0..=shards {
            let from = if step == 0 { random.next() as u32 & ((1 << POSITION_BITS) - 1) } else { 0 };
            let found = self.with_shard(database, (first + step) % shards, |state| {
                // Among few keys of one shard the gaps before them differ much: skip some at random.
                let skip = if state.table.len() < 32 && step > 0 {
                    random.next() as usize % state.table.len().max(1)
                } else {
                    0
                };
                let mut live = |skip: usize| {
                    let mut left = skip;
                    for (_, held) in state.table.held_from(from) {
                        let name = |entry: &Entry| (!is_due(entry, now_ms)).then(|| entry.key().to_vec());
                        match self.space.show(held, (!waits).then_some(&mut missed), name).flatten() {
                            Some(name) if left == 0 => return Some(name),
                            Some(_) => left -= 1,
                            // It may be the one.
                            None if !missed.is_empty() => return None,
                            None => {}
                        }
                    }
                    None
                };
                live(skip).or_else(|| live(0))
            });
            if found.is_some() || !missed.is_empty() {
                picked = found;
                break;
            }
        }
        self.scratch.tier.missed = missed;
        picked
    }

    /// The number of keys of a database, those included that are due and not yet removed.
    pub fn len(&self, database: usize) -> usize {
        let shards = self.space.database(database).shards().len();
        (0..shards).map(|shard| self.with_shard(database, shard, |state| state.table.len())).sum()
    }

    /// The number of keys of a database whose value is on disk only.
    pub fn cold_len(&self, database: usize) -> usize {
        let shards = self.space.database(database).shards().len();
        (0..shards).map(|shard| self.with_shard(database, shard, |state| state.table.cold_len())).sum()
    }

    /// Locks all shards of a database, or finds them locked, and gives them to `edit` in order.
    fn with_all<R>(&mut self, database: usize, edit: impl FnOnce(&mut [&mut ShardState]) -> R) -> R {
        if let Some(first) = self.held(database, 0) {
            let shards = self.space.database(database).shards().len();
            let held = self.locks[first..].iter_mut().map(|lock| &mut *lock.guard);
            let mut states: Vec<_> = held.take(shards).collect();
            assert!(states.len() == shards, "a transaction that walks a database holds all of it");
            return edit(&mut states);
        }
        let mut guards = self.space.database(database).lock_all();
        let mut states: Vec<_> = guards.iter_mut().map(|guard| &mut **guard).collect();
        edit(&mut states)
    }

    /// Empties a database at once; the memory is freed in the background, and the answer comes then.
    pub fn flush(&mut self, database: usize) -> oneshot::Receiver<()> {
        let mut flushed = Scratch::default();
        let space = self.space;
        let watched = self.watched_keys(database);
        let locked = self.held(database, 0).is_some();
        let own = &mut flushed;
        std::mem::swap(&mut own.tier, &mut self.scratch.tier);
        let old = self.with_all(database, |states| {
            touch_existing(space, database, &watched, states);
            let mut old = Vec::with_capacity(states.len());
            let mut version = 0;
            for state in states.iter_mut() {
                let mut next = ShardState::default();
                next.version = state.version + 1;
                version = version.max(next.version);
                let state = std::mem::replace(&mut **state, next);
                match state.capture.as_ref().map(|capture| Arc::clone(capture.kept())) {
                    // A snapshot has yet to save it.
                    Some(kept) => kept.hand_over(state),
                    None => old.push(state),
                }
            }
            let effect = Effect {
                database,
                key: Box::default(),
                version,
                change: Change::Flush,
                class: NotifyFlags::GENERIC,
                event: "",
            };
            space.push_effect(own, effect);
            space.renew_space(own, &[database], false, locked);
            old
        });
        std::mem::swap(&mut flushed.tier, &mut self.scratch.tier);
        self.scratch.counts.changes += flushed.counts.changes;
        self.scratch.effects.append(&mut flushed.effects);
        let store = self.space.tier().map(|tier| std::sync::Arc::clone(tier.store()));
        self.space.reclaimer().free(Garbage::Shards(old, store))
    }

    fn watched_keys(&self, database: usize) -> Vec<Box<[u8]>> {
        if self.space.watchers.is_empty() { Vec::new() } else { self.space.watchers.keys_of(database) }
    }

    /// Exchanges two databases: nobody sees one without the other.
    pub fn swap(&mut self, one: usize, other: usize) {
        if one == other {
            return;
        }
        let (first, second) = (one.min(other), one.max(other));
        let held = self.held(first, 0).is_some();
        assert_eq!(held, self.held(second, 0).is_some(), "a transaction with SWAPDB holds every database");
        if held {
            // What the transaction has changed so far is logged under the numbers that it has now.
            self.settle_tier();
        }
        let space = self.space;
        let at = self.held(first, 0).zip(self.held(second, 0));
        let watched = [self.watched_keys(first), self.watched_keys(second)];
        let scratch = &mut *self.scratch;
        let mut exchange = |a: &mut [&mut ShardState], b: &mut [&mut ShardState]| {
            space.renew_space(scratch, &[first, second], true, held);
            // A key changes if it is in either of them.
            for (number, watched) in [first, second].into_iter().zip(&watched) {
                touch_existing(space, number, watched, a);
                touch_existing(space, number, watched, b);
            }
            for (a, b) in a.iter_mut().zip(b) {
                std::mem::swap(&mut **a, &mut **b);
                let version = a.version.max(b.version) + 1;
                (a.version, b.version) = (version, version);
            }
        };
        let shards = space.database(first).shards().len();
        if let Some((a, b)) = at {
            let (low, high) = self.locks.split_at_mut(b);
            let mut a: Vec<_> = low[a..a + shards].iter_mut().map(|lock| &mut *lock.guard).collect();
            let mut b: Vec<_> = high[..shards].iter_mut().map(|lock| &mut *lock.guard).collect();
            exchange(&mut a, &mut b);
        } else {
            let (mut a, mut b) = (space.database(first).lock_all(), space.database(second).lock_all());
            let mut a: Vec<_> = a.iter_mut().map(|guard| &mut **guard).collect();
            let mut b: Vec<_> = b.iter_mut().map(|guard| &mut **guard).collect();
            exchange(&mut a, &mut b);
        }
        for number in [first, second] {
            let ready = space.waiting.keys_of(number).into_iter().map(|key| (number, key));
            self.scratch.ready.extend(ready);
        }
        self.scratch.counts.changes += 1;
    }

    /// Keys, keys that expire, and bytes of slots and wheels of a database.
    pub fn sizes(&self, database: usize) -> (usize, usize, usize) {
        let shards = self.space.database(database).shards().len();
        (0..shards).fold((0, 0, 0), |sum, shard| {
            self.with_shard(database, shard, |state| {
                (sum.0 + state.table.len(), sum.1 + state.expires as usize, sum.2 + state.overhead_bytes())
            })
        })
    }

    /// The average time that keys which expire have left, in milliseconds, estimated from a sample.
    pub fn average_ttl_ms(&self, database: usize) -> i64 {
        const SAMPLES: i64 = 64;
        let (shards, now_ms) = (self.space.database(database).shards().len(), self.now_ms());
        let (mut sum, mut count) = (0_i64, 0_i64);
        for shard in 0..shards {
            self.with_shard(database, shard, |state| {
                if state.expires > 0 {
                    let left = state.table.iter_from(0).filter_map(|(_, entry)| entry.expires_at_ms());
                    for at in left.take((SAMPLES - count) as usize) {
                        sum = sum.saturating_add((at - now_ms).max(0));
                        count += 1;
                    }
                }
            });
            if count == SAMPLES {
                break;
            }
        }
        sum.checked_div(count).unwrap_or(0)
    }
}

/// Tells those who watch a key that a shard of `states` has.
fn touch_existing(space: &Keyspace, database: usize, watched: &[Box<[u8]>], states: &[&mut ShardState]) {
    for name in watched {
        let hash = space.hash(name);
        let shard = space.database(database).shard_index(hash);
        let table = &states[shard].table;
        let is_cold = || {
            let mut cold = table.cold_at(hash.position());
            let has = |entry: &Entry| entry.key() == &name[..];
            cold.any(|(_, bits)| space.show(Held::Cold(bits), None, has) == Some(true))
        };
        if table.find(hash.position(), name).is_some() || is_cold() {
            space.watchers.touch(database, name);
        }
    }
}
