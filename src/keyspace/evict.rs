//! Keeps memory under `maxmemory`: before a command runs, victims leave until there is room.

use super::{Change, Effect, Keyspace, Scratch};
use crate::config::{NotifyFlags, Policy};
use crate::memory::eviction::{Order, Rule};
use crate::memory::usage;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// There is no room, and no key that may go.
#[derive(Debug, PartialEq, Eq)]
pub struct OutOfMemory;

/// How long one command may be kept waiting for victims to go; the rest goes with later commands.
const SLICE: Duration = Duration::from_micros(500);

impl Keyspace {
    fn rule(&self, policy: Policy) -> Option<Rule> {
        let (order, volatile_only) = match policy {
            Policy::NoEviction => return None,
            Policy::AllkeysLru => (Order::Clock, false),
            Policy::AllkeysLfu => (Order::Frequency, false),
            Policy::AllkeysRandom => (Order::Random, false),
            Policy::VolatileLru => (Order::Clock, true),
            Policy::VolatileLfu => (Order::Frequency, true),
            Policy::VolatileRandom => (Order::Random, true),
            Policy::VolatileTtl => (Order::Soonest, true),
        };
        Some(Rule { order, volatile_only, mode: self.access_mode() })
    }

    /// Evicts until memory is under `maxmemory` bytes, or for a bounded time. No lock may be held.
    pub fn make_room(
        &self,
        scratch: &mut Scratch,
        maxmemory: u64,
        policy: Policy,
        now_ms: i64,
    ) -> Result<(), OutOfMemory> {
        usage::publish();
        if usage::excess_bytes(maxmemory).is_none() || self.paused.load(Relaxed) {
            return Ok(());
        }
        let rule = self.rule(policy).ok_or(OutOfMemory)?;
        let databases = self.databases_in_use();
        let started = Instant::now();
        let mut evicted = 0_u32;
        let result = loop {
            let victim = self.hand.lock().evict(&databases, rule, now_ms, &mut || scratch.random());
            let Some(victim) = victim else { break Err(OutOfMemory) };
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
            drop(victim);
            usage::publish();
            if usage::excess_bytes(maxmemory).is_none() {
                break Ok(());
            }
            if evicted.is_multiple_of(16) && started.elapsed() > SLICE {
                break Ok(());
            }
        };
        self.deliver(scratch);
        result
    }
}
