//! One segment: a file of the log, how full it is, and how much of it counts.

use super::files::{Contents, SegmentFile};
use super::format::{RECORD_HEADER_BYTES, claimed_len};
use super::place::Location;
use super::resident::SeenPages;
use crate::value::prefetch::prefetch_lines;
use bytes::Bytes;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

/// Longer records are not worth the look at their pages.
const SEEN_BYTES_MAX: usize = 64 * 1024;
/// So much of a record is asked for ahead; the processor sees by then where the rest goes.
const PREFETCHED_BYTES: usize = 192;

/// One segment.
pub struct Segment {
    pub(super) index: usize,
    /// Grows with every segment that is made.
    pub sequence: u64,
    pub(super) file: Box<dyn SegmentFile>,
    /// Its length in bytes.
    pub capacity: u64,
    pub(super) written: AtomicU64,
    pub(super) synced: AtomicU64,
    /// Below 0 in two's complement while what was taken away is known and what was added is not.
    pub(super) live: AtomicU64,
    pub(super) sealed: AtomicBool,
    /// All of it as memory, once that was wanted; who has a part of it keeps the map.
    pub(super) map: OnceLock<Option<Bytes>>,
    /// What of it the kernel has in memory.
    pub(super) seen: SeenPages,
}

impl Segment {
    /// A segment of a file of `capacity` bytes, of which so many are written; whether they are synced is not known.
    pub(super) fn new(
        index: usize,
        sequence: u64,
        file: Box<dyn SegmentFile>,
        capacity: u64,
        written: u64,
        sealed: bool,
    ) -> Segment {
        Segment {
            index,
            sequence,
            file,
            capacity,
            written: AtomicU64::new(written),
            synced: AtomicU64::new(0),
            live: AtomicU64::new(0),
            sealed: AtomicBool::new(sealed),
            map: OnceLock::new(),
            seen: SeenPages::default(),
        }
    }

    /// All of it as memory, if that can be had.
    pub(super) fn map(&self) -> Option<&Bytes> {
        let map = self.map.get_or_init(|| {
            // Without one it is read.
            self.file.map().ok().flatten().map(Bytes::from_owner)
        });
        map.as_ref()
    }

    /// Copies the record at an offset to `out`, if it is in pages that the kernel has in memory. Answers whether it did.
    pub(super) fn copy_seen(&self, offset: u64, out: &mut Vec<u8>) -> bool {
        let (start, most) = (offset as usize, self.written().saturating_sub(offset) as usize);
        if most < RECORD_HEADER_BYTES || !self.seen.have(start..start + RECORD_HEADER_BYTES) {
            return false;
        }
        let Some(map) = self.map() else { return false };
        let len = claimed_len(&map[start..]);
        if len < RECORD_HEADER_BYTES
            || len > most
            || len > SEEN_BYTES_MAX
            || !self.seen.have(start..start + len)
        {
            return false;
        }
        out.clear();
        out.extend_from_slice(&map[start..start + len]);
        true
    }

    /// Asks the processor for the record at an offset, if it is in pages that the kernel has in memory.
    pub(super) fn prefetch(&self, offset: u64) {
        let start = offset as usize;
        let end = (start + PREFETCHED_BYTES).min(self.written() as usize);
        // A map that is not there yet is made by the read.
        if let Some(Some(map)) = self.map.get()
            && start < end
            && self.seen.have(start..end)
        {
            prefetch_lines(&map[start..end], PREFETCHED_BYTES / 64 + 1);
        }
    }

    /// How many bytes are written, from the front.
    pub fn written(&self) -> u64 {
        self.written.load(Acquire)
    }

    /// How many bytes of it belong to records that count.
    pub fn live_bytes(&self) -> u64 {
        // Lengths of huge records are cut off, and lanes tell what they added later than others what they took away.
        (self.live.load(Relaxed) as i64).max(0) as u64
    }

    /// The number that locations know it by.
    pub(super) fn index(&self) -> usize {
        self.index
    }

    /// Whether nothing will be added.
    pub fn is_sealed(&self) -> bool {
        self.sealed.load(Acquire)
    }

    /// Whether a location is in it.
    pub(super) fn has(&self, location: Location) -> bool {
        location.index() == self.index
    }

    /// The location of an offset.
    pub fn location(&self, offset: u64) -> Location {
        Location::new(self.index, offset)
    }

    /// What is written, to be read from end to end.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn contents(&self) -> io::Result<Contents> {
        self.file.contents(self.written())
    }

    /// Whether all that is written survives a power cut.
    pub fn is_synced(&self) -> bool {
        self.synced.load(Relaxed) >= self.written()
    }

    /// Sets how many bytes of it belong to records that count.
    pub fn set_live(&self, bytes: u64) {
        self.live.store(bytes, Relaxed);
    }

    /// Recovery has found where the last record ends.
    pub fn set_end(&self, end: u64) {
        self.written.store(end, Release);
    }

    /// Writes where nobody reads yet; [`Self::publish`] shows it.
    pub(super) fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(bytes, offset)
    }

    /// Lets readers see what is written up to `end`.
    pub(super) fn publish(&self, end: u64) {
        self.written.store(end, Release);
    }

    pub(super) fn add_live(&self, bytes: u64) {
        self.live.fetch_add(bytes, Relaxed);
    }

    pub(super) fn sub_live(&self, bytes: u64) {
        self.live.fetch_sub(bytes, Relaxed);
    }
}
