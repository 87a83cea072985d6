//! All segments of a directory: which there are, how full, how much of each is alive, what is synced.

use super::files::{Contents, Files, WriteCheckpoint, is_resident};
use super::format::{RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, claimed_len, segment_header};
use super::place::{INDEX_BITS, Location, Place, SEGMENT_BYTES_MAX};
use super::resident::Looks;
use super::room::{Blank, RESERVE_OF_WRITES, Room};
use super::segment::Segment;
use bytes::Bytes;
use parking_lot::{Condvar, Mutex, RwLock};
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How many bytes the segments of a large tier have.
pub const SEGMENT_BYTES: u64 = 64 << 20;
const SEGMENT_BYTES_MIN: u64 = if cfg!(test) { 64 << 10 } else { 1 << 20 };
/// The tier should have at least so many segments.
const SEGMENTS_MIN: u64 = 256;

/// Records up to this length are not worth to be told apart.
const LONGEST_MIN: u64 = 1024;

/// What is read of a record before its length is known.
const FIRST_READ_BYTES: usize = 2048;
/// A record from this length on may be used where it is.
const MAPPED_BYTES_MIN: usize = 64 * 1024;

/// Changes of segments' live bytes that are not told yet: of a batch's records many are in the same few segments.
#[derive(Default)]
pub(super) struct Tally {
    /// By index of the segment.
    changes: Vec<i64>,
    /// The segments of which there are any.
    touched: Vec<usize>,
}

impl Tally {
    /// So many bytes more of a segment count.
    #[inline]
    pub(super) fn add(&mut self, index: usize, bytes: i64) {
        if index >= self.changes.len() {
            self.grow(index);
        }
        if self.changes[index] == 0 {
            self.touched.push(index);
        }
        self.changes[index] += bytes;
    }

    #[cold]
    fn grow(&mut self, index: usize) {
        self.changes.resize(index + 1, 0);
    }
}

/// What became of a read.
#[derive(PartialEq, Eq, Debug)]
pub enum Fetched {
    /// The record's bytes are in the buffer; nothing vouches for them yet.
    Bytes,
    /// These are the record's bytes, in the kernel's pages; nothing vouches for them either.
    Mapped(Bytes),
    /// The disk has to be waited for.
    Cold,
    /// There is no such segment, or nothing at this place.
    Nothing,
}

/// When written records are synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyncPolicy {
    /// Before the reply.
    Always,
    /// Once a second.
    EverySecond,
    /// When the kernel likes.
    Never,
}

/// Figures of the tier.
#[derive(Default, Debug)]
pub struct Counters {
    /// Bytes appended, by whomever.
    pub written_bytes: AtomicU64,
    /// Of these, bytes that reclaiming moved.
    pub moved_bytes: AtomicU64,
    /// Records read that were in the kernel's memory.
    pub reads_resident: AtomicU64,
    /// Records read for which the disk was waited for.
    pub reads_disk: AtomicU64,
    /// Records that were damaged.
    pub damaged: AtomicU64,
    /// Calls of fdatasync.
    pub syncs: AtomicU64,
    /// Calls of fdatasync that failed.
    pub sync_errors: AtomicU64,
    /// How long the last one took, microseconds.
    pub last_sync_us: AtomicU64,
    /// Segments that reclaiming has emptied.
    pub reclaimed: AtomicU64,
    /// Keys that went for good because the tier was full.
    pub evicted: AtomicU64,
    /// Values that left memory.
    pub demoted: AtomicU64,
    /// Values that came back.
    pub promoted: AtomicU64,
}

