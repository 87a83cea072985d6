//! Removes keys when they are due, on time, a bounded number at a time.

use super::access::is_due;
use super::{Change, Effect, Keyspace, Scratch};
use crate::config::NotifyFlags;
use crate::memory::{Entry, ShardState};
use crate::value::Typed;
use crate::value::hash::Hash;
use crate::value::journal::Edit;
use std::sync::atomic::Ordering::Relaxed;

/// How many items of a wheel are dealt with in one hold of a shard's lock.
const ITEMS_PER_LOCK: usize = 128;
/// How many fields of one hash are removed in one hold.
const FIELDS_PER_LOCK: usize = 1024;

impl Keyspace {
    /// Removes the keys that are due in every `of`-th shard from the `part`-th on, for at most about
    /// `budget` of them, fields of hashes included. Answers whether there may be more.
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
                    left -= self.expire_some(scratch, number, index, now_ms, most).min(left);
                }
            }
        }
        false
    }

    /// Deals with up to `most` items of one shard; returns how many, and the fields of hashes removed.
    fn expire_some(
        &self,
        scratch: &mut Scratch,
        number: usize,
        index: usize,
        now_ms: i64,
        most: usize,
    ) -> usize {
        let mut removed: Vec<(Entry, u64)> = Vec::new();
        let mut fields_removed: Vec<FieldsRemoved> = Vec::new();
        let mut lock = self.lock(number, index);
        let state = &mut *lock.guard;
        let Some(wheel) = state.wheel_mut() else { return 1 };
        let mut positions = wheel.take_due(now_ms, most);
        let items = positions.len();
        positions.sort_unstable();
        positions.dedup();
        let (mut due, mut field_due) = (Vec::new(), Vec::new());
        for position in positions {
            if !self.show_due(scratch, state, position, now_ms) {
                // On disk, and the disk has to be waited for: read meanwhile, it is looked at again soon.
                state.file_expiry(position, now_ms, now_ms);
            }
            due.clear();
            field_due.clear();
            let mut refile = Vec::new();
            for (_, entry) in state.table.iter_from(position).take_while(|(at, _)| *at == position) {
                match entry.expires_at_ms() {
                    Some(_) if is_due(&entry, now_ms) => due.push(entry.key().to_vec()),
                    Some(later) => refile.push(later),
                    None => {}
                }
                match entry.collection().and_then(Hash::of).and_then(Hash::next_deadline) {
                    Some(at) if at <= now_ms => field_due.push(entry.key().to_vec()),
                    Some(later) => refile.push(later),
                    None => {}
                }
            }
            for later in refile {
                state.file_expiry(position, later, now_ms);
            }
            for key in &field_due {
                if !due.contains(key) {
                    fields_removed.extend(self.remove_fields(scratch, state, position, key, now_ms));
                }
            }
            for key in &due {
                if let Some(entry) = state.table.remove(position, key) {
                    state.after_removal(position, &entry);
                    state.expires -= 1;
                    state.version += 1;
                    removed.push((entry, state.version));
                }
            }
        }
        // Under the lock, so that no EXEC can run between a removal and the news of it.
        for (entry, version) in &mut removed {
            scratch.counts.expired += 1;
            self.note_removed(scratch, number, entry);
            let effect = Effect {
                database: number,
                key: entry.key().into(),
                version: *version,
                change: Change::Delete,
                class: NotifyFlags::EXPIRED,
                event: "expired",
            };
            self.push_effect(scratch, effect);
        }
        let mut fields = 0;
        let mut garbage: Vec<Entry> = removed.into_iter().map(|(entry, _)| entry).collect();
        for FieldsRemoved { key, version, count, mut emptied } in fields_removed {
            fields += count;
            match &mut emptied {
                Some(entry) => self.note_removed(scratch, number, entry),
                None => self.note_dirty(scratch, number, self.hash(&key), &key, usize::MAX),
            }
            let effect = Effect {
                database: number,
                key,
                version,
                change: Change::Put,
                class: NotifyFlags::HASH,
                event: "hexpired",
            };
            self.push_effect(scratch, effect.clone());
            if let Some(entry) = emptied {
                let gone =
                    Effect { change: Change::Delete, class: NotifyFlags::GENERIC, event: "del", ..effect };
                self.push_effect(scratch, gone);
                garbage.push(entry);
            }
        }
        self.log_dirty(scratch, std::slice::from_mut(&mut lock), now_ms);
        drop(lock);
        self.read_wanted(scratch);
        garbage.into_iter().for_each(|entry| self.discard(scratch, entry));
        self.deliver(scratch);
        items.max(1) + fields
    }

    /// Removes the fields of a hash that are due, a bounded number; the wheel comes up again for the rest.
    fn remove_fields(
        &self,
        scratch: &mut Scratch,
        state: &mut ShardState,
        position: u32,
        key: &[u8],
        now_ms: i64,
    ) -> Option<FieldsRemoved> {
        let index = state.table.find(position, key)?;
        state.before_change(index);
        let place = state.table.at(index).place();
        let hash = state.table.at_mut(index).into_collection().and_then(Hash::of_mut)?;
        let mut hash = Edit::new(hash, self.journal(scratch, place));
        let removed = hash.remove_due(now_ms, FIELDS_PER_LOCK);
        let (next, is_empty) = (hash.next_deadline(), hash.is_empty());
        if removed == 0 {
            return None;
        }
        if let Some(next) = next {
            state.file_expiry(position, next, now_ms);
        }
        state.version += 1;
        let emptied = is_empty.then(|| state.table.remove_at(index));
        state.expires -= u32::from(emptied.as_ref().is_some_and(|entry| entry.expires_at_ms().is_some()));
        Some(FieldsRemoved { key: key.into(), version: state.version, count: removed, emptied })
    }
}

/// A hash that has lost fields.
struct FieldsRemoved {
    key: Box<[u8]>,
    version: u64,
    /// How many.
    count: usize,
    /// The entry, if no field was left.
    emptied: Option<Entry>,
}
