//! The second tier of a keyspace: its settings, the spaces of its databases, and what each worker needs for it.

use super::cold::{ColdKeys, Promoted};
use super::log::{DirtyKeys, Fixup, Journals};
use super::room::NotReady;
use super::{Keyspace, Scratch};
use crate::disk::store::SyncPolicy;
use crate::disk::{Kind, Lane, Location, Place, Record, Store, format};
use crate::rdb;
use parking_lot::{Mutex, RwLock};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// How many cold reads are remembered, to know the second of a key from the first.
pub(super) const SEEN: usize = 1 << 16;

/// The second tier of a keyspace.
pub struct Tier {
    pub(super) store: Arc<Store>,
    /// Every write is logged (`appendonly`).
    log: AtomicBool,
    /// Logging has begun, and what was there before is not logged yet.
    pub behind: AtomicBool,
    sync: AtomicU8,
    spaces: Mutex<Spaces>,
    /// The space of each database, to be read without the lock.
    space_of: Box<[AtomicU32]>,
    /// For each of many hashes the fingerprint of the key that was last read from disk.
    pub(super) seen: Box<[AtomicU32]>,
    /// So many segments in a row were emptied in vain of keys that may go.
    pub(super) emptied_in_vain: AtomicUsize,
    /// A key was given a deadline: it may go where others may not.
    pub(super) has_new_deadline: AtomicBool,
    /// How many values had left memory when that was last looked at.
    pub(super) demoted_seen: AtomicU64,
    /// Threads that read what is due.
    pub(super) readers: AtomicUsize,
    pub(super) limits: RwLock<Option<rdb::Limits>>,
    pub(super) maxmemory: AtomicU64,
}

/// Which space each database is. A new one empties it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spaces {
    pub(super) of: Vec<u32>,
    pub(super) next: u32,
    pub(super) version: u64,
}

/// What one worker needs for the tier.
#[derive(Default)]
pub(super) struct TierScratch {
    pub(super) lane: Option<Lane>,
    /// For strings that expire soon: their segments empty themselves.
    pub(super) brief: Option<Lane>,
    pub(super) frame: format::Frame,
    /// What was done to large collections since the last command.
    pub(super) journals: Journals,
    pub(super) dirty: DirtyKeys,
    pub(super) fixups: Vec<Fixup>,
    /// Entries that came from disk for the present command.
    pub(super) promoted: Vec<Promoted>,
    /// The place of the entry that was last taken out.
    pub(super) removed: u64,
    pub(super) buffer: Vec<u8>,
    /// Records that the disk has to be asked for.
    pub(super) wanted: Vec<Location>,
    /// What the present command looked for and did not see, because the disk has to be waited for.
    pub(super) missed: Vec<Location>,
    /// So many bytes were asked for, for what the present command does.
    pub(super) promised: u64,
    /// Why there was no room for more.
    pub(super) not_ready: Option<NotReady>,
    /// The frame must reach the kernel before the locks are released.
    pub(super) at_once: bool,
    /// How many values were written so that they can leave memory.
    pub(super) written_out: u64,
    /// A value could not leave memory, because the disk has to have something first.
    pub(super) awaits_disk: bool,
    /// Why something could not be logged: nobody may be told that it was.
    pub(super) lost: Option<io::Error>,
}

impl TierScratch {
    pub(super) fn lane(&mut self, tier: &Tier) -> &mut Lane {
        self.lane.get_or_insert_with(|| Lane::new(Arc::clone(&tier.store)))
    }

    /// Appends a frame of records that are soon to expire, if there is a lane for such.
    pub(super) fn append_brief(&mut self, tier: &Tier, frame: &mut format::Frame) -> Option<Location> {
        let lane = self.brief.get_or_insert_with(|| Lane::for_brief(Arc::clone(&tier.store)));
        // Otherwise it is the other lane's to say why there is no room.
        lane.append(frame).ok()
    }
}

impl Scratch {
    /// Gives to the kernel what was logged.
    ///
    /// # Errors
    /// When something was not logged, since the last call: nobody may be told that it was done.
    #[inline]
    pub fn commit(&mut self) -> io::Result<()> {
        if self.is_committed() { Ok(()) } else { self.tier.flush() }
    }

    /// Whether there is nothing to give to the kernel.
    #[inline]
    pub fn is_committed(&self) -> bool {
        let lanes = [&self.tier.lane, &self.tier.brief];
        self.tier.lost.is_none() && lanes.into_iter().flatten().all(Lane::is_flushed)
    }

    /// Gives to the kernel what was logged so far. An error is met again by [`Self::commit`].
    pub fn commit_early(&mut self) {
        if let Err(error) = self.commit() {
            self.tier.lost = Some(error);
        }
    }

    /// Whether the present command did not see all that it looked for, because the disk has to be waited for. It must not
    /// change anything then, and is to be run again once that is read.
    #[inline]
    pub fn has_missed(&self) -> bool {
        !self.tier.missed.is_empty()
    }

    /// What the last command did not see.
    #[cold]
    pub fn take_missed(&mut self) -> ColdKeys {
        ColdKeys { locations: self.tier.missed.drain(..).collect() }
    }

    /// Logs by a lane that may fill the tier to its bound: for whoever makes room.
    pub fn for_reclaiming(store: &Arc<Store>) -> Scratch {
        let mut scratch = Scratch::default();
        scratch.tier.lane = Some(Lane::for_reclaiming(Arc::clone(store)));
        scratch
    }

    /// Logs by a lane that leaves others the room that is kept for them, and is none of the workers'.
    pub fn for_writing_out(store: &Arc<Store>) -> Scratch {
        let mut scratch = Scratch::default();
        scratch.tier.lane = Some(Lane::for_brief(Arc::clone(store)));
        scratch
    }

