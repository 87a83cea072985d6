//! When the keys of a shard are due: hash positions filed by time.
//!
//! A bucket is a stretch of time and holds the 20-bit hash positions of the keys that expire in it, 4
//! bytes a key. Far buckets are wide and come up early, at their beginning; their keys are then filed
//! again into finer ones, until a key is in a bucket of at most [`FINEST_MS`] that comes up at its end.
//! The invariant: a key that expires at T has an item in a bucket that comes up at or before
//! T + [`FINEST_MS`]. So moving a deadline later needs no filing, and an item whose key is gone, or is
//! due later, costs one look when it comes up.

use std::collections::BTreeMap;

/// How long after its deadline a key may come up.
pub const FINEST_MS: i64 = 32;

/// Hash positions by the time at which they come up.
#[derive(Default)]
pub struct Wheel {
    buckets: BTreeMap<i64, Vec<u32>>,
}

/// When a deadline comes up, seen from `now_ms`.
fn comes_up_at(deadline_ms: i64, now_ms: i64) -> i64 {
    let ahead = deadline_ms.saturating_sub(now_ms);
    if ahead < FINEST_MS * 16 {
        return (deadline_ms.max(0) | (FINEST_MS - 1)).saturating_add(1);
    }
    // An eighth of the way, rounded down to a power of two, keeps the buckets few at every distance.
    let width = 1_i64 << (ahead / 8).ilog2();
    deadline_ms & !(width - 1)
}

impl Wheel {
    /// Files a key. Not needed where the key has an earlier item.
    pub fn file(&mut self, position: u32, deadline_ms: i64, now_ms: i64) {
        let bucket = self.buckets.entry(comes_up_at(deadline_ms, now_ms)).or_default();
        if bucket.len() == bucket.capacity() && bucket.len() >= 64 {
            // Keys that are set and deleted over and over leave items behind; growth is when to drop them.
            bucket.sort_unstable();
            bucket.dedup();
        }
        bucket.push(position);
    }

    /// When the first bucket comes up; `i64::MAX` for never.
    pub fn next_due_ms(&self) -> i64 {
        self.buckets.first_key_value().map_or(i64::MAX, |(at, _)| *at)
    }

    /// Takes up to `most` positions that have come up.
    pub fn take_due(&mut self, now_ms: i64, most: usize) -> Vec<u32> {
        let Some(mut first) = self.buckets.first_entry() else { return Vec::new() };
        if *first.key() > now_ms {
            return Vec::new();
        }
        let bucket = first.get_mut();
        if bucket.len() > most {
            return bucket.split_off(bucket.len() - most);
        }
        first.remove()
    }

    /// The positions of the bucket that comes up first: the keys that are due soonest.
    pub fn soonest(&self) -> &[u32] {
        self.buckets.first_key_value().map_or(&[], |(_, bucket)| bucket)
    }

    /// Drops the soonest bucket; its keys must have been dealt with.
    pub fn drop_soonest(&mut self) {
        self.buckets.pop_first();
    }

    /// All positions, by the time at which they come up.
    pub fn items(&self) -> impl Iterator<Item = (i64, &[u32])> {
        self.buckets.iter().map(|(at, positions)| (*at, &positions[..]))
    }

    /// The bytes of all buckets.
    pub fn bytes(&self) -> usize {
        self.buckets.values().map(|bucket| bucket.capacity() * 4 + 48).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn every_deadline_comes_up_within_the_finest_width(deadline in 1_000_000i64..100_000_000_000, start in 0i64..1_000_000) {
            let mut wheel = Wheel::default();
            wheel.file(7, deadline, start);
            let mut rounds = 0;
            loop {
                let now = wheel.next_due_ms().max(start);
                prop_assert!(now <= deadline + FINEST_MS, "late: {} for {}", now, deadline);
                prop_assert_eq!(wheel.take_due(now, 10), vec![7]);
                if now >= deadline {
                    break;
                }
                wheel.file(7, deadline, now);
                rounds += 1;
                prop_assert!(rounds < 64, "filed too often");
            }
        }
    }

    #[test]
    fn a_key_set_over_and_over_does_not_pile_up() {
        let mut wheel = Wheel::default();
        for _ in 0..100_000 {
            wheel.file(3, 10_000, 0);
        }
        assert!(wheel.bytes() < 4096);
    }
}
