//! How much memory is in use, and how much of it counts against `maxmemory`.
//!
//! Two figures, both measured, neither a sum kept by hand that could drift:
//!
//! - *allocated*: the allocator counts for each thread what it allocated and freed. A thread publishes
//!   its own difference after each batch of requests, so the total is at most a batch old.
//! - *overhead*: anonymous resident memory beyond that (fragmentation, freed pages not yet given back),
//!   above what the process had at its start. Sampled ten times a second by [`sample`].

use std::cell::Cell;
use std::ffi::CStr;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use tikv_jemalloc_ctl::{epoch, stats, thread};

/// The published differences of all threads.
static PUBLISHED: AtomicI64 = AtomicI64::new(0);
/// What threads allocated without publishing, found by [`sample`].
static UNPUBLISHED: AtomicI64 = AtomicI64::new(0);
/// From such a change on a thread is taken to have kept it back for so long that [`sample`] has found it.
const LATE_BYTES_MIN: i64 = 1 << 20;
/// Resident bytes beyond the allocated ones and beyond [`BASELINE`].
static OVERHEAD: AtomicI64 = AtomicI64::new(0);
/// Anonymous resident bytes beyond the allocated ones at the start.
static BASELINE: AtomicI64 = AtomicI64::new(0);
/// The overhead that is nobody's fault.
const OVERHEAD_FREE_BYTES: i64 = 16 << 20;

/// Allocated bytes at the start.
static STARTUP: AtomicI64 = AtomicI64::new(0);
/// The largest total that [`sample`] saw.
static PEAK: AtomicI64 = AtomicI64::new(0);

/// Read by the allocator at its start: freed pages go back to the kernel after a second instead of ten.
// SAFETY: the allocator looks for this symbol and reads it as a pointer to a C string, which it is.
#[unsafe(export_name = "_rjem_malloc_conf")]
pub static ALLOCATOR_SETTINGS: &[u8; 39] = b"dirty_decay_ms:1000,muzzy_decay_ms:100\0";

struct ThreadCounters {
    allocated: thread::ThreadLocal<u64>,
    freed: thread::ThreadLocal<u64>,
    published: Cell<i64>,
}

thread_local! {
    static COUNTERS: Option<ThreadCounters> = {
        let allocated = thread::allocatedp::read().ok();
        let freed = thread::deallocatedp::read().ok();
        allocated.zip(freed).map(|(allocated, freed)| ThreadCounters { allocated, freed, published: Cell::new(0) })
    };
}

/// Takes off what [`sample`] found what is published now: a command that took long had not published it then. It would count
/// twice up to the next sample, and as many keys would have to go.
#[cold]
fn forget_found(change: i64) {
    let mut found = UNPUBLISHED.load(Relaxed);
    while let Err(other) =
        UNPUBLISHED.compare_exchange_weak(found, left_of_found(found, change), Relaxed, Relaxed)
    {
        found = other;
    }
}

/// What is still unpublished of what was found, once a change is published: it may be a part of that or not, and never turns
/// the one sign into the other.
fn left_of_found(found: i64, change: i64) -> i64 {
    if change > 0 { (found - change).max(found.min(0)) } else { (found - change).min(found.max(0)) }
}

/// Adds what this thread allocated and freed since the last call to the total.
pub fn publish() {
    COUNTERS.with(|counters| {
        if let Some(counters) = counters {
            let now = counters.allocated.get() as i64 - counters.freed.get() as i64;
            let change = now - counters.published.replace(now);
            if change != 0 {
                PUBLISHED.fetch_add(change, Relaxed);
                if change.abs() >= LATE_BYTES_MIN {
                    forget_found(change);
                }
            }
        }
    });
}

/// Allocated bytes of the process.
pub fn allocated_bytes() -> usize {
    (PUBLISHED.load(Relaxed) + UNPUBLISHED.load(Relaxed)).max(0) as usize
}

/// The largest figure of [`allocated_bytes`] that was sampled.
pub fn peak_bytes() -> usize {
    (PEAK.load(Relaxed).max(0) as usize).max(allocated_bytes())
}

/// How many bytes too much there are for `maxmemory`; `None` where there is room.
///
/// What was allocated at the start does not count: no key's going would bring it back, and a limit of a
/// megabyte would be used up by it. The overhead counts beyond [`OVERHEAD_FREE_BYTES`], so that a small limit
/// is not used up by buffers and pages on their way back, and for at most half of `maxmemory`: giving up still
/// more keys would not bring pages back that other keys hold on to.
pub fn excess_bytes(maxmemory: u64) -> Option<usize> {
    let overhead = (OVERHEAD.load(Relaxed) - OVERHEAD_FREE_BYTES).max(0) as u64;
    let overhead = overhead.min(maxmemory / 2);
    let used = allocated_bytes().saturating_sub(startup_bytes()) as u64 + overhead;
    (used > maxmemory).then(|| (used - maxmemory) as usize)
}

/// Whether what is allocated is within `maxmemory`: what is too much is pages on their way back to the kernel.
pub fn is_excess_overhead(maxmemory: u64) -> bool {
    allocated_bytes().saturating_sub(startup_bytes()) as u64 <= maxmemory
}

