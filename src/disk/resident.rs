//! Which pages of a segment the kernel had in its memory a moment ago: what lies in these is read from the map.
//!
//! A read from the map costs a few cache misses, which can be asked for ahead; a call and its copy are half of what a GET
//! of 1 KiB takes. But where the page is not in memory, a read from the map waits for the disk, and the worker with it. So
//! pages are believed to be there only when a call that does not wait has just read them, and are looked up anew every
//! second in which any are read: a page that has left since is one that nobody had read for long, for the kernel takes
//! those first.

use super::files::{PAGE_BYTES, let_go, pages_in_memory};
use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// For each record that was read so many pages may be looked up: that takes a third of what a read from the map saves.
const PAGES_PER_READ: u64 = 32;
/// So many may be saved up.
const CREDIT_PAGES_MAX: u64 = 1 << 22;
/// After so many looks in a row that found that nobody reads, the maps are let go.
const IDLE_LOOKS_MAX: u32 = 10;

/// A bit for each page, once one is set.
#[derive(Default)]
pub(super) struct SeenPages(OnceLock<Box<[AtomicU64]>>);

impl SeenPages {
    /// A call that does not wait has read these bytes of a segment of `capacity` bytes.
    pub(super) fn note(&self, bytes: Range<usize>, capacity: usize) {
        let words = self.0.get_or_init(|| {
            let words = capacity.div_ceil(PAGE_BYTES).div_ceil(64);
            (0..words).map(|_| AtomicU64::new(0)).collect()
        });
        for page in pages(bytes) {
            if let Some(word) = words.get(page / 64)
                && word.load(Relaxed) >> (page % 64) & 1 == 0
            {
                word.fetch_or(1 << (page % 64), Relaxed);
            }
        }
    }

    /// Whether all of these bytes are in pages that were in memory.
    pub(super) fn have(&self, bytes: Range<usize>) -> bool {
        let Some(words) = self.0.get() else { return false };
        pages(bytes)
            .all(|page| words.get(page / 64).is_some_and(|word| word.load(Relaxed) >> (page % 64) & 1 == 1))
    }

    /// Whether any page is believed to be in memory.
    pub(super) fn is_any(&self) -> bool {
        self.0.get().is_some_and(|words| words.iter().any(|word| word.load(Relaxed) != 0))
    }

    /// Forgets the pages that are no longer in memory; all of them, where that cannot be known.
    fn look_again(&self, map: &[u8]) {
        let Some(words) = self.0.get() else { return };
        let before: Vec<u64> = words.iter().map(|word| word.load(Relaxed)).collect();
        let now = pages_in_memory(map).unwrap_or_default();
        for (index, (word, before)) in words.iter().zip(before).enumerate() {
            let there = now.iter().skip(index * 64).take(64).enumerate();
            let there = there.fold(0, |bits, (page, is_there)| bits | u64::from(*is_there) << page);
            // What was noted meanwhile stays.
            if before & !there != 0 {
                word.fetch_and(!(before & !there), Relaxed);
            }
        }
    }

    /// Forgets all pages, and has the map no longer count as memory.
    fn forget(&self, map: &[u8]) {
        self.0.get().into_iter().flatten().for_each(|word| word.store(0, Relaxed));
        let_go(map);
    }
}

/// When pages are looked up.
#[derive(Default)]
pub(super) struct Looks {
    /// They were, not long ago.
    recent: AtomicBool,
    wanted: Mutex<bool>,
    wake: Condvar,
    spent: Mutex<Spent>,
}

/// What looking costs, against what it saves.
#[derive(Default)]
struct Spent {
    /// How many records had been read at the last look.
    reads: u64,
    credit_pages: u64,
    idle_looks: u32,
}

impl Looks {
    /// Whether what is noted of pages may be believed.
    #[inline]
    pub(super) fn are_recent(&self) -> bool {
        self.recent.load(Relaxed)
    }

    /// Somebody has read: has pages be looked up now, unless they were.
    #[inline]
    pub(super) fn want(&self) {
        if !self.are_recent() {
            self.wake();
        }
    }

    /// Ends [`Self::wait`].
    pub(super) fn wake(&self) {
        if !std::mem::replace(&mut *self.wanted.lock(), true) {
            self.wake.notify_one();
        }
    }

    /// Waits until somebody wants a look, or `limit` has passed.
    pub(super) fn wait(&self, limit: Duration) {
        let mut wanted = self.wanted.lock();
        if !*wanted {
            self.wake.wait_for(&mut wanted, limit);
        }
    }

    /// Looks up all pages that are believed to be in memory, as many as `reads`, of which there were so many so far, are
    /// worth; forgets the others.
    pub(super) fn look<'s>(&self, reads: u64, pages: impl Iterator<Item = (&'s SeenPages, &'s Bytes)>) {
        let mut spent = self.spent.lock();
        let new = reads.saturating_sub(std::mem::replace(&mut spent.reads, reads));
        if new == 0 {
            self.recent.store(false, Relaxed);
            spent.idle_looks += 1;
            if spent.idle_looks == IDLE_LOOKS_MAX {
                pages.for_each(|(seen, map)| seen.forget(map));
            }
        } else {
            spent.idle_looks = 0;
            spent.credit_pages = (spent.credit_pages + new * PAGES_PER_READ).min(CREDIT_PAGES_MAX);
            for (seen, map) in pages {
                match spent.credit_pages.checked_sub((map.len() / PAGE_BYTES) as u64) {
                    Some(rest) => {
                        seen.look_again(map);
                        spent.credit_pages = rest;
                    }
                    None => seen.forget(map),
                }
            }
            self.recent.store(true, Relaxed);
        }
        *self.wanted.lock() = false;
    }
}

/// The pages that bytes are in.
fn pages(bytes: Range<usize>) -> Range<usize> {
    bytes.start / PAGE_BYTES..bytes.end.div_ceil(PAGE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_seen_whole_and_forgotten_when_they_are_not_in_memory() {
        let seen = SeenPages::default();
        assert!(!seen.have(0..1) && !seen.is_any());
        seen.note(PAGE_BYTES * 63 + 100..PAGE_BYTES * 65, PAGE_BYTES * 70);
        assert!(seen.have(PAGE_BYTES * 63..PAGE_BYTES * 65) && seen.is_any());
        assert!(!seen.have(PAGE_BYTES * 63..PAGE_BYTES * 65 + 1));
        assert!(!seen.have(PAGE_BYTES * 62..PAGE_BYTES * 64));
        assert!(!seen.have(PAGE_BYTES * 100..PAGE_BYTES * 100 + 1));
        // Fresh memory has no page before it is written to.
        let mut map = memmap2::MmapMut::map_anon(PAGE_BYTES * 70).expect("memory");
        map[PAGE_BYTES * 64 + 5] = 1;
        seen.look_again(&map);
        assert!(seen.have(PAGE_BYTES * 64..PAGE_BYTES * 65));
        assert!(!seen.have(PAGE_BYTES * 63..PAGE_BYTES * 64));
        seen.forget(&map);
        assert!(!seen.is_any());
    }
}
