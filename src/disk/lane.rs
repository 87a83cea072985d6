//! Appending: each worker has a lane, which is a segment of its own and what is not yet written to it.

use super::format::{Frame, Record, SEGMENT_HEADER_BYTES, Seal, push_single};
use super::place::{Location, Place};
use super::room::{RESERVE_OF_RECLAIMING, RESERVE_OF_WRITES};
use super::segment::Segment;
use super::store::{Store, Tally};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed, Ordering::Release};

/// So much room there is beyond what was asked for once [`Lane::ready`] has said yes: as much as the end of each segment may
/// waste.
const READY_BYTES_MAX: u64 = 256 * 1024;
const READY_BYTES_MIN: u64 = 16 * 1024;
const READY_PART: u64 = 64;
/// What tombstones of one command need, roughly.
const TOMBSTONES_BYTES: u64 = 4096;
/// More than this is written at once, not at the end of the batch.
const BUFFER_BYTES_MAX: usize = 1 << 20;
/// What a lane's buffer may keep of its room.
const BUFFER_BYTES_KEPT: usize = 128 * 1024;

/// A way to append.
pub struct Lane {
    store: Arc<Store>,
    segment: Option<Arc<Segment>>,
    /// Of the segment.
    seal: Seal,
    /// Where the next frame goes.
    end: u64,
    /// What is not written yet: the last bytes before `end`.
    buffer: Vec<u8>,
    /// So many segments of the bound are left for others: only reclaiming, which makes room, may use all.
    reserve: u64,
    /// The number of the last flush.
    flushed: u64,
    /// What the records in the buffer have changed about live bytes.
    tally: Tally,
    /// Whether anything waits to be written, for the store to see. Until it says no there are segments that have a part in
    /// `tally`: none of these may be removed.
    holds: Arc<AtomicBool>,
    /// The store counts it among its writers.
    of_writer: bool,
}

impl Lane {
    /// A lane without a segment: the first write brings one.
    pub fn new(store: Arc<Store>) -> Lane {
        store.writers.fetch_add(1, Relaxed);
        let mut lane = Lane::with_reserve(store, RESERVE_OF_WRITES);
        lane.of_writer = true;
        lane
    }

    /// A lane that is no worker's first: for what is soon to expire, or for values that were not logged before.
    pub fn for_brief(store: Arc<Store>) -> Lane {
        Lane::with_reserve(store, RESERVE_OF_WRITES)
    }

    fn with_reserve(store: Arc<Store>, reserve: u64) -> Lane {
        let holds = Arc::new(AtomicBool::new(false));
        store.add_lane(&holds);
        Lane {
            store,
            segment: None,
            seal: Seal::new(0),
            end: 0,
            buffer: Vec::new(),
            tally: Tally::default(),
            reserve,
            flushed: 0,
            holds,
            of_writer: false,
        }
    }

    /// A lane that may fill the tier to its bound.
    pub fn for_reclaiming(store: Arc<Store>) -> Lane {
        Lane::with_reserve(store, 0)
    }

    /// The store that it writes to.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Makes sure that frames of so many bytes can be appended, and an ordinary one.
    ///
    /// # Errors
    /// Why not.
    #[inline]
    pub fn ready(&mut self, bytes: u64) -> io::Result<()> {
        let Some(segment) = &self.segment else { return self.make_ready(bytes + READY_BYTES_MIN) };
        let ready_bytes = bytes + (segment.capacity / READY_PART).clamp(READY_BYTES_MIN, READY_BYTES_MAX);
        if segment.capacity - self.end >= ready_bytes && !self.store.has_failed() {
            Ok(())
        } else {
            self.make_ready(ready_bytes)
        }
    }

    /// The room in the segment that is open.
    #[inline]
    pub fn room(&self) -> u64 {
        self.segment.as_ref().map_or(0, |segment| segment.capacity - self.end)
    }

    /// Whether there is room for so many bytes, or a segment for them can be opened.
    pub fn may_take(&self, bytes: u64) -> bool {
        self.room() >= bytes || self.store.may_open(bytes, self.reserve)
    }

    /// Makes sure that frames of so many bytes together can be appended to the segment that is open then.
    ///
    /// # Errors
    /// Why not.
    pub fn ready_for(&mut self, bytes: u64) -> io::Result<()> {
        if self.room() >= bytes { Ok(()) } else { self.make_ready(bytes) }
    }

    /// Makes sure that a frame of a few tombstones and so many bytes can be appended, from what is kept for them. Whether
    /// other writes are refused stays as it is.
    ///
    /// # Errors
    /// Why not.
    pub fn ready_to_free(&mut self, bytes: u64) -> io::Result<()> {
        self.flush()?;
        if self.room() >= bytes + TOMBSTONES_BYTES {
            return Ok(());
        }
        let reserve = self.reserve;
        self.reserve = reserve.min(RESERVE_OF_RECLAIMING);
        let made = self.next_segment(bytes + TOMBSTONES_BYTES);
        self.reserve = reserve;
        made
    }

