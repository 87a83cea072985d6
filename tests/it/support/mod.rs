//! What every wire test stands on: a server process, a blocking client that keeps exact bytes, and one way to wait.
//!
//! It knows the protocol and the command line, nothing of Strata's code: the same tests run against any server that takes
//! Redis's arguments. `STRATA_TEST_SERVER=/path/to/redis-server` puts one in the place of strata.

pub mod random;
pub mod server;
pub mod wire;

pub use random::Random;
pub use server::{Server, strata_only};
pub use wire::{Client, Reply, Value, encode, show};

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a condition may take to become true before a test gives up on it.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Polls `condition` until it yields a value; panics with `what` when [`PATIENCE`] has run out.
pub fn eventually<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, condition).unwrap_or_else(|| panic!("still not so after {PATIENCE:?}: {what}"))
}

/// Polls `condition` until it yields a value or `limit` has passed.
pub fn within<T>(limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if Instant::now() > deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Raises a flag that threads of a test look at when it is dropped: also where the test fails.
pub struct StopAtEnd<'s>(pub &'s AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
