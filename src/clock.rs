//! Time: the wall clock for deadlines, the processor's counter for durations.

use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// Unix time in milliseconds.
pub fn now_ms() -> i64 {
    now_us() / 1000
}

/// Unix time in microseconds.
pub fn now_us() -> i64 {
    // A clock before 1970 is taken for 1970.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

static COUNTER: LazyLock<quanta::Clock> = LazyLock::new(quanta::Clock::new);

/// A reading of the processor's counter, cheap enough to take around every command.
#[inline]
pub fn ticks() -> u64 {
    COUNTER.raw()
}

/// The nanoseconds between two readings.
#[inline]
pub fn nanos_between(from: u64, to: u64) -> u64 {
    COUNTER.delta_as_nanos(from, to)
}

/// The wall clock, asked of the kernel once a millisecond and moved on by the processor's counter between.
/// A step of the wall clock is seen within that millisecond; the counter cannot drift by a microsecond in it.
#[derive(Default, Debug)]
pub struct WallClock {
    asked_at_ticks: u64,
    asked_at_us: i64,
}

impl WallClock {
    const ASK_AGAIN_NANOS: u64 = 1_000_000;

    /// Unix time in milliseconds at a reading of [`ticks`] that was just taken.
    #[inline]
    pub fn ms_at(&mut self, ticks: u64) -> i64 {
        let nanos = nanos_between(self.asked_at_ticks, ticks);
        if nanos < Self::ASK_AGAIN_NANOS && self.asked_at_us > 0 {
            return (self.asked_at_us + (nanos / 1000) as i64) / 1000;
        }
        (self.asked_at_us, self.asked_at_ticks) = (now_us(), ticks);
        self.asked_at_us / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_keeps_to_the_kernels_between_two_questions() {
        let mut wall = WallClock::default();
        let started = now_us();
        while now_us() < started + 20_000 {
            let before = now_us();
            let ms = wall.ms_at(ticks());
            // A little either way: the counter's reading and the kernel's are not taken at one instant.
            assert!(ms >= (before - 100) / 1000 && ms <= (now_us() + 100) / 1000, "{before} {ms}");
        }
    }
}