    /// Whether values can leave memory once the disk has what was written: the last look for such has found one.
    pub fn awaits_disk(&self) -> bool {
        self.tier.awaits_disk
    }

    /// How many values were written so that they can leave memory.
    pub(super) fn written_out(&self) -> u64 {
        self.tier.written_out
    }

    /// The number of the last flush, for [`Store::synced`].
    pub fn last_flush(&self) -> u64 {
        [&self.tier.lane, &self.tier.brief].into_iter().flatten().map(Lane::last_flush).max().unwrap_or(0)
    }
}

impl TierScratch {
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let flushed = [&mut self.lane, &mut self.brief].into_iter().flatten().try_for_each(Lane::flush);
        match self.lost.take() {
            Some(error) => Err(error),
            None => flushed,
        }
    }
}

impl Tier {
    /// A tier of `databases` databases.
    pub fn new(store: Arc<Store>, databases: usize) -> Tier {
        let of: Vec<u32> = (0..databases as u32).collect();
        Tier {
            store,
            log: AtomicBool::new(false),
            behind: AtomicBool::new(false),
            sync: AtomicU8::new(1),
            space_of: of.iter().map(|space| AtomicU32::new(*space)).collect(),
            spaces: Mutex::new(Spaces { of, next: databases as u32, version: 0 }),
            seen: (0..SEEN).map(|_| AtomicU32::new(0)).collect(),
            emptied_in_vain: AtomicUsize::new(0),
            has_new_deadline: AtomicBool::new(false),
            demoted_seen: AtomicU64::new(0),
            readers: AtomicUsize::new(0),
            limits: RwLock::new(None),
            maxmemory: AtomicU64::new(0),
        }
    }

    /// The segments.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Whether every write is logged.
    #[inline]
    pub fn logs(&self) -> bool {
        self.log.load(Relaxed)
    }

    /// Follows the settings.
    pub fn follow(&self, log: bool, sync: SyncPolicy, maxmemory: u64, size_max: u64, limits: rdb::Limits) {
        if log && !self.log.swap(log, Relaxed) {
            self.behind.store(true, Relaxed);
        }
        self.log.store(log, Relaxed);
        self.sync.store(sync as u8, Relaxed);
        self.maxmemory.store(maxmemory, Relaxed);
        self.store.set_size_max(size_max);
        *self.limits.write() = Some(limits);
        // Other keys may go now, or there is more room.
        self.emptied_in_vain.store(0, Relaxed);
        self.store.look_again();
    }

    /// A key was given a deadline.
    #[inline]
    pub(super) fn note_deadline(&self) {
        // Most often it is known, and the others keep what they have of it.
        if !self.has_new_deadline.load(Relaxed) {
            self.has_new_deadline.store(true, Relaxed);
        }
    }

    /// When written records are synced.
    pub fn sync_policy(&self) -> SyncPolicy {
        match self.sync.load(Relaxed) {
            0 => SyncPolicy::Always,
            1 => SyncPolicy::EverySecond,
            _ => SyncPolicy::Never,
        }
    }

    pub(super) fn space(&self, database: usize) -> u32 {
        self.space_of[database].load(Relaxed)
    }

    /// The database that has a space. It may be another one afterwards, unless a shard of it is locked.
    pub(super) fn database_of(&self, space: u32) -> Option<usize> {
        self.spaces.lock().of.iter().position(|of| *of == space)
    }

    /// The version of the record that says which space each database is.
    pub(super) fn spaces_version(&self) -> u64 {
        self.spaces.lock().version
    }

    pub(super) fn spaces_now(&self) -> Spaces {
        self.spaces.lock().clone()
    }

    /// Sets the spaces that recovery has found.
    pub(super) fn set_spaces(&self, spaces: Spaces) {
        for (of, space) in self.space_of.iter().zip(&spaces.of) {
            of.store(*space, Relaxed);
        }
        *self.spaces.lock() = spaces;
    }
}

impl Keyspace {
    /// The second tier, if there is one.
    #[inline]
    pub fn tier(&self) -> Option<&Arc<Tier>> {
        self.tier.as_ref()
    }

    /// The database gets a new space. All its shards are locked.
    pub(super) fn renew_space(&self, scratch: &mut Scratch, databases: &[usize], swap: bool, locked: bool) {
        let Some(tier) = &self.tier else { return };
        let mut spaces = tier.spaces.lock();
        match databases {
            [one, other] if swap => spaces.of.swap(*one, *other),
            databases => {
                for database in databases {
                    spaces.of[*database] = spaces.next;
                    spaces.next += 1;
                }
            }
        }
        spaces.version += 1;
        let record = Record {
            version: spaces.version,
            space: 0,
            kind: Kind::Spaces,
            flags: 0,
            expires_at_ms: None,
            frame_left: 0,
            key: b"",
            value: b"",
        };
        let own = &mut scratch.tier;
        own.frame.push(&record, |out| {
            spaces.of.iter().for_each(|space| out.extend_from_slice(&space.to_le_bytes()));
        });
        for (of, space) in tier.space_of.iter().zip(&spaces.of) {
            of.store(*space, Relaxed);
        }
        // Nobody may log a key of the new space before this is safe. In a transaction the locks stay, and the
        // frame follows.
        own.at_once = true;
        if !locked {
            let mut frame = std::mem::take(&mut own.frame);
            let lane = own.lane(tier);
            let base = lane.append_or_free(&mut frame);
            if let Ok(base) = &base {
                tier.store.add_live(Place::new(*base, frame.len()));
            }
            if let Err(error) = base.and_then(|_| lane.flush()) {
                own.lost = Some(error);
            }
            own.at_once = false;
            frame.clear();
            own.frame = frame;
        }
    }
}
