//! Whom to evict: a hand that walks over all shards of all databases, for every policy name of Redis.
//!
//! With `*-lru` the hand is a clock: a key that was used since the hand last came loses one use and stays
//! (at most three rounds), one that was not goes. It costs two bits of the entry's header and decides
//! across shards, which per-shard policies do not. With `*-lfu` the least frequently used of a window at
//! the hand goes, with `*-random` the key at a random position, with `volatile-ttl` the key that is due
//! soonest by the wheels. Simulated and replayed on real traces, the clock is ahead of Redis's sampled
//! LRU and LFU; the README's design section has the figures.

use super::access::{AccessMode, pass_hand};
use super::entry::Entry;
use super::shard::{Database, ShardState};
use super::slot::POSITION_BITS;

/// How many keys `volatile-ttl` chooses from.
const SOONEST_WINDOW: usize = 16;
/// How many keys are looked at in one hold of a shard's lock.
const LOOKS_PER_LOCK: usize = 256;
/// How many victims may be left where they are before the search ends.
const LEFT_MAX: usize = 32;
/// Rounds after which even the most used key must have gone.
const ROUNDS_MAX: usize = 5;

/// What decides between keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Not used since the hand last came.
    Clock,
    /// Least frequently used.
    Frequency,
    /// Chance.
    Random,
    /// Due soonest; only keys that expire.
    Soonest,
}

/// A rule for choosing victims.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// What decides.
    pub order: Order,
    /// Only keys that expire may go.
    pub volatile_only: bool,
    /// How frequency is kept.
    pub mode: AccessMode,
    /// How many keys `*-lfu` chooses from.
    pub window: usize,
}

/// The place of the hand.
#[derive(Default)]
pub struct Hand {
    database: usize,
    shard: usize,
    position: u32,
}

/// A key that was taken out, and the database it was in.
pub struct Victim {
    /// The database's number.
    pub database: usize,
    /// The entry; freed by whoever drops it.
    pub entry: Entry,
}

impl Hand {
    /// Finds one victim. `databases` are those in use with their numbers; `random` gives uniform numbers. `take`
    /// takes a victim, given as database, shard and index, out of its table, or leaves it there with `None`.
    /// `None` when no key may go, or several were left.
    pub fn evict<C>(
        &mut self,
        databases: &[(usize, &Database)],
        rule: Rule,
        now_ms: i64,
        context: &mut C,
        random: impl Fn(&mut C) -> u64,
        mut take: impl FnMut(&mut C, usize, &mut ShardState, usize) -> Option<Entry>,
    ) -> Option<Victim> {
        let shards: usize = databases.iter().map(|(_, database)| database.shards().len()).sum();
        match rule.order {
            Order::Random => {
                let mut pick = random(context) as usize % shards.max(1);
                for (number, database) in databases {
                    if pick < database.shards().len() {
                        (self.database, self.shard) = (*number, pick);
                        break;
                    }
                    pick -= database.shards().len();
                }
                self.position = random(context) as u32 & ((1 << POSITION_BITS) - 1);
            }
            Order::Soonest => self.turn_to_soonest(databases)?,
            Order::Clock | Order::Frequency => {}
        }
        let mut rarest = Rarest::default();
        let mut left = 0;
        let mut shards_left = if rule.order == Order::Frequency { shards + 1 } else { shards * ROUNDS_MAX };
        while shards_left > 0 && rarest.seen < rule.window {
            let index = databases.iter().position(|(number, _)| *number >= self.database).unwrap_or(0);
            let (number, database) = databases.get(index)?;
            if *number != self.database || self.shard >= database.shards().len() {
                let next = if *number == self.database { (index + 1) % databases.len() } else { index };
                (self.database, self.shard, self.position) = (databases[next].0, 0, 0);
                continue;
            }
            let mut state = database.shards()[self.shard].lock();
            let from = self.position;
            let found = if state.table.is_empty() || (rule.volatile_only && state.expires == 0) {
                Look::End
            } else {
                look(&mut state, from, rule, now_ms, &mut rarest, |state, index| {
                    take(context, *number, state, index)
                })
            };
            match found {
                Look::Victim(entry, next) => {
                    self.position = next;
                    return Some(Victim { database: *number, entry });
                }
                Look::Left(next) => {
                    rarest.settle_in(*number, self.shard);
                    self.position = next;
                    left += 1;
                    if left == LEFT_MAX {
                        return None;
                    }
                }
                Look::More(next) => {
                    rarest.settle_in(*number, self.shard);
                    self.position = next;
                }
                Look::End if rule.order == Order::Soonest => {
                    // What came up first there was gone: now another shard may come first.
                    drop(state);
                    self.turn_to_soonest(databases)?;
                    shards_left -= 1;
                }
                Look::End => {
                    rarest.settle_in(*number, self.shard);
                    // A random start may lie behind the only key: the shard is met again.
                    (self.shard, self.position) = (self.shard + 1, 0);
                    shards_left -= 1;
                }
            }
        }
        rarest.take(databases, |number, state, index| take(context, number, state, index))
    }

