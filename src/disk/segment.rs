//! One segment: a file of the log, how full it is, and how much of it counts.

use super::files::{Contents, SegmentFile};
use super::place::Location;
use bytes::Bytes;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

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
}

impl Segment {
    /// All of it as memory, if that can be had.
    pub(super) fn map(&self) -> Option<&Bytes> {
        let map = self.map.get_or_init(|| {
            // Without one it is read.
            self.file.map().ok().flatten().map(Bytes::from_owner)
        });
        map.as_ref()
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
