//! The 24 access bits of an entry: who was used lately, and how often.
//!
//! ```text
//! bits  0..2   clock: a use adds one, the eviction hand takes one away
//! bits  2..24  with an LRU policy (or none): seconds of the last use, modulo 2^22 (48 days)
//!              with an LFU policy: bits 2..10 a logarithmic counter, bits 10..24 minutes of its last decay
//! ```

/// How access bits are kept, by the policy in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AccessMode {
    /// Whether bits 2..24 hold a frequency instead of a time.
    pub lfu: bool,
    /// How slowly the counter grows (`lfu-log-factor`).
    pub log_factor: u32,
    /// Minutes for the counter to lose one (`lfu-decay-time`); 0 means never.
    pub decay_minutes: u32,
}

impl Default for AccessMode {
    fn default() -> Self {
        AccessMode { lfu: false, log_factor: 10, decay_minutes: 1 }
    }
}

/// What a new key's frequency counter starts with, so that it is not the first to go.
const COUNTER_START: u32 = 5;
const SECONDS_MASK: u32 = (1 << 22) - 1;
const MINUTES_MASK: u32 = (1 << 14) - 1;
const CLOCK_MASK: u32 = 3;

impl AccessMode {
    /// The bits of a key that has just been made.
    pub fn fresh(self, now_ms: i64) -> u32 {
        if self.lfu { minutes(now_ms) << 10 | COUNTER_START << 2 } else { seconds(now_ms) << 2 }
    }

    /// The bits after a use. `random` is any uniformly random number.
    #[inline]
    pub fn used(self, bits: u32, now_ms: i64, random: impl FnOnce() -> u32) -> u32 {
        let clock = (bits & CLOCK_MASK).min(CLOCK_MASK - 1) + 1;
        if self.lfu {
            self.used_by_frequency(bits, clock, now_ms, random())
        } else {
            seconds(now_ms) << 2 | clock
        }
    }

    // Apart, so that the other way is short enough to be a part of every lookup.
    #[inline(never)]
    fn used_by_frequency(self, bits: u32, clock: u32, now_ms: i64, random: u32) -> u32 {
        let mut counter = self.frequency(bits, now_ms);
        if counter < 255 {
            let base = counter.saturating_sub(COUNTER_START);
            let chance = 1.0 / f64::from(base * self.log_factor + 1);
            if f64::from(random) < chance * f64::from(u32::MAX) {
                counter += 1;
            }
        }
        minutes(now_ms) << 10 | counter << 2 | clock
    }

    /// The bits of a key that was last used so many seconds ago.
    pub fn idle_for(self, seconds_idle: u32, now_ms: i64) -> u32 {
        if self.lfu {
            self.fresh(now_ms)
        } else {
            (seconds(now_ms).wrapping_sub(seconds_idle) & SECONDS_MASK) << 2
        }
    }

    /// The bits of a key with this logarithmic counter.
    pub fn used_often(self, counter: u8, now_ms: i64) -> u32 {
        if self.lfu { minutes(now_ms) << 10 | u32::from(counter) << 2 } else { self.fresh(now_ms) }
    }

    /// The logarithmic counter, less what it lost since it was last written.
    pub fn frequency(self, bits: u32, now_ms: i64) -> u32 {
        let counter = bits >> 2 & 0xFF;
        let elapsed = minutes(now_ms).wrapping_sub(bits >> 10) & MINUTES_MASK;
        match elapsed.checked_div(self.decay_minutes) {
            Some(periods) => counter.saturating_sub(periods),
            None => counter,
        }
    }

    /// Seconds since the last use, with an LRU policy.
    pub fn idle_seconds(self, bits: u32, now_ms: i64) -> u32 {
        seconds(now_ms).wrapping_sub(bits >> 2) & SECONDS_MASK
    }
}

/// The eviction hand passes: the bits with one use less, or `None` when there was none left.
pub fn pass_hand(bits: u32) -> Option<u32> {
    (bits & CLOCK_MASK > 0).then(|| bits - 1)
}

fn seconds(now_ms: i64) -> u32 {
    (now_ms / 1000) as u32 & SECONDS_MASK
}

fn minutes(now_ms: i64) -> u32 {
    (now_ms / 60_000) as u32 & MINUTES_MASK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_counts_seconds_since_the_last_use() {
        let mode = AccessMode::default();
        let bits = mode.used(mode.fresh(1_000_000), 5_000_000, || 0);
        assert_eq!(mode.idle_seconds(bits, 5_007_000), 7);
    }

    #[test]
    fn the_hand_needs_as_many_passes_as_there_were_uses_up_to_three() {
        let mode = AccessMode::default();
        let mut bits = (0..9).fold(mode.fresh(0), |bits, _| mode.used(bits, 0, || 0));
        for _ in 0..3 {
            bits = pass_hand(bits).expect("three passes");
        }
        assert_eq!(pass_hand(bits), None);
    }

    #[test]
    fn frequency_grows_with_use_and_decays_with_time() {
        let mode = AccessMode { lfu: true, log_factor: 10, decay_minutes: 1 };
        let bits = (0..3).fold(mode.fresh(0), |bits, _| mode.used(bits, 0, || 0));
        assert_eq!(mode.frequency(bits, 0), COUNTER_START + 3);
        assert_eq!(mode.frequency(bits, 120_000), COUNTER_START + 1);
    }
}