    /// Turns to the shard whose wheel comes up first. `None` where no key expires.
    fn turn_to_soonest(&mut self, databases: &[(usize, &Database)]) -> Option<()> {
        let soonest = databases
            .iter()
            .flat_map(|(number, database)| {
                database
                    .shards()
                    .iter()
                    .enumerate()
                    .map(move |(index, shard)| (shard.next_due_ms(), *number, index))
            })
            .min();
        let (_, number, index) = soonest.filter(|(due, ..)| *due < i64::MAX)?;
        (self.database, self.shard, self.position) = (number, index, 0);
        Some(())
    }
}

enum Look {
    Victim(Entry, u32),
    /// One was chosen and left where it is.
    Left(u32),
    More(u32),
    End,
}

/// The least frequently used key that was seen so far; a window may reach over several shards.
#[derive(Default)]
struct Rarest {
    seen: usize,
    frequency: u32,
    position: u32,
    key: Vec<u8>,
    /// Database and shard; `None` until the lock of the shard in which it was seen is released.
    place: Option<(usize, usize)>,
    found_here: bool,
}

impl Rarest {
    fn see(&mut self, frequency: u32, position: u32, entry: &Entry) {
        if self.seen == 0 || frequency < self.frequency {
            (self.frequency, self.position, self.found_here) = (frequency, position, true);
            self.key.clear();
            self.key.extend_from_slice(entry.key());
        }
        self.seen += 1;
    }

    fn settle_in(&mut self, database: usize, shard: usize) {
        if std::mem::take(&mut self.found_here) {
            self.place = Some((database, shard));
        }
    }

    /// Takes it out. The hand's own lock keeps other evictions away; a client that deleted it meanwhile
    /// made room itself.
    fn take(
        self,
        databases: &[(usize, &Database)],
        take: impl FnOnce(usize, &mut ShardState, usize) -> Option<Entry>,
    ) -> Option<Victim> {
        let (number, shard) = self.place?;
        let (_, database) = databases.iter().find(|(other, _)| *other == number)?;
        let mut state = database.shards()[shard].lock();
        let index = state.table.find(self.position, &self.key)?;
        Some(Victim { database: number, entry: take(number, &mut state, index)? })
    }
}

fn look(
    state: &mut ShardState,
    from: u32,
    rule: Rule,
    now_ms: i64,
    rarest: &mut Rarest,
    take: impl FnOnce(&mut ShardState, usize) -> Option<Entry>,
) -> Look {
    let may_go = |entry: &Entry| !rule.volatile_only || entry.expires_at_ms().is_some();
    let mut chosen: Option<(u32, Vec<u8>)> = None;
    let mut looks = 0;
    let mut next = None;
    if rule.order == Order::Soonest {
        chosen = soonest(state, now_ms);
    } else {
        state.table.visit_from(from, |position, entry| {
            looks += 1;
            if looks > LOOKS_PER_LOCK || (rule.order == Order::Frequency && rarest.seen == rule.window) {
                next = Some(position);
                return false;
            }
            if !may_go(entry) {
                return true;
            }
            let bits = entry.access_bits();
            match (rule.order, pass_hand(bits)) {
                (Order::Clock, Some(left)) => {
                    entry.set_access_bits(left);
                    true
                }
                (Order::Frequency, _) => {
                    rarest.see(rule.mode.frequency(bits, now_ms), position, entry);
                    true
                }
                _ => {
                    chosen = Some((position, entry.key().to_vec()));
                    next = Some(position);
                    false
                }
            }
        });
    }
    match (chosen, next) {
        (Some((position, key)), next) => match state.table.find(position, &key) {
            None => Look::End,
            Some(index) => match take(state, index) {
                Some(entry) => Look::Victim(entry, next.unwrap_or(1 << POSITION_BITS)),
                None => Look::Left(position + 1),
            },
        },
        (None, Some(next)) => Look::More(next),
        (None, None) => Look::End,
    }
}

/// Of the keys in the bucket that comes up first, the one that is due first; its item is dropped, as are
/// items of keys that are gone. `None` where those were all.
fn soonest(state: &mut ShardState, now_ms: i64) -> Option<(u32, Vec<u8>)> {
    let positions = state.wheel_mut()?.take_due(i64::MAX, SOONEST_WINDOW);
    let mut chosen: Option<(i64, u32, Vec<u8>)> = None;
    let mut others = Vec::new();
    for position in positions {
        for (at, entry) in state.table.iter_from(position).take_while(|(at, _)| *at == position) {
            let Some(due) = entry.expires_at_ms() else { continue };
            if chosen.as_ref().is_none_or(|(least, ..)| due < *least) {
                let passed_over = chosen.replace((due, at, entry.key().to_vec()));
                others.extend(passed_over.map(|(due, at, _)| (at, due)));
            } else {
                others.push((at, due));
            }
        }
    }
    for (position, due) in others {
        state.file_expiry(position, due, now_ms);
    }
    chosen.map(|(_, position, key)| (position, key))
}