/// A line of /proc/self/status that holds KiB, in bytes.
fn status_bytes(field: &str) -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with(field))?;
    line.split_ascii_whitespace().nth(1)?.parse::<usize>().ok().map(|kib| kib * 1024)
}

/// Resident bytes of the process, without those of mapped files.
pub fn resident_bytes() -> usize {
    status_bytes("RssAnon:").unwrap_or(0)
}

/// Bytes of mapped files that are resident: the kernel's cache, which it takes back when it likes.
pub fn mapped_bytes() -> usize {
    status_bytes("RssFile:").unwrap_or(0)
}

/// What the allocator says of itself, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllocatorStats {
    /// In live allocations.
    pub allocated: usize,
    /// In pages that hold live allocations.
    pub active: usize,
    /// In all resident pages.
    pub resident: usize,
}

/// Asks the allocator.
pub fn allocator_stats() -> AllocatorStats {
    // Errors mean an allocator built without statistics: all zero then.
    let _ = epoch::advance();
    AllocatorStats {
        allocated: stats::allocated::read().unwrap_or(0),
        active: stats::active::read().unwrap_or(0),
        resident: stats::resident::read().unwrap_or(0),
    }
}

/// What was allocated when the server had started.
pub fn startup_bytes() -> usize {
    STARTUP.load(Relaxed).max(0) as usize
}

/// The allocator's own report for people.
pub fn allocator_report() -> Vec<u8> {
    let mut report = Vec::new();
    match tikv_jemalloc_ctl::stats_print::stats_print(&mut report, Default::default()) {
        Ok(()) => report,
        Err(error) => format!("the allocator has no report: {error}\n").into_bytes(),
    }
}

/// Notes what the process has before there is any data; called once, at the start.
pub fn note_start() {
    publish();
    let anonymous = status_bytes("RssAnon:").unwrap_or(0) as i64;
    let allocated = allocator_stats().allocated as i64;
    UNPUBLISHED.store(allocated - PUBLISHED.load(Relaxed), Relaxed);
    STARTUP.store(allocated, Relaxed);
    BASELINE.store((anonymous - allocated).max(0), Relaxed);
}

/// Measures again. Gives freed pages back when they are many for this `maxmemory` (0: not bounded).
pub fn sample(maxmemory: u64) {
    publish();
    let published = PUBLISHED.load(Relaxed);
    let allocated = allocator_stats().allocated as i64;
    UNPUBLISHED.store(allocated - published, Relaxed);
    PEAK.fetch_max(allocated, Relaxed);
    let overhead = || {
        let anonymous = status_bytes("RssAnon:").unwrap_or(0) as i64;
        anonymous - allocated - BASELINE.load(Relaxed)
    };
    // Ticks the decay of freed pages, which the allocator itself only does while it is used.
    let _ = call(c"arena.4096.decay");
    let mut beyond = overhead();
    if maxmemory > 0 && beyond > maxmemory as i64 / 16 + OVERHEAD_FREE_BYTES / 2 {
        purge();
        beyond = overhead();
    }
    OVERHEAD.store(beyond, Relaxed);
}

/// Gives all freed pages back to the kernel.
pub fn purge() {
    // 4096 is MALLCTL_ARENAS_ALL. An error leaves the pages to decay by themselves.
    let _ = call(c"arena.4096.purge");
}

/// Calls one of the allocator's controls that have neither input nor output; answers whether it ran.
fn call(name: &CStr) -> bool {
    let (nothing, no_len) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: the name is a C string, and a control of this kind takes only null pointers.
    unsafe { tikv_jemalloc_sys::mallctl(name.as_ptr(), nothing, no_len, nothing, 0) == 0 }
}

#[cfg(all(test, not(strata_system_allocator)))]
mod tests {
    use super::*;

    /// Whether an allocation and its end are seen.
    fn a_large_allocation_is_seen() -> bool {
        publish();
        let before = allocated_bytes();
        let held = vec![1_u8; 256 << 20];
        publish();
        let with_it = allocated_bytes();
        drop(held);
        assert!(call(c"arena.4096.purge") && call(c"arena.4096.decay"), "the allocator knows these controls");
        publish();
        with_it >= before + (200 << 20) && allocated_bytes() < before + (100 << 20)
    }

    /// What a long command had allocated by the time of a sample was counted again when the command ended, until the next
    /// sample: everything was sent to disk for it, and then writes were refused, for there was nothing left to send.
    #[test]
    fn what_was_found_and_is_published_counts_once() {
        for (found, change, left) in [
            (50, 60, 0),
            (60, 50, 10),
            (-50, 60, -50),
            (0, 60, 0),
            (-50, -60, 0),
            (-60, -50, -10),
            (50, -60, 50),
            (0, -60, 0),
        ] {
            assert_eq!(left_of_found(found, change), left, "{found} {change}");
        }
    }

    #[test]
    fn a_large_allocation_is_seen_once_published() {
        // Other tests allocate meanwhile, now and then as much as that.
        assert!((0..50).any(|_| a_large_allocation_is_seen()));
    }
}
