//! Room on disk: the bound of all segments, who waits for room, and the next segment, which is made before it is needed.

use super::files::SegmentFile;
use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// So many segments are left by ordinary writes, for those that free and for reclaiming. Of these the latter keeps one for
/// each of its two lanes: one for what is moved, and one for notes of what went.
pub const RESERVE_OF_WRITES: u64 = 4;
pub(super) const RESERVE_OF_RECLAIMING: u64 = 2;

/// A segment's file, of which nobody knows yet.
pub(super) struct Blank {
    pub(super) sequence: u64,
    pub(super) capacity: u64,
    pub(super) file: Box<dyn SegmentFile>,
}

/// The bound, and what is done to keep it.
pub(super) struct Room {
    size_max: AtomicU64,
    /// The bound for who frees or empties segments, which takes room before it gives any. It is above the other one while
    /// there is more than that allows, because it was lowered.
    ceiling: AtomicU64,
    /// Segments are being emptied: who finds no room should try again.
    making: AtomicBool,
    /// What `opened` was when it was last found that no segment is worth emptying, and how many bytes counted.
    found_none_at: AtomicU64,
    found_none_live: AtomicU64,
    /// Counts segments that were opened to be written, and what was wanted in vain.
    opened: Mutex<u64>,
    wake: Condvar,
    spare: Mutex<Option<Blank>>,
    wanted: Mutex<Option<Wanted>>,
}

/// Somebody found no room for so much.
struct Wanted {
    bytes: u64,
    since: Instant,
}

/// Who waits for room longer than this has given up.
const WANTED_FOR: Duration = Duration::from_secs(5);

impl Room {
    pub(super) fn new(size_max: u64) -> Room {
        Room {
            size_max: AtomicU64::new(size_max),
            ceiling: AtomicU64::new(size_max),
            making: AtomicBool::new(false),
            found_none_at: AtomicU64::new(0),
            found_none_live: AtomicU64::new(0),
            // Who has not looked yet has seen less.
            opened: Mutex::new(1),
            wake: Condvar::new(),
            spare: Mutex::new(None),
            wanted: Mutex::new(None),
        }
    }

    pub(super) fn size_max(&self) -> u64 {
        self.size_max.load(Relaxed)
    }

    /// Sets the bound; answers whether it is another one.
    pub(super) fn set_size_max(&self, bytes: u64) -> bool {
        self.size_max.swap(bytes, Relaxed) != bytes
    }

    /// What segments may take; `frees` for who makes room.
    pub(super) fn bound(&self, frees: bool) -> u64 {
        if frees { self.ceiling.load(Relaxed).max(self.size_max()) } else { self.size_max() }
    }

    /// Where there are more segments than the bound allows they may take so many bytes until they are fewer.
    pub(super) fn set_ceiling(&self, bytes: u64) {
        self.ceiling.store(bytes, Relaxed);
    }

    /// The same, but it is never raised.
    pub(super) fn lower_ceiling(&self, bytes: u64) {
        self.ceiling.fetch_min(bytes, Relaxed);
    }

    /// Grows with every segment that is opened to be written, and when room is wanted in vain.
    pub(super) fn opened(&self) -> u64 {
        *self.opened.lock()
    }

    pub(super) fn note_opened(&self, capacity: u64) {
        self.wanted.lock().take_if(|wanted| wanted.bytes <= capacity);
        *self.opened.lock() += 1;
        self.wake.notify_all();
    }

    /// Notes that there was no room for so much: who empties segments looks whether it can be made.
    pub(super) fn want(&self, bytes: u64) {
        let mut wanted = self.wanted.lock();
        if wanted.as_ref().is_none_or(|wanted| wanted.bytes < bytes) {
            *wanted = Some(Wanted { bytes, since: Instant::now() });
            // Nobody has looked for so much, also not who is just looking.
            *self.opened.lock() += 1;
            self.wake.notify_all();
        }
    }

    /// How much somebody waits for.
    pub(super) fn wanted(&self) -> u64 {
        let mut wanted = self.wanted.lock();
        wanted.take_if(|wanted| wanted.since.elapsed() > WANTED_FOR);
        wanted.as_ref().map_or(0, |wanted| wanted.bytes)
    }

    /// Waits until [`Self::opened`] is not `seen`, or for `limit`; answers what it is.
    pub(super) fn wait_for_opened(&self, seen: u64, limit: Duration) -> u64 {
        let mut opened = self.opened.lock();
        if *opened == seen {
            self.wake.wait_for(&mut opened, limit);
        }
        *opened
    }

    /// Ends all waiting.
    pub(super) fn wake(&self) {
        self.wake.notify_all();
    }

    /// Notes whether a segment is being emptied, or none is worth it, as was found when `opened` was this and so many bytes
    /// counted.
    pub(super) fn set_making(&self, making: bool, opened: u64, live: u64) {
        if !making {
            self.found_none_live.store(live, Relaxed);
            self.found_none_at.store(opened, Relaxed);
        }
        self.making.store(making, Relaxed);
    }

    /// Whether there may soon be room, where so many bytes count.
    pub(super) fn is_hopeful(&self, live: u64) -> bool {
        // Or nobody has looked since the last segment was opened.
        if self.making.load(Relaxed) || self.found_none_at.load(Relaxed) < self.opened() {
            return true;
        }
        let was_freed = live < self.found_none_live.load(Relaxed);
        if was_freed {
            self.look_again();
        }
        was_freed
    }

    /// What was found to be worth nothing is to be looked at again.
    pub(super) fn look_again(&self) {
        *self.opened.lock() += 1;
        self.wake.notify_all();
    }

    /// Takes the segment that was made ahead.
    pub(super) fn take_spare(&self) -> Option<Blank> {
        self.spare.lock().take()
    }

    pub(super) fn spare_bytes(&self) -> u64 {
        self.spare.lock().as_ref().map_or(0, |spare| spare.capacity)
    }

    pub(super) fn has_spare(&self) -> bool {
        self.spare.lock().is_some()
    }

    /// Keeps a segment; gives back the one that was kept.
    pub(super) fn keep_spare(&self, blank: Blank) -> Option<Blank> {
        self.spare.lock().replace(blank)
    }
}
