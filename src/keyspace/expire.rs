//! Removes keys when they are due, on time, a bounded number at a time.

use super::access::is_due;
use super::{Change, Effect, Keyspace, Scratch};
use crate::config::NotifyFlags;
use crate::memory::{Database, Entry};
use std::sync::atomic::Ordering::Relaxed;

/// How many items of a wheel are dealt with in one hold of a shard's lock.
const ITEMS_PER_LOCK: usize = 128;

impl Keyspace {
    /// Removes the keys that are due in every `of`-th shard from the `part`-th on, for at most about
    /// `budget` of them. Answers whether there may be more.
    pub fn expire_due(
        &self,
        scratch: &mut Scratch,
        part: usize,
        of: usize,
        now_ms: i64,
        budget: usize,
    ) -> bool {
        if self.active_expire_off.load(Relaxed) || self.paused.load(Relaxed) {
            return false;
        }
        let mut left = budget;
        for (number, database) in self.databases_in_use() {
            for (index, shard) in database.shards().iter().enumerate().skip(part).step_by(of) {
                while shard.next_due_ms() <= now_ms {
                    if left == 0 {
                        return true;
                    }
                    let most = ITEMS_PER_LOCK.min(left);
                    left -= self.expire_some(scratch, number, database, index, now_ms, most).min(left);
                }
            }
        }
        false
    }

    /// Deals with up to `most` items of one shard; returns how many.
    fn expire_some(
        &self,
        scratch: &mut Scratch,
        number: usize,
        database: &Database,
        index: usize,
        now_ms: i64,
        most: usize,
    ) -> usize {
        let mut removed: Vec<(Entry, u64)> = Vec::new();
        let mut state = database.shards()[index].lock();
        let Some(wheel) = state.wheel_mut() else { return 1 };
        let mut positions = wheel.take_due(now_ms, most);
        let items = positions.len();
        positions.sort_unstable();
        positions.dedup();
        let mut due = Vec::new();
        for position in positions {
            due.clear();
            let mut refile = Vec::new();
            for (_, entry) in state.table.iter_from(position).take_while(|(at, _)| *at == position) {
                match entry.expires_at_ms() {
                    Some(_) if is_due(&entry, now_ms) => due.push(entry.key().to_vec()),
                    Some(later) => refile.push(later),
                    None => {}
                }
            }
            for later in refile {
                state.file_expiry(position, later, now_ms);
            }
            for key in &due {
                if let Some(entry) = state.table.remove(position, key) {
                    state.expires -= 1;
                    state.version += 1;
                    removed.push((entry, state.version));
                }
            }
        }
        drop(state);
        for (entry, version) in removed {
            scratch.counts.expired += 1;
            let effect = Effect {
                database: number,
                key: entry.key().into(),
                version,
                change: Change::Delete,
                class: NotifyFlags::EXPIRED,
                event: "expired",
            };
            self.push_effect(scratch, effect);
            self.discard(scratch, entry);
        }
        self.deliver(scratch);
        items.max(1)
    }
}
