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