    #[cold]
    fn make_ready(&mut self, bytes: u64) -> io::Result<()> {
        let made =
            self.flush().and_then(|()| if self.room() >= bytes { Ok(()) } else { self.next_segment(bytes) });
        match &made {
            Ok(()) => self.store.heal(),
            Err(error) if self.store.is_passing(error) => {}
            Err(error) => self.store.fail(error),
        }
        made
    }

    /// Goes on in a new segment. The buffer must be empty.
    fn next_segment(&mut self, bytes: u64) -> io::Result<()> {
        let next = self.store.create(bytes, self.reserve)?;
        self.seal = Seal::new(next.sequence);
        if let Some(full) = self.segment.replace(next) {
            self.store.seal(&full);
        }
        self.end = SEGMENT_HEADER_BYTES as u64;
        Ok(())
    }

    /// Appends a frame of one record, which counts from then on, and the one at `old` no longer does. `write` appends the
    /// value. Returns its place; `None` where the open segment has no room for it.
    #[inline]
    pub fn append_single(
        &mut self,
        record: &Record<'_>,
        old: Option<Place>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Option<Place> {
        let segment = self.segment.as_ref()?;
        let start = self.buffer.len();
        push_single(record, &self.seal, write, &mut self.buffer);
        let bytes = self.buffer.len() - start;
        if bytes as u64 > segment.capacity - self.end {
            self.buffer.truncate(start);
            self.buffer.shrink_to(BUFFER_BYTES_KEPT);
            return None;
        }
        let place = Place::new(segment.location(self.end), bytes);
        self.end += bytes as u64;
        self.holds.store(true, Release);
        self.tally.add(segment.index(), place.bytes() as i64);
        self.store.note_length(place.bytes());
        if let Some(old) = old {
            self.tally.add(old.location().index(), -(old.bytes() as i64));
        }
        if self.buffer.len() > BUFFER_BYTES_MAX {
            // As in `append_sealed`.
            let _ = self.flush();
        }
        Some(place)
    }

    /// Appends a frame. Returns where it begins; its records can be read after the next [`Self::flush`].
    ///
    /// # Errors
    /// Where there is no room and none can be had.
    pub fn append(&mut self, frame: &mut Frame) -> io::Result<Location> {
        self.append_sealed(frame, Frame::seal)
    }

    /// As [`Self::append`], if need be with what is kept for such: what goes should not be refused for lack of room.
    ///
    /// # Errors
    /// See there.
    pub fn append_or_free(&mut self, frame: &mut Frame) -> io::Result<Location> {
        self.append(frame).or_else(|_| {
            self.ready_to_free(frame.len() as u64)?;
            self.append(frame)
        })
    }

    /// As [`Self::append`], but each record counts for itself.
    ///
    /// # Errors
    /// See there.
    pub fn append_singly(&mut self, frame: &mut Frame) -> io::Result<Location> {
        self.append_sealed(frame, Frame::seal_singly)
    }

    fn append_sealed(
        &mut self,
        frame: &mut Frame,
        seal: fn(&mut Frame, u64) -> &[u8],
    ) -> io::Result<Location> {
        let bytes = frame.len() as u64;
        self.ready_for(bytes)?;
        let Some(segment) = &self.segment else {
            return Err(io::Error::other("no segment is open"));
        };
        let location = segment.location(self.end);
        self.buffer.extend_from_slice(seal(frame, segment.sequence));
        self.holds.store(true, Release);
        self.end += bytes;
        if self.buffer.len() > BUFFER_BYTES_MAX {
            // An error is kept by the store, and met again by the flush at the end of the batch.
            let _ = self.flush();
        }
        Ok(location)
    }

    /// Whether a place is in the segment that is open.
    pub fn has(&self, place: Place) -> bool {
        self.segment.as_ref().is_some_and(|segment| segment.has(place.location()))
    }

    /// Whether anything waits to be written.
    #[inline]
    pub fn is_flushed(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The number of the last flush, for [`Store::synced`].
    pub fn last_flush(&self) -> u64 {
        self.flushed
    }

    /// Gives everything to the kernel.
    ///
    /// # Errors
    /// Those of the file system. What was not written waits for the next call.
    pub fn flush(&mut self) -> io::Result<()> {
        let Some(segment) = self.segment.as_ref().filter(|_| !self.buffer.is_empty()) else { return Ok(()) };
        if let Err(error) = segment.write_at(&self.buffer, self.end - self.buffer.len() as u64) {
            self.store.fail(&error);
            return Err(error);
        }
        segment.publish(self.end);
        self.store.counters.written_bytes.fetch_add(self.buffer.len() as u64, Relaxed);
        self.store.settle(&mut self.tally);
        self.buffer.clear();
        self.holds.store(false, Release);
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        self.flushed = self.store.note_flush();
        Ok(())
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        // Nobody was told that what cannot be written now is safe.
        let _ = self.flush();
        if let Some(segment) = self.segment.take() {
            self.store.seal(&segment);
        }
        if self.of_writer {
            self.store.writers.fetch_sub(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::Directory;
    use super::super::format::{Kind, padded};
    use super::super::store::Fetched;
    use super::*;

    #[test]
    fn segments_know_what_counts_once_the_lane_holds_nothing() {
        let path = std::env::temp_dir().join(format!("strata-lane-{}", std::process::id()));
        let store = Store::open(Box::new(Directory::lock(&path).expect("a directory")), 64 << 20);
        let store = Arc::new(store.expect("no segments"));
        let mut lane = Lane::new(Arc::clone(&store));
        lane.ready(0).expect("room");
        let record = |version| Record {
            version,
            space: 0,
            kind: Kind::String,
            flags: 0,
            expires_at_ms: None,
            frame_left: 0,
            key: b"key",
            value: b"",
        };
        let first = lane.append_single(&record(1), None, |out| out.extend_from_slice(&[7; 100]));
        let second = lane.append_single(&record(2), first, |out| out.extend_from_slice(&[7; 300]));
        assert!(lane.holds.load(Relaxed));
        lane.flush().expect("room");
        let segment = store.segments().pop().expect("the lane's");
        assert!(!lane.holds.load(Relaxed));
        assert_eq!(segment.live_bytes(), second.expect("room").bytes());
        // In a later batch the old one goes, and nothing takes its place in this segment.
        store.sub_live(second.expect("room"));
        assert_eq!(segment.live_bytes(), 0);
        std::fs::remove_dir_all(&path).expect("it is there");
    }

    #[test]
    fn a_record_that_the_segment_has_no_room_for_leaves_nothing_behind() {
        let path = std::env::temp_dir().join(format!("strata-lane-full-{}", std::process::id()));
        let store = Store::open(Box::new(Directory::lock(&path).expect("a directory")), 64 << 20);
        let mut lane = Lane::new(Arc::new(store.expect("no segments")));
        lane.ready(0).expect("room");
        let room = lane.segment.as_ref().expect("open").capacity - lane.end;
        let record = Record {
            version: 1,
            space: 0,
            kind: Kind::String,
            flags: 0,
            expires_at_ms: None,
            frame_left: 0,
            key: b"key",
            value: b"",
        };
        assert_eq!(lane.append_single(&record, None, |out| out.resize(out.len() + room as usize, 1)), None);
        assert!(lane.is_flushed() && !lane.holds.load(Relaxed));
        std::fs::remove_dir_all(&path).expect("it is there");
    }

    #[test]
    fn what_was_read_is_read_from_the_map_until_nobody_reads() {
        let path = std::env::temp_dir().join(format!("strata-lane-map-{}", std::process::id()));
        let store = Store::open(Box::new(Directory::lock(&path).expect("a directory")), 64 << 20);
        let store = Arc::new(store.expect("no segments"));
        let mut lane = Lane::new(Arc::clone(&store));
        lane.ready(0).expect("room");
        let write = |number: u8, lane: &mut Lane| {
            let record = Record {
                version: number.into(),
                space: 0,
                kind: Kind::String,
                flags: 0,
                expires_at_ms: None,
                frame_left: 0,
                key: &[number],
                value: b"",
            };
            lane.append_single(&record, None, |out| out.extend_from_slice(&[number; 3000])).expect("room")
        };
        let places: Vec<Place> = (0..50).map(|number| write(number, &mut lane)).collect();
        lane.flush().expect("room");
        let segment = store.segments().pop().expect("the lane's");
        let (mut read, mut copied) = (Vec::new(), Vec::new());
        for place in &places {
            let offset = place.location().offset();
            let before = segment.copy_seen(offset, &mut copied);
            assert_eq!(store.fetch(place.location(), &mut read, false).expect("it is there"), Fetched::Bytes);
            assert_eq!(padded(read.len()) as u64, place.bytes());
            assert!(segment.copy_seen(offset, &mut copied) && copied == read, "{before}");
        }
        // Whoever wrote it has not read it; a page that is shared with what was read counts.
        let unread = write(50, &mut lane);
        assert!(!segment.copy_seen(unread.location().offset(), &mut copied), "it is not written");
        store.look_at_pages();
        assert!(segment.copy_seen(places[7].location().offset(), &mut copied), "it is still in memory");
        // After some seconds in which nobody reads.
        (0..20).for_each(|_| store.look_at_pages());
        assert!(!segment.copy_seen(places[7].location().offset(), &mut copied));
        assert_eq!(store.fetch(places[7].location(), &mut read, false).expect("it is there"), Fetched::Bytes);
        assert_eq!(padded(read.len()) as u64, places[7].bytes());
        std::fs::remove_dir_all(&path).expect("it is there");
    }
}
