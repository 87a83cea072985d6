//! A write that finds no room in the log, or in memory, waits for some where there may be more soon.

use super::Error;
use super::engine::{Engine, Wait};
use crate::client::State;
use crate::clock;
use crate::keyspace::NotReady;
use crate::memory::usage;
use std::time::Duration;

/// How long a write waits before it looks for room on disk again.
const ROOM_EVERY: Duration = Duration::from_millis(2);
/// How long it waits: room that is being made may be taken by others, or be too little.
const ROOM_WAIT_NS: u64 = 5_000_000_000;
/// How long it waits for memory where nothing says that there will be more.
const MEMORY_WAIT_NS: u64 = 200_000_000;

/// For how long nobody waits so once somebody has in vain.
const IN_VAIN_NS: u64 = 1_000_000_000;

impl Engine {
    /// How long a write waits that finds no memory, if there may be more soon: values leave once the disk has what was
    /// written, or have left and are not freed yet, or are freed and their pages not given back; and the second tier's own
    /// buffers come and go.
    #[cold]
    pub(super) fn wait_for_memory(&mut self, state: &mut State) -> Option<Wait> {
        let tier = self.services.keyspace.tier()?;
        tier.store().want_sync();
        let is_freeing = self.services.keyspace.reclaimer().pending() > 0;
        let is_passing = self.scratch.awaits_disk() || usage::is_excess_overhead(self.settings.maxmemory);
        let longest = if is_passing || is_freeing {
            ROOM_WAIT_NS
        } else if self.waited_in_vain.is_some_and(|at| clock::nanos_between(at, self.ticks) < IN_VAIN_NS) {
            0
        } else {
            MEMORY_WAIT_NS
        };
        let since = *state.no_room_since.get_or_insert(self.ticks);
        if clock::nanos_between(since, self.ticks) < longest {
            return Some(Wait::Retry(ROOM_EVERY));
        }
        state.no_room_since = None;
        self.waited_in_vain = Some(self.ticks);
        None
    }

    /// What becomes of a write that cannot be logged: it waits for room, or is refused.
    #[cold]
    pub(super) fn without_room(&self, state: &mut State, why: NotReady) -> Result<Wait, Error> {
        let since = *state.no_room_since.get_or_insert(self.ticks);
        match why {
            NotReady::Yet(_) if clock::nanos_between(since, self.ticks) < ROOM_WAIT_NS => {
                Ok(Wait::Retry(ROOM_EVERY))
            }
            why => {
                state.no_room_since = None;
                Err(why.into())
            }
        }
    }
}