/// All segments.
pub struct Store {
    files: Box<dyn Files>,
    /// By index; the index of a removed one is used again.
    segments: RwLock<Vec<Option<Arc<Segment>>>>,
    lanes: Mutex<Vec<Weak<AtomicBool>>>,
    /// Lanes of workers.
    pub(super) writers: AtomicUsize,
    next_sequence: AtomicU64,
    room: Room,
    /// What is being read from disk; the sender goes when it is read.
    pub(super) reading: Mutex<HashMap<Location, watch::Receiver<()>>>,
    looks: Looks,
    failed: AtomicBool,
    failure: Mutex<String>,
    /// Counts flushes, so that a sync can say how far it came.
    ticket: AtomicU64,
    /// The longest record that there was.
    longest: AtomicU64,
    synced: watch::Sender<u64>,
    sync_wanted: Mutex<bool>,
    sync_wake: Condvar,
    /// Figures.
    pub counters: Counters,
}

impl Store {
    /// Opens what there is. The segments are sealed and count as written to their end; recovery says more.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(files: Box<dyn Files>, size_max: u64) -> io::Result<Store> {
        let mut segments = Vec::new();
        let mut next_sequence = 1;
        for sequence in files.list()? {
            let file = files.open(sequence)?;
            let capacity = file.size()?.min(SEGMENT_BYTES_MAX);
            next_sequence = sequence + 1;
            // Who wrote it may have been killed before it could sync.
            let segment = Segment::new(segments.len(), sequence, file, capacity, capacity, true);
            segments.push(Some(Arc::new(segment)));
        }
        let store = Store {
            files,
            segments: RwLock::new(segments),
            lanes: Mutex::default(),
            writers: AtomicUsize::new(0),
            next_sequence: AtomicU64::new(next_sequence),
            room: Room::new(size_max),
            reading: Mutex::default(),
            looks: Looks::default(),
            failed: AtomicBool::new(false),
            failure: Mutex::default(),
            // What is there already is synced once.
            ticket: AtomicU64::new(1),
            longest: AtomicU64::new(LONGEST_MIN),
            synced: watch::Sender::new(0),
            sync_wanted: Mutex::new(false),
            sync_wake: Condvar::new(),
            counters: Counters::default(),
        };
        store.room.set_ceiling(store.ceiling());
        Ok(store)
    }

    /// The highest sequence number that a segment has or had.
    pub fn last_sequence(&self) -> u64 {
        self.next_sequence.load(Relaxed) - 1
    }

    /// Enters a lane, whose flag says whether it holds anything.
    pub(super) fn add_lane(&self, holds: &Arc<AtomicBool>) {
        let mut lanes = self.lanes.lock();
        lanes.retain(|lane| lane.strong_count() > 0);
        lanes.push(Arc::downgrade(holds));
    }

    /// Whether several workers write.
    pub fn has_several_writers(&self) -> bool {
        self.writers.load(Relaxed) > 1
    }

    /// Waits until each lane has been without anything to write for a moment; answers whether all were in time.
    pub fn wait_for_lanes(&self, limit: Duration) -> bool {
        let started = Instant::now();
        let lanes: Vec<_> = self.lanes.lock().iter().filter_map(Weak::upgrade).collect();
        for lane in lanes {
            while lane.load(Acquire) {
                if started.elapsed() > limit {
                    return false;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        true
    }

    /// All segments, in order of their sequence numbers.
    pub fn segments(&self) -> Vec<Arc<Segment>> {
        let mut segments: Vec<_> = self.segments.read().iter().flatten().cloned().collect();
        segments.sort_unstable_by_key(|segment| segment.sequence);
        segments
    }

    /// The bytes that all segments take on the disk, the one that was made ahead included.
    pub fn allocated_bytes(&self) -> u64 {
        self.opened_bytes() + self.room.spare_bytes()
    }

    /// The bytes of all segments that were opened to be written.
    pub fn opened_bytes(&self) -> u64 {
        self.segments.read().iter().flatten().map(|segment| segment.capacity).sum()
    }

    /// The bytes of records that count.
    pub fn live_bytes(&self) -> u64 {
        self.segments.read().iter().flatten().map(|segment| segment.live_bytes()).sum()
    }

    /// The bound of [`Self::allocated_bytes`].
    pub fn size_max(&self) -> u64 {
        self.room.size_max()
    }

    /// Sets the bound. Where there is more, that is emptied as far as it can be.
    pub fn set_size_max(&self, bytes: u64) {
        if self.room.set_size_max(bytes) {
            self.room.set_ceiling(self.ceiling());
        }
    }

    /// What there is, and what is kept for those that free and that empty segments.
    fn ceiling(&self) -> u64 {
        let segments = self.segments.read();
        let largest = segments.iter().flatten().map(|segment| segment.capacity).max().unwrap_or(0);
        segments.iter().flatten().map(|segment| segment.capacity).sum::<u64>() + RESERVE_OF_WRITES * largest
    }

    /// How large new segments are.
    pub fn segment_bytes(&self) -> u64 {
        (self.size_max() / SEGMENTS_MIN).next_power_of_two().clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES)
    }

    /// Makes the next segment, if there is none yet and the bound allows it: who needs one then need not wait for the disk.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn prepare_spare(&self) -> io::Result<()> {
        let capacity = self.segment_bytes();
        if self.room.has_spare() || self.opened_bytes() + capacity > self.size_max() {
            return Ok(());
        }
        let blank = self.make(capacity)?;
        match self.room.keep_spare(blank) {
            Some(other) => self.files.remove(other.sequence),
            None => Ok(()),
        }
    }

    /// Removes the segment that was made ahead: nobody needs it any more.
    ///
    /// # Errors
    /// Those of the file system; the next start finds an empty segment then.
    pub fn remove_spare(&self) -> io::Result<()> {
        self.room.take_spare().map_or(Ok(()), |spare| self.files.remove(spare.sequence))
    }

    /// Waits until [`Self::opened`] is not `seen`, or for `limit`; answers what it is.
    pub fn wait_for_opened(&self, seen: u64, limit: Duration) -> u64 {
        self.room.wait_for_opened(seen, limit)
    }

    /// Has whoever empties segments look again, because what is worth it may have changed.
    pub fn look_again(&self) {
        self.room.look_again();
    }

    /// Ends [`Self::wait_for_opened`] and [`Self::wait_to_look`] for all who wait.
    pub fn wake(&self) {
        self.room.wake();
        self.looks.wake();
    }

    fn make(&self, capacity: u64) -> io::Result<Blank> {
        let sequence = self.next_sequence.fetch_add(1, Relaxed);
        let file = self.files.create(sequence, capacity)?;
        file.write_at(&segment_header(sequence), 0)?;
        Ok(Blank { sequence, capacity, file })
    }

    /// How large a segment with room for a frame of so many bytes is.
    fn capacity_for(&self, frame_bytes: u64) -> u64 {
        (SEGMENT_HEADER_BYTES as u64 + frame_bytes).max(self.segment_bytes())
    }

    /// Whether the bound leaves room for a segment with a frame of so many bytes, and `reserve` more.
    pub(super) fn may_open(&self, frame_bytes: u64, reserve: u64) -> bool {
        let capacity = self.capacity_for(frame_bytes);
        let reserved = reserve * self.segment_bytes();
        capacity <= SEGMENT_BYTES_MAX && self.opened_bytes() + capacity + reserved <= self.size_max()
    }

    /// Opens a new segment with room for a frame of so many bytes. `reserve` segments of the bound are left for others.
    ///
    /// # Errors
    /// Those of the file system; `StorageFull` where the bound is reached.
    pub(super) fn create(&self, frame_bytes: u64, reserve: u64) -> io::Result<Arc<Segment>> {
        let capacity = self.capacity_for(frame_bytes);
        if capacity > SEGMENT_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "one write is larger than 1 GiB"));
        }
        let reserved = reserve * self.segment_bytes();
        if self.opened_bytes() + capacity + reserved > self.room.bound(reserve < RESERVE_OF_WRITES) {
            if reserve == RESERVE_OF_WRITES && capacity + reserved <= self.size_max() {
                self.room.want(capacity);
            }
            return Err(io::Error::new(io::ErrorKind::StorageFull, "l2-size is reached"));
        }
        let Blank { sequence, capacity, file } = match self.room.take_spare() {
            Some(spare) if spare.capacity >= capacity => spare,
            Some(spare) => {
                // There is room for one of them.
                self.files.remove(spare.sequence)?;
                self.make(capacity)?
            }
            None => self.make(capacity)?,
        };
        let mut segments = self.segments.write();
        let index = segments.iter().position(Option::is_none).unwrap_or(segments.len());
        if index >> INDEX_BITS != 0 {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "there are too many segments"));
        }
        let written = SEGMENT_HEADER_BYTES as u64;
        let segment = Arc::new(Segment::new(index, sequence, file, capacity, written, false));
        if index == segments.len() {
            segments.push(None);
        }
        segments[index] = Some(Arc::clone(&segment));
        drop(segments);
        self.room.note_opened(capacity);
        Ok(segment)
    }

    /// Nothing more will be added to a segment.
    pub fn seal(&self, segment: &Segment) {
        segment.sealed.store(true, Release);
    }

    /// Removes a segment none of whose records counts.
    ///
    /// # Errors
    /// Those of the file system; the segment stays then, for the next start would find it.
    pub fn remove(&self, segment: &Segment) -> io::Result<()> {
        self.files.remove(segment.sequence)?;
        self.segments.write()[segment.index] = None;
        self.room.lower_ceiling(self.ceiling());
        Ok(())
    }

    fn segment(&self, location: Location) -> Option<Arc<Segment>> {
        self.segments.read().get(location.index()).cloned().flatten()
    }

    /// The segment's sequence number, which its records' sums include.
    pub fn sequence_of(&self, location: Location) -> Option<u64> {
        Some(self.segments.read().get(location.index())?.as_ref()?.sequence)
    }

    /// Notes that an import begins, or that it is complete.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn note_import(&self, begins: bool) -> io::Result<()> {
        self.files.note_import(begins)
    }

    /// The file that a clean stop has left, if there is one.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn checkpoint(&self) -> io::Result<Option<Contents>> {
        self.files.checkpoint()
    }

    /// Leaves a file for the next start, in place of an older one.
    ///
    /// # Errors
    /// Those of the file system and of `write`; an older file stays then.
    pub fn write_checkpoint(&self, write: WriteCheckpoint<'_>) -> io::Result<()> {
        self.files.write_checkpoint(write)
    }

    /// Whether the record at a place can be read.
    pub fn is_written(&self, place: Place) -> bool {
        let segments = self.segments.read();
        let segment = segments.get(place.location().index()).and_then(Option::as_ref);
        segment.is_some_and(|segment| segment.written() > place.location().offset())
    }

    /// Whether the record at a place survives a power cut.
    pub fn is_synced(&self, place: Place) -> bool {
        let segments = self.segments.read();
        let segment = segments.get(place.location().index()).and_then(Option::as_ref);
        segment.is_some_and(|segment| segment.synced.load(Relaxed) > place.location().offset())
    }

    /// Whether nothing is added any more to the segment that has a place.
    pub fn is_sealed(&self, place: Place) -> bool {
        let segments = self.segments.read();
        segments
            .get(place.location().index())
            .and_then(Option::as_ref)
            .is_some_and(|segment| segment.is_sealed())
    }

    /// Reads the record at a location into `out`; `wait` says whether the disk may be waited for.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn fetch(&self, location: Location, out: &mut Vec<u8>, wait: bool) -> io::Result<Fetched> {
        self.fetch_or_map(location, out, wait, false)
    }

    /// As [`Self::fetch`], but a long record `maps` where it is, if it may.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn fetch_or_map(
        &self,
        location: Location,
        out: &mut Vec<u8>,
        wait: bool,
        maps: bool,
    ) -> io::Result<Fetched> {
        let Some(segment) = self.segment(location) else { return Ok(Fetched::Nothing) };
        let (offset, end) = (location.offset(), segment.written());
        if offset + RECORD_HEADER_BYTES as u64 > end {
            return Ok(Fetched::Nothing);
        }
        let most = (end - offset) as usize;
        if !wait && self.looks.are_recent() && segment.copy_seen(offset, out) {
            self.counters.reads_resident.fetch_add(1, Relaxed);
            return Ok(Fetched::Bytes);
        }
        let (mut wanted, mut have) = (FIRST_READ_BYTES.min(most), 0);
        loop {
            out.resize(wanted, 0);
            let (room, at) = (&mut out[have..], offset + have as u64);
            have +=
                if wait { segment.file.read_at(room, at)? } else { segment.file.read_resident(room, at)? };
            if have >= RECORD_HEADER_BYTES {
                let len = claimed_len(out);
                if !(RECORD_HEADER_BYTES..=most).contains(&len) {
                    return Ok(Fetched::Nothing);
                }
                if have >= len {
                    out.truncate(len);
                    if !wait {
                        segment.seen.note(offset as usize..offset as usize + have, segment.capacity as usize);
                        self.looks.want();
                    }
                    break;
                }
                if maps
                    && len >= MAPPED_BYTES_MIN
                    && let Some(map) = segment.map()
                {
                    let bytes = map.slice(offset as usize..offset as usize + len);
                    if !wait && !is_resident(&bytes) {
                        return Ok(Fetched::Cold);
                    }
                    self.counters.reads_resident.fetch_add(1, Relaxed);
                    return Ok(Fetched::Mapped(bytes));
                }
                if have == wanted {
                    wanted = len;
                    continue;
                }
            }
            return Ok(if wait { Fetched::Nothing } else { Fetched::Cold });
        }
        let counters = &self.counters;
        if wait { &counters.reads_disk } else { &counters.reads_resident }.fetch_add(1, Relaxed);
        Ok(Fetched::Bytes)
    }

    /// Asks the processor for the record at a location, if that is in memory and not far.
    pub fn prefetch(&self, location: Location) {
        if let Some(Some(segment)) = self.segments.read().get(location.index())
            && self.looks.are_recent()
        {
            segment.prefetch(location.offset());
        }
    }

    /// Waits until it should be looked which pages are still in memory, but no longer than `limit`.
    pub fn wait_to_look(&self, limit: Duration) {
        self.looks.wait(limit);
    }

    /// Looks which of the pages that were in memory still are. To be called every second.
    pub fn look_at_pages(&self) {
        let segments = self.segments();
        // The newest first.
        let seen = segments.iter().rev().filter(|segment| segment.seen.is_any());
        let pages = seen.filter_map(|segment| Some((&segment.seen, segment.map()?)));
        self.looks.look(self.counters.reads_resident.load(Relaxed), pages);
    }

    /// A record has come to count.
    pub fn add_live(&self, place: Place) {
        self.note_length(place.bytes());
        self.add_live_bytes(place.location(), place.bytes());
    }

    /// Notes how long a record is.
    #[inline]
    pub fn note_length(&self, bytes: u64) {
        if bytes > self.longest.load(Relaxed) {
            self.longest.fetch_max(bytes, Relaxed);
        }
    }

    /// No record of a value in memory is longer than this.
    #[inline]
    pub fn longest(&self) -> u64 {
        self.longest.load(Relaxed)
    }

    /// So many bytes more of records count, in the segment that has this location.
    pub fn add_live_bytes(&self, location: Location, bytes: u64) {
        if let Some(Some(segment)) = self.segments.read().get(location.index()) {
            segment.add_live(bytes);
        }
    }

    /// A record no longer counts.
    pub fn sub_live(&self, place: Place) {
        self.sub_live_bytes(place.location(), place.bytes());
    }

    /// So many bytes of records no longer count, in the segment that has this location.
    pub fn sub_live_bytes(&self, location: Location, bytes: u64) {
        if let Some(Some(segment)) = self.segments.read().get(location.index()) {
            segment.sub_live(bytes);
        }
    }

    /// Adds what `tally` has to the segments' live bytes, and empties it.
    pub(super) fn settle(&self, tally: &mut Tally) {
        let segments = self.segments.read();
        for index in tally.touched.drain(..) {
            let change = std::mem::take(&mut tally.changes[index]);
            if let Some(Some(segment)) = segments.get(index) {
                segment.add_live(change as u64);
            }
        }
    }

    /// How much may be moved to new segments at once.
    pub fn bytes_for_moving(&self) -> u64 {
        self.room.bound(true).saturating_sub(self.opened_bytes())
    }

    /// How much somebody waits for, if that is more than a segment.
    pub fn wanted_bytes(&self) -> u64 {
        self.room.wanted().max(self.segment_bytes())
    }

    /// Grows with every segment that is opened to be written.
    pub fn opened(&self) -> u64 {
        self.room.opened()
    }

    /// Notes whether a segment is being emptied, or none is worth it, as was found when [`Self::opened`] and
    /// [`Self::live_bytes`] were these.
    pub fn set_making_room(&self, making: bool, opened: u64, live: u64) {
        self.room.set_making(making, opened, live);
    }

    /// Whether an error only means that there is no room yet.
    pub fn is_passing(&self, error: &io::Error) -> bool {
        let is_bound = error.kind() == io::ErrorKind::StorageFull && error.raw_os_error().is_none();
        is_bound && self.room.is_hopeful(self.live_bytes())
    }

    /// Notes that writing failed. Writes are refused until it succeeds again.
    pub fn fail(&self, error: &io::Error) {
        let text = error.to_string();
        let text = text.split(" (os error").next().unwrap_or_default().to_owned();
        if !self.failed.swap(true, Release) {
            tracing::error!(error = text, "the log on disk cannot be written: writes are refused");
        }
        *self.failure.lock() = text;
    }

    /// Notes that writing works.
    pub fn heal(&self) {
        if self.failed.swap(false, Release) {
            tracing::warn!("the log on disk can be written again");
        }
    }

    /// Whether the last write failed.
    #[inline]
    pub fn has_failed(&self) -> bool {
        self.failed.load(Acquire)
    }

    /// Why the last write failed.
    pub fn failure(&self) -> String {
        self.failure.lock().clone()
    }

    /// A flush has ended: the number that [`Self::synced`] must reach for it to be on the disk.
    pub(super) fn note_flush(&self) -> u64 {
        self.ticket.fetch_add(1, Release) + 1
    }

    /// The number of the last flush.
    pub fn last_flush(&self) -> u64 {
        self.ticket.load(Acquire)
    }

    /// Tells how far syncing has come.
    pub fn synced(&self) -> watch::Receiver<u64> {
        self.synced.subscribe()
    }

    /// Has the syncing thread run now.
    pub fn want_sync(&self) {
        *self.sync_wanted.lock() = true;
        self.sync_wake.notify_one();
    }

    /// Waits until somebody wants a sync, or `limit` has passed.
    pub fn wait_for_want(&self, limit: Duration) {
        let mut wanted = self.sync_wanted.lock();
        if !*wanted {
            self.sync_wake.wait_for(&mut wanted, limit);
        }
        *wanted = false;
    }

    /// Has everything that was flushed survive a power cut.
    ///
    /// # Errors
    /// Those of the file system; what was written since the last success may be lost then.
    pub fn sync(&self) -> io::Result<()> {
        let ticket = self.last_flush();
        if *self.synced.borrow() == ticket {
            return Ok(());
        }
        for segment in self.segments() {
            let written = segment.written();
            if segment.is_synced() {
                continue;
            }
            let started = Instant::now();
            if let Err(error) = segment.file.sync() {
                self.counters.sync_errors.fetch_add(1, Relaxed);
                self.fail(&error);
                return Err(error);
            }
            self.counters.syncs.fetch_add(1, Relaxed);
            self.counters.last_sync_us.store(started.elapsed().as_micros() as u64, Relaxed);
            segment.synced.store(written, Relaxed);
        }
        self.synced.send_replace(ticket);
        Ok(())
    }
}
