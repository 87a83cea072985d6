//! Keeps memory under `maxmemory`: before a command runs, victims leave until there is room.

use super::{Access, Change, Effect, Keyspace, Scratch};
use crate::config::{NotifyFlags, Policy, Settings};
use crate::memory::eviction::{Order, Rule};
use crate::memory::{ShardState, usage};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// There is no room, and no key that may go.
#[derive(Debug, PartialEq, Eq)]
pub struct OutOfMemory;

/// Looking at neighbours of the hand is cheap: for each of `maxmemory-samples` so many are looked at.
const LOOKS_PER_SAMPLE: usize = 3;

/// How long one command may be kept waiting for victims to go, by `maxmemory-eviction-tenacity`; the rest
/// goes with later commands. Redis's formula: 500 us at 10, 15% more with each step, no bound at 100.
fn slice(tenacity: u32) -> Duration {
    match tenacity {
        0..=10 => Duration::from_micros(50 * u64::from(tenacity)),
        11..100 => Duration::from_micros((500.0 * 1.15_f64.powi(tenacity as i32 - 10)) as u64),
        _ => Duration::MAX,
    }
}

impl Keyspace {
    fn rule(&self, settings: &Settings) -> Option<Rule> {
        let (order, volatile_only) = match settings.maxmemory_policy {
            Policy::NoEviction => return None,
            Policy::AllkeysLru => (Order::Clock, false),
            Policy::AllkeysLfu => (Order::Frequency, false),
            Policy::AllkeysRandom => (Order::Random, false),
            Policy::VolatileLru => (Order::Clock, true),
            Policy::VolatileLfu => (Order::Frequency, true),
            Policy::VolatileRandom => (Order::Random, true),
            Policy::VolatileTtl => (Order::Soonest, true),
        };
        let window = settings.maxmemory_samples as usize * LOOKS_PER_SAMPLE;
        Some(Rule { order, volatile_only, mode: self.access_mode(), window })
    }

    /// Evicts until memory is under `maxmemory` bytes, or for a bounded time. No lock may be held.
    pub fn make_room(
        &self,
        scratch: &mut Scratch,
        settings: &Settings,
        now_ms: i64,
    ) -> Result<(), OutOfMemory> {
        let maxmemory = settings.maxmemory;
        usage::publish();
        if usage::excess_bytes(maxmemory).is_none() || self.paused.load(Relaxed) {
            return Ok(());
        }
        if self.tier().is_some() {
            let made = self.demote(scratch, settings, now_ms);
            if made {
                return Ok(());
            }
        }
        let rule = self.rule(settings).ok_or(OutOfMemory)?;
        let databases = self.databases_in_use();
        let (started, slice) = (Instant::now(), slice(settings.maxmemory_eviction_tenacity));
        let mut evicted = 0_u32;
        let result = loop {
            let victim = self.hand.lock().evict(
                &databases,
                rule,
                now_ms,
                scratch,
                Scratch::random,
                |_, _, state, index| {
                    state.version += 1;
                    Some(state.take_out(index))
                },
            );
            let Some(mut victim) = victim else { break Err(OutOfMemory) };
            evicted += 1;
            scratch.counts.evicted += 1;
            let effect = Effect {
                database: victim.database,
                key: victim.entry.key().into(),
                version: 0,
                change: Change::Delete,
                class: NotifyFlags::EVICTED,
                event: "evicted",
            };
            self.push_effect(scratch, effect);
            self.log_eviction(scratch, victim.database, &mut victim.entry);
            self.discard(scratch, victim.entry);
            usage::publish();
            if usage::excess_bytes(maxmemory).is_none() {
                break Ok(());
            }
            if evicted.is_multiple_of(16) && started.elapsed() > slice {
                break Ok(());
            }
        };
        self.deliver(scratch);
        result
    }

    /// Lets values leave memory that are on disk, or are written there now, until there is room or for a bounded
    /// time. Answers whether any could.
    fn demote(&self, scratch: &mut Scratch, settings: &Settings, now_ms: i64) -> bool {
        let order = match settings.maxmemory_policy {
            Policy::AllkeysLfu | Policy::VolatileLfu => Order::Frequency,
            Policy::AllkeysRandom | Policy::VolatileRandom => Order::Random,
            _ => Order::Clock,
        };
        let window = settings.maxmemory_samples as usize * LOOKS_PER_SAMPLE;
        let rule = Rule { order, volatile_only: false, mode: self.access_mode(), window };
        let databases = self.databases_in_use();
        let (started, slice) = (Instant::now(), slice(settings.maxmemory_eviction_tenacity));
        let (mut left, mut fruitless) = (0_u32, 0);
        scratch.tier.awaits_disk = false;
        let may = loop {
            let before = scratch.written_out();
            let leave = |scratch: &mut Scratch, database: usize, state: &mut ShardState, index: usize| {
                self.leave_on_disk(scratch, state, database, index)
            };
            let victim = self.hand.lock().evict(&databases, rule, now_ms, scratch, Scratch::random, leave);
            match victim {
                Some(victim) => {
                    (left, fruitless) = (left + 1, 0);
                    self.discard(scratch, victim.entry);
                    usage::publish();
                    if usage::excess_bytes(settings.maxmemory).is_none() {
                        break true;
                    }
                }
                // What was written on the way can leave when the hand comes again.
                None if scratch.written_out() > before && scratch.commit().is_ok() => left += 1,
                // Others may be about to write what they hold.
                None if fruitless < 2 && scratch.commit().is_ok() => fruitless += 1,
                None => break left > 0,
            }
            // Later commands go on; but what has found nothing yet looks to the end, however slow it is.
            if left > 0 && started.elapsed() > slice {
                break true;
            }
        };
        self.deliver(scratch);
        may
    }
}

impl Access<'_> {
    /// Lets values leave memory for disk where there is too much, between the keys of a command that declares none.
    /// A transaction goes on above the limit: what it holds cannot be looked at.
    pub fn make_room(&mut self, settings: &Settings) -> Result<(), OutOfMemory> {
        if self.space.tier().is_none() || settings.maxmemory == 0 || !self.locks.is_empty() {
            return Ok(());
        }
        self.space.make_room(self.scratch, settings, self.now_ms)
    }
}
